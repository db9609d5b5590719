//! Resolves `--user NAME[:GROUP]` with /etc/passwd and /etc/group. Numbers need no entry there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// A user to run as, without supplementary groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Looks the user up below `root`.
    pub(crate) fn find(root: &Path, text: &str) -> Result<Self> {
        let read = |name: &str| {
            let path = root.join("etc").join(name);
            // Other entries may contain bytes that are not text.
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()));
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let (uid, primary) = user(name, read("passwd"))?;
        let gid = match (group, primary) {
            (Some(name), _) => self::group(name, read("group"))?,
            (None, Some(gid)) => gid,
            (None, None) => bail!(
                "--user: user {name} has no entry in /etc/passwd, so its group is unknown: give \
                 --user {name}:GROUP"
            ),
        };
        Ok(Self { uid, gid })
    }
}

/// The UID of a user, and the primary group if it is known.
fn user(name: &str, passwd: Result<String>) -> Result<(u32, Option<u32>)> {
    let number = number(name);
    let passwd = match (passwd, number) {
        (Err(_), Some(uid)) => return Ok((uid, None)),
        (passwd, _) => passwd.context("--user")?,
    };
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(entry), Some(Ok(uid)), Some(Ok(gid))) = (
            fields.first(),
            fields.get(2).map(|text| text.parse::<u32>()),
            fields.get(3).map(|text| text.parse()),
        ) else {
            continue;
        };
        if *entry == name || number == Some(uid) {
            return Ok((uid, Some(gid)));
        }
    }
    match number {
        Some(uid) => Ok((uid, None)),
        None => bail!(
            "--user: there is no user `{name}` in /etc/passwd: give a name from there, or numbers \
             such as 65534:65534"
        ),
    }
}

fn group(name: &str, groups: Result<String>) -> Result<u32> {
    if let Some(gid) = number(name) {
        return Ok(gid);
    }
    let groups = groups.context("--user")?;
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        fields.nth(1)?.parse().ok()
    });
    found.with_context(|| {
        format!(
            "--user: there is no group `{name}` in /etc/group: give a name from there, or a number"
        )
    })
}

/// Parses an ID. The kernel takes the highest number as "no change".
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::User;
    use std::fs;

    fn find(text: &str) -> Result<User, String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = b"root:x:0:0:r\xf6\xf6t:/:\n#\nweb:x:33:34::/:\nodd:x:1\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\nlogs:x:44:web\n").unwrap();
        User::find(root.path(), text).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn names_and_numbers_are_found() {
        for (text, uid, gid) in [
            ("web", 33, 34),
            ("33", 33, 34),
            ("web:logs", 33, 44),
            ("web:7", 33, 7),
            ("1234:5678", 1234, 5678),
            ("root", 0, 0),
        ] {
            assert_eq!(find(text), Ok(User { uid, gid }), "{text}");
        }
    }

    #[test]
    fn errors_name_what_is_missing() {
        for (text, words) in [
            ("nobody2", "no user `nobody2`"),
            ("odd", "no user `odd`"),
            ("", "no user ``"),
            ("web:no", "no group `no`"),
            ("web:", "no group ``"),
            ("1234", "give --user 1234:GROUP"),
            ("4294967295", "no user"),
            ("-1", "no user"),
        ] {
            let error = find(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_need_no_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(User::find(root.path(), "12:34").unwrap(), User { uid: 12, gid: 34 });
        assert!(User::find(root.path(), "web").is_err());
    }
}

//! A directory entry whose directory stays open from the first check to the last write: if the path
//! is swapped in the meantime, everything is still written to the directory that was opened. Links
//! on the way are followed only if they belong to a trusted user, since anybody may create one in a
//! directory that others can write to.

use std::collections::VecDeque;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, openat, readlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    typed: PathBuf,
    folder: Arc<OwnedFd>,
}

/// The number of links that the kernel follows in a path (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

impl Entry {
    /// Opens the directory that contains this name. The name itself is not examined.
    pub(crate) fn open(name: &Path) -> io::Result<Self> {
        let folder = open(folder_of(name), &trusted_users())?;
        Ok(Self { typed: name.to_owned(), folder: Arc::new(folder) })
    }

    /// The name as typed, for messages.
    pub(crate) fn typed(&self) -> &Path {
        &self.typed
    }

    /// A path through the open directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join(self.typed.file_name().unwrap_or_default())
    }

    /// A path of the directory itself.
    pub(crate) fn folder(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.folder.as_raw_fd()).into()
    }
}

/// The users whose pipes may be written to and whose links are followed: root, the user who runs
/// this, and the one who called sudo.
pub(crate) fn trusted_users() -> Vec<u32> {
    let sudo = env::var("SUDO_UID").ok().and_then(|user| user.parse().ok());
    [0, geteuid().as_raw()].into_iter().chain(sudo).collect()
}

/// The directory that contains a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Do both paths name the same directory entry?
pub(crate) fn is_same_name(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| {
        let folder = folder_of(path);
        (
            folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
            path.file_name().map(OsStr::to_owned),
        )
    };
    whole(one) == whole(other)
}

/// Opens a directory one component at a time, so that each is checked as it is used. A link that
/// belongs to an untrusted user is an error.
fn open(path: &Path, trusted: &[u32]) -> io::Result<OwnedFd> {
    let mut at = start(path)?;
    let mut rest: VecDeque<OsString> = names(path).collect();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let Some(link) = step(&mut at, &name)? else { continue };
        let owner = fstat(&link)?.st_uid;
        if !trusted.contains(&owner) {
            let name = name.display();
            let text = format!("{name} is a link of user {owner}: name the folder it leads to");
            return Err(Error::new(ErrorKind::PermissionDenied, text));
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        // A link below `/proc` leads to an open directory of a process, whatever its text says.
        if fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            at = openat(&at, &name, flags, Mode::empty())?;
            continue;
        }
        let target = readlinkat(&link, "", Vec::new())?;
        let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            at = start(&target)?;
        }
        names(&target).rev().for_each(|name| rest.push_front(name));
    }
    Ok(at)
}

/// The directory where a path begins.
fn start(path: &Path) -> io::Result<OwnedFd> {
    let from = if path.is_absolute() { "/" } else { "." };
    Ok(openat(CWD, from, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The components of a path, without the root.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => {
            Some(OsString::from_vec(component.as_os_str().as_bytes().to_vec()))
        }
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Enters a directory, or returns the link with that name.
fn step(at: &mut OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&*at, name, flags | OFlags::DIRECTORY, Mode::empty()) {
        Ok(folder) => *at = folder,
        // A link cannot be opened as a directory.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let found = openat(&*at, name, flags, Mode::empty())?;
            if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Symlink {
                return Err(Errno::NOTDIR.into());
            }
            return Ok(Some(found));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{Entry, open};
    use std::fs;
    use std::io::ErrorKind;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::{Path, PathBuf};

    use rustix::process::geteuid;

    fn is_same(entry: &Path, folder: &Path) -> bool {
        let inode = |path: &Path| path.metadata().unwrap().ino();
        inode(entry) == inode(folder)
    }

    #[test]
    fn an_entry_stays_in_the_folder_that_was_opened() {
        let root = tempfile::tempdir().unwrap();
        let [ours, moved, theirs] = ["ours", "moved", "theirs"].map(|name| root.path().join(name));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&theirs).unwrap();
        let entry = Entry::open(&ours.join("page.html")).unwrap();
        fs::rename(&ours, &moved).unwrap();
        symlink(&theirs, &ours).unwrap();
        fs::write(entry.path(), "new").unwrap();
        assert_eq!(fs::read_to_string(moved.join("page.html")).unwrap(), "new");
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
    }

    #[test]
    fn links_are_followed_if_their_owner_is_trusted() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("real/inner")).unwrap();
        symlink("real", at("relative")).unwrap();
        symlink(at("relative/inner"), at("absolute")).unwrap();
        symlink("../real/inner/../../absolute", at("real/up")).unwrap();
        let us = geteuid().as_raw();
        for name in ["real/inner", "relative/inner", "absolute", "real/up", "real/./inner/../inner"]
        {
            let entry = Entry::open(&at(name).join("x")).unwrap();
            assert!(is_same(&entry.folder(), &at("real/inner")), "{name}");
            let is_link = name != "real/inner" && !name.contains("./");
            // The links above the test's directory belong to root.
            let result = open(&at(name), &[us + 1]);
            assert_eq!(result.is_err(), is_link, "{name}: {result:?}");
        }
        let error = open(&at("absolute"), &[us + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("name the folder it leads to"), "{error}");
    }

    /// The text of such a link becomes wrong once the directory is renamed.
    #[test]
    fn a_link_below_proc_leads_to_what_the_process_has() {
        let root = tempfile::tempdir().unwrap();
        let [ours, moved, theirs] = ["ours", "moved", "theirs"].map(|name| root.path().join(name));
        fs::create_dir(&ours).unwrap();
        let held = fs::File::open(&ours).unwrap();
        fs::rename(&ours, &moved).unwrap();
        fs::create_dir(&theirs).unwrap();
        let path = format!("/proc/self/fd/{}/x", held.as_raw_fd());
        assert!(is_same(&Entry::open(Path::new(&path)).unwrap().folder(), &moved));
        let path = Path::new("/proc/self/root").join(theirs.strip_prefix("/").unwrap());
        assert!(is_same(&Entry::open(&path.join("x")).unwrap().folder(), &theirs));
    }

    #[test]
    fn what_leads_nowhere_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        for (name, number) in [
            ("file", libc::ENOTDIR),
            ("loop", libc::ELOOP),
            ("dangling", libc::ENOENT),
            ("none/x", libc::ENOENT),
        ] {
            let error = Entry::open(&at(name).join("x")).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(number), "{name}: {error}");
        }
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        let entry = Entry::open(Path::new("page.html")).unwrap();
        assert!(is_same(&entry.folder(), Path::new(".")));
        assert_eq!(entry.typed(), PathBuf::from("page.html"));
    }
}

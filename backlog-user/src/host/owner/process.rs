//! Reads the details of processes that hold a listener, and chooses the main one. A process may end
//! at any time; some details are missing then.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use backlog_core::owner::Process;
use procfs::process::Process as Folder;

use super::path;

/// The maximum number of bytes of a command line to keep.
const CMDLINE: usize = 512;

/// A process that holds a socket, with the details that are read for every holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// Its parent; 0 if it has none that is visible here.
    pub(super) parent: u32,
    pub(super) comm: String,
    pub(super) uid: u32,
    pub(super) threads: u32,
}

impl Holder {
    /// Reads the process, if it still exists.
    pub(super) fn read(folder: &Folder) -> Option<Self> {
        // The kernel gives this folder to the effective user, whatever else it hides.
        let uid = folder.uid().ok()?;
        let stat = folder.stat().ok()?;
        Some(Self {
            pid: u32::try_from(folder.pid()).ok()?,
            parent: u32::try_from(stat.ppid).unwrap_or(0),
            comm: stat.comm,
            uid,
            threads: u32::try_from(stat.num_threads).unwrap_or(1),
        })
    }

    /// All details of the main holder.
    pub(super) fn describe(&self, proc_root: &Path, users: &HashMap<u32, String>) -> Process {
        let folder = proc_root.join(self.pid.to_string());
        Process {
            pid: self.pid,
            comm: self.comm.clone(),
            cmdline: cmdline(&folder.join("cmdline")).unwrap_or_default(),
            uid: self.uid,
            user: users.get(&self.uid).cloned(),
            cgroup: fs::read(folder.join("cgroup"))
                .ok()
                .and_then(|text| path::of(&String::from_utf8_lossy(&text))),
        }
    }

    /// Is it systemd? The system's and a user's instance hold the sockets that they activate
    /// services by.
    fn activates(&self) -> bool {
        self.comm == "systemd"
    }
}

/// The main process among those that hold a socket: one that is not a child of another, with the
/// lowest pid. systemd is chosen only if nothing else holds the socket.
pub(super) fn main<'a>(holders: &[&'a Holder]) -> Option<&'a Holder> {
    let mut servers = holders.to_vec();
    servers.retain(|holder| !holder.activates());
    if servers.is_empty() {
        servers = holders.to_vec();
    }
    let held_by = |pid| servers.iter().any(|holder| holder.pid == pid);
    let lowest = |holder: &&&Holder| holder.pid;
    // The processes were not read at the same time: if a number was reused, two of them can be each
    // other's child.
    let first = servers.iter().filter(|holder| !held_by(holder.parent)).min_by_key(lowest);
    first.or_else(|| servers.iter().min_by_key(lowest)).copied()
}

/// The beginning of a command line. The rest is not read, since it may have megabytes.
fn cmdline(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    // Read a few bytes more, so that no character is cut in the middle.
    let limit = u64::try_from(CMDLINE + char::MAX_LEN_UTF8).ok()?;
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    let mut text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.truncate(text.floor_char_boundary(CMDLINE));
    text.truncate(text.trim_end().len());
    Some(text)
}

/// The names of users in `/etc/passwd`.
pub(super) fn users(passwd: &Path) -> HashMap<u32, String> {
    let bytes = fs::read(passwd).unwrap_or_default();
    let mut users = HashMap::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
            // The first of several entries counts, as in the C library.
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::{CMDLINE, Holder, cmdline, main, users};
    use crate::host::owner::descriptors;
    use std::collections::HashMap;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::parent_id;
    use std::path::Path;

    fn holder(pid: u32, parent: u32, comm: &str) -> Holder {
        Holder { pid, parent, comm: comm.to_owned(), uid: 0, threads: 1 }
    }

    fn main_of(holders: &[Holder]) -> Option<u32> {
        main(&holders.iter().collect::<Vec<_>>()).map(|holder| holder.pid)
    }

    #[test]
    fn the_main_one_is_no_child_of_another() {
        let worker = |pid| holder(pid, 900, "nginx");
        // Numbers wrap around, so a parent may have the higher one.
        assert_eq!(main_of(&[worker(12), worker(13), holder(900, 1, "nginx")]), Some(900));
        // The master has passed the socket on and is gone.
        assert_eq!(main_of(&[worker(13), worker(12)]), Some(12));
        assert_eq!(main_of(&[]), None);
    }

    #[test]
    fn systemd_is_it_only_if_alone() {
        let systemd = holder(1, 0, "systemd");
        assert_eq!(main_of(&[systemd.clone(), holder(812, 1, "sshd")]), Some(812));
        assert_eq!(main_of(&[holder(1200, 1, "systemd"), holder(812, 1200, "web")]), Some(812));
        assert_eq!(main_of(&[systemd]), Some(1));
        // The first process of a container is a server like any other.
        assert_eq!(main_of(&[holder(1, 0, "nginx"), holder(7, 1, "nginx")]), Some(1));
    }

    #[test]
    fn children_of_each_other_have_a_main_one_still() {
        assert_eq!(main_of(&[holder(8, 7, "a"), holder(7, 8, "b")]), Some(7));
    }

    #[test]
    fn a_command_line_is_cut_between_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cmdline");
        let text = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            cmdline(&path).unwrap()
        };
        assert_eq!(text(b"nginx\0-g\0daemon off;\0"), "nginx -g daemon off;");
        assert_eq!(text(b"nginx: master\0\0\0\0"), "nginx: master");
        assert_eq!(text(b"a\xff\x1b[1m\0"), "a\u{fffd}\u{1b}[1m");
        assert_eq!(text(b""), "");
        // 511 bytes, and a character that takes the 512th and the next one.
        let long = "x".repeat(CMDLINE - 1) + "éé";
        assert_eq!(text(long.as_bytes()), "x".repeat(CMDLINE - 1));
        let long = "x".repeat(CMDLINE - 2) + "éé";
        assert_eq!(text(long.as_bytes()).len(), CMDLINE);
        assert_eq!(cmdline(&folder.path().join("none")), None);
    }

    #[test]
    fn users_have_the_first_name_that_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        fs::write(&passwd, "root:x:0:0::/:\n\n#\ntoor:x:0:0::/:\nweb:x:33:33::/:\n").unwrap();
        let names = HashMap::from([(0, "root".to_owned()), (33, "web".to_owned())]);
        assert_eq!(users(&passwd), names);
        assert!(users(Path::new("/no/such/file")).is_empty());
    }

    #[test]
    fn this_process_is_read() {
        let root = Path::new("/proc");
        let own = Holder::read(&descriptors::open(root, std::process::id()).unwrap()).unwrap();
        assert_eq!((own.pid, own.parent), (std::process::id(), parent_id()));
        assert_eq!(own.uid, fs::metadata("/proc/self").unwrap().uid());
        let told = own.describe(root, &HashMap::from([(own.uid, "me".to_owned())]));
        assert_eq!(told.user.as_deref(), Some("me"));
        assert!(told.cmdline.starts_with(&std::env::args().next().unwrap()), "{}", told.cmdline);
        assert!(told.cgroup.unwrap().starts_with('/'));
    }
}

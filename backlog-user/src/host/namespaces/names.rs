//! Names for network namespaces, since the inode number means nothing to users: the name of a mount
//! point, or the first process in the namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where `ip netns` and tools that follow it keep names.
const BY_NAME: &str = "/run/netns";
/// The inode number of the initial pid namespace on every host. In any other one, process 1 is not
/// the host's.
const FIRST_PIDS: u64 = 0xEFFF_FFFC;

/// Does this process see the kernel's own process IDs?
pub(crate) fn in_first_pid_namespace(proc_root: &Path) -> bool {
    fs::metadata(proc_root.join("self/ns/pid")).is_ok_and(|found| found.ino() == FIRST_PIDS)
}

/// Names of network namespaces, by inode number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    host: Option<u32>,
    mounted: BTreeMap<u32, String>,
    /// The process with the lowest pid, and its name once it was read.
    lived_in: BTreeMap<u32, (u32, Option<String>)>,
}

impl Names {
    /// Records that a process is in a namespace.
    pub(super) fn lives(&mut self, netns: u32, pid: u32) {
        let lowest = self.lived_in.entry(netns).or_insert((pid, None));
        if pid < lowest.0 {
            *lowest = (pid, None);
        }
    }

    /// Records a mount point of a namespace.
    pub(super) fn mounted(&mut self, netns: u32, path: &Path) {
        let Some(name) = path.file_name() else { return };
        let name = name.to_string_lossy().into_owned();
        // Docker mounts namespaces under an ID of its own; a name given by a user is better.
        if path.parent() == Some(Path::new(BY_NAME)) {
            self.mounted.insert(netns, name);
        } else {
            self.mounted.entry(netns).or_insert(name);
        }
    }

    /// Reads the names of the processes, and finds the host's namespace. Called after all processes
    /// were seen.
    pub(super) fn read(&mut self, proc_root: &Path) {
        for (pid, comm) in self.lived_in.values_mut() {
            let bytes = fs::read(proc_root.join(pid.to_string()).join("comm")).ok();
            *comm = bytes.map(|bytes| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
        }
        // Kernel threads stay in the initial namespace, while process 1 may have been moved.
        let kernel = fs::read(proc_root.join("2/comm"));
        if kernel.is_ok_and(|comm| comm.trim_ascii_end() == b"kthreadd") {
            self.host = super::inode(&proc_root.join("2/ns/net")).ok();
            return;
        }
        let first = fs::metadata(proc_root.join("1/ns/pid"));
        if first.is_ok_and(|found| found.ino() == FIRST_PIDS) {
            self.host = super::inode(&proc_root.join("1/ns/net")).ok();
        }
    }

    /// For example `host`, `blue`, or `pid 812 (nginx)`.
    pub(super) fn of(&self, netns: u32) -> Option<String> {
        if self.host == Some(netns) {
            return Some("host".to_owned());
        }
        self.mounted.get(&netns).cloned().or_else(|| {
            let (pid, comm) = self.lived_in.get(&netns)?;
            Some(match comm {
                Some(comm) => format!("pid {pid} ({comm})"),
                None => format!("pid {pid}"),
            })
        })
    }

    /// Adds the results of a later search, which take precedence.
    pub(super) fn add(&mut self, later: Self) {
        let Self { host, mounted, lived_in } = later;
        self.host = host.or(self.host);
        // Another namespace may have had the number before.
        for netns in lived_in.keys().chain(mounted.keys()) {
            self.mounted.remove(netns);
            self.lived_in.remove(netns);
        }
        self.mounted.extend(mounted);
        self.lived_in.extend(lived_in);
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_name_that_was_given_is_best() {
        let mut names = Names::default();
        names.lives(7, 812);
        names.mounted(7, Path::new("/run/docker/netns/3f2a"));
        assert_eq!(names.of(7).unwrap(), "3f2a");
        names.mounted(7, Path::new("/run/netns/blue"));
        names.mounted(7, Path::new("/srv/netns/red"));
        assert_eq!(names.of(7).unwrap(), "blue");
        assert_eq!(names.of(8), None);
    }

    #[test]
    fn the_first_process_lends_its_name() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("90")).unwrap();
        fs::write(root.path().join("90/comm"), "nginx: \n").unwrap();
        let mut names = Names::default();
        for (netns, pid) in [(7, 812), (7, 90), (7, 91), (8, 92)] {
            names.lives(netns, pid);
        }
        names.read(root.path());
        assert_eq!(names.of(7).unwrap(), "pid 90 (nginx:)");
        assert_eq!(names.of(8).unwrap(), "pid 92");
    }

    #[test]
    fn a_later_look_knows_better() {
        let (mut names, mut later) = (Names::default(), Names::default());
        names.lives(7, 812);
        names.lives(8, 813);
        later.lives(7, 814);
        later.host = Some(9);
        names.add(later);
        let told = [7, 8, 9].map(|netns| names.of(netns).unwrap());
        assert_eq!(told, ["pid 814", "pid 813", "host"]);
    }
}

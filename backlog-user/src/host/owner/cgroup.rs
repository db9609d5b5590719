//! Maps cgroup IDs to paths and back. For a socket, the kernel reports only the ID. In the unified
//! hierarchy this is the inode number of a directory, and a file handle with it opens the
//! directory. Without the capability for this, all directories are scanned.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use procfs::process::MountInfo;

/// The kernel's `FILEID_KERNFS`: the handle contains nothing but the ID.
const KERNFS: i32 = 0xfe;

/// The unified hierarchy of this host.
#[derive(Debug)]
pub(crate) struct Cgroups {
    proc_root: PathBuf,
    mount: Option<Mount>,
    /// Known IDs. None: not found by a scan.
    known: HashMap<u64, Option<String>>,
}

/// The mount point of the hierarchy.
#[derive(Debug)]
struct Mount {
    path: PathBuf,
    /// Opens directories by their IDs. None: this process may not.
    handles: Option<File>,
}

/// A `struct file_handle` for such an ID.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

impl Cgroups {
    /// Finds the mount below a `/proc`. A host with version 1 only has none, so no ID has a path
    /// there.
    pub(crate) fn find(proc_root: &Path) -> Self {
        let lines = fs::read(proc_root.join("thread-self/mountinfo")).unwrap_or_default();
        let mount = mount_point(&String::from_utf8_lossy(&lines))
            .map(|path| Mount { handles: File::open(&path).ok(), path });
        Self { proc_root: proc_root.to_owned(), mount, known: HashMap::new() }
    }

    /// The path of the cgroup with this ID below the mount: `/system.slice/nginx.service`, or `/`
    /// for the root. None: it is gone, or not below the mount.
    pub(crate) fn path_of(&mut self, id: u64) -> Option<String> {
        let Self { proc_root, mount, known } = self;
        if let Some(path) = known.get(&id) {
            return path.clone();
        }
        let Mount { path: top, handles } = mount.as_mut()?;
        if let Some(file) = handles {
            match open(file, id) {
                Ok(folder) => {
                    let path = name(proc_root, &folder, top);
                    known.insert(id, path.clone());
                    return path;
                }
                // No cgroup has this ID.
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {
                    known.insert(id, None);
                    return None;
                }
                // The call needs CAP_DAC_READ_SEARCH.
                Err(_) => *handles = None,
            }
        }
        walk(top, String::new(), known);
        known.entry(id).or_default().clone()
    }

    /// Where the unified hierarchy is mounted, if it is.
    pub(crate) fn top(&self) -> Option<&Path> {
        self.mount.as_ref().map(|mount| mount.path.as_path())
    }

    /// The ID of a cgroup that a user names, either by its path within the hierarchy or by the path
    /// of its directory.
    pub(crate) fn id_of(&self, path: &Path) -> Result<u64> {
        let asked = path.display();
        let Some(Mount { path: top, .. }) = &self.mount else {
            bail!(
                "no cgroup {asked}: this host has no cgroup hierarchy of version 2 mounted. Boot \
                 it with systemd.unified_cgroup_hierarchy=1, or use another filter"
            );
        };
        // A path cannot leave the hierarchy.
        let below: PathBuf =
            path.components().filter(|part| !matches!(part, Component::RootDir)).collect();
        let folder = if path.starts_with(top) { path.to_owned() } else { top.join(below) };
        let found = fs::metadata(&folder).with_context(|| {
            format!(
                "no cgroup {asked} below {}: give its path as `systemd-cgls` or \
                 /proc/PID/cgroup shows it, as in /system.slice/nginx.service",
                top.display()
            )
        })?;
        let root = fs::metadata(top).with_context(|| format!("looking at {}", top.display()))?;
        ensure!(
            found.dev() == root.dev() && found.is_dir(),
            "{asked} is not a cgroup: give the path of a folder below {}, as in \
             /system.slice/nginx.service",
            top.display()
        );
        Ok(found.ino())
    }
}

/// The mount point of the unified hierarchy in `mountinfo`. A mount of the whole hierarchy is
/// preferred over that of a part.
pub(crate) fn mount_point(lines: &str) -> Option<PathBuf> {
    let mounts: Vec<MountInfo> = lines
        .lines()
        .filter_map(|line| MountInfo::from_line(line).ok())
        .filter(|mount| mount.fs_type == "cgroup2")
        .collect();
    let whole = mounts.iter().find(|mount| mount.root == "/");
    whole.or(mounts.first()).map(|mount| mount.mount_point.clone())
}

/// Opens the directory of a cgroup.
fn open(mount: &File, id: u64) -> io::Result<OwnedFd> {
    let mut handle = Handle { bytes: 8, kind: KERNFS, id };
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the handle is laid out as the kernel wants it, with 8 bytes behind the header,
    // and is only read.
    let result =
        unsafe { libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut handle).cast(), flags) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened just now, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// The path of an open directory below `top`; None if it is outside.
fn name(proc_root: &Path, folder: &OwnedFd, top: &Path) -> Option<String> {
    let link = proc_root.join(format!("self/fd/{}", folder.as_raw_fd()));
    let path = fs::read_link(link).ok()?;
    let below = path.strip_prefix(top).ok()?.to_string_lossy().into_owned();
    // The directory has been removed since it was found.
    let below = below.strip_suffix(" (deleted)").unwrap_or(&below);
    Some(format!("/{below}"))
}

/// Records the IDs of a directory and of everything below it.
fn walk(folder: &Path, path: String, known: &mut HashMap<u64, Option<String>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // A cgroup is a directory; its settings are files.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            walk(&entry.path(), below, known);
        }
    }
    if let Ok(found) = fs::metadata(folder) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        known.insert(found.ino(), Some(path));
    }
}

#[cfg(test)]
mod tests {
    use super::{Cgroups, mount_point};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A hierarchy of ordinary directories, which no handle opens.
    fn made() -> (tempfile::TempDir, Cgroups) {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("cgroup");
        fs::create_dir_all(top.join("system.slice/a.service")).unwrap();
        fs::write(top.join("cgroup.procs"), "").unwrap();
        fs::create_dir(root.path().join("thread-self")).unwrap();
        let line = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", top.display());
        fs::write(root.path().join("thread-self/mountinfo"), line).unwrap();
        let mut cgroups = Cgroups::find(root.path());
        cgroups.mount.as_mut().unwrap().handles = None;
        (root, cgroups)
    }

    #[test]
    fn the_mount_is_found_and_one_of_the_whole_is_better() {
        let unified = Some(PathBuf::from("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point(HYBRID), unified);
        let part = "9 2 0:38 /a.slice /srv/part rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(&format!("{part}{HYBRID}")), unified);
        assert_eq!(mount_point(part), Some(PathBuf::from("/srv/part")));
        let legacy: Vec<&str> = HYBRID.lines().take(2).collect();
        assert_eq!(mount_point(&legacy.join("\n")), None);
    }

    #[test]
    fn who_may_not_open_handles_walks() {
        let (root, mut cgroups) = made();
        let top = root.path().join("cgroup");
        let id = cgroups.id_of(Path::new("/system.slice/a.service")).unwrap();
        assert_eq!(id, fs::metadata(top.join("system.slice/a.service")).unwrap().ino());
        assert_eq!(cgroups.path_of(id).as_deref(), Some("/system.slice/a.service"));
        let id = cgroups.id_of(Path::new("/")).unwrap();
        assert_eq!(cgroups.path_of(id).as_deref(), Some("/"));
    }

    #[test]
    fn an_unknown_id_is_looked_for_once() {
        let (root, mut cgroups) = made();
        let top = root.path().join("cgroup");
        assert_eq!(cgroups.path_of(u64::MAX), None);
        fs::create_dir(top.join("later")).unwrap();
        let later = cgroups.id_of(Path::new("later")).unwrap();
        // A second scan would find the new directory.
        assert_eq!(cgroups.path_of(u64::MAX), None);
        assert!(!cgroups.known.contains_key(&later));
        assert_eq!(cgroups.path_of(later).as_deref(), Some("/later"));
        // Known IDs stay valid, since IDs are not reused.
        fs::remove_dir(top.join("later")).unwrap();
        assert_eq!(cgroups.path_of(later).as_deref(), Some("/later"));
    }

    #[test]
    fn a_path_may_be_the_folder_s() {
        let (root, cgroups) = made();
        let folder = root.path().join("cgroup/system.slice");
        let id = cgroups.id_of(&folder).unwrap();
        assert_eq!(cgroups.id_of(Path::new("/system.slice/")).unwrap(), id);
        assert_eq!(cgroups.id_of(Path::new("system.slice")).unwrap(), id);
    }

    #[test]
    fn errors_name_the_thing_and_the_cure() {
        let (root, cgroups) = made();
        let error = |path: &str| cgroups.id_of(Path::new(path)).unwrap_err().to_string();
        assert!(error("/b.slice").contains("no cgroup /b.slice below"), "{}", error("/b.slice"));
        assert!(error("/b.slice").contains("systemd-cgls"));
        assert!(error("cgroup.procs").contains("is not a cgroup"), "{}", error("cgroup.procs"));
        fs::write(root.path().join("thread-self/mountinfo"), "").unwrap();
        let mut none = Cgroups::find(root.path());
        assert_eq!(none.path_of(1), None);
        let error = none.id_of(Path::new("/a")).unwrap_err().to_string();
        assert!(error.contains("unified_cgroup_hierarchy=1"), "{error}");
    }

    #[test]
    fn a_real_hierarchy_gives_back_what_it_holds() {
        let mut cgroups = Cgroups::find(Path::new("/proc"));
        // A host with version 1 only has nothing to test.
        let Some(top) = cgroups.mount.as_ref().map(|mount| mount.path.clone()) else { return };
        let below = fs::read_dir(&top).unwrap().flatten();
        let folders = below.filter(|entry| entry.file_type().unwrap().is_dir());
        let names = folders.map(|entry| format!("/{}", entry.file_name().display()));
        for path in names.chain(["/".to_owned()]) {
            // A cgroup may have been removed since.
            if let Ok(id) = cgroups.id_of(Path::new(&path)) {
                assert_eq!(cgroups.path_of(id), Some(path));
            }
        }
        assert_eq!(cgroups.path_of(u64::MAX - 1), None);
    }
}

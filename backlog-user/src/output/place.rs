//! What a name that is written to stands for. A file or a link is replaced as a whole, so nothing
//! is written through a link that somebody else has made. A pipe or a device is written to only if
//! it belongs to root, to the user who runs the tool, or to the one who called sudo: in a folder
//! that others can write, anybody may have made it.

use std::env;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::geteuid;

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A regular file, a link, or nothing: the name can be replaced.
    Name,
    Folder,
    /// A pipe, a device or a socket.
    Special,
    /// A name of a file that this process has open.
    Descriptor,
}

/// Names of what a process has open.
const DESCRIPTORS: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];

impl Place {
    /// What it is now. It may be something else when it is opened.
    pub(crate) fn of(path: &Path) -> Self {
        if DESCRIPTORS.iter().any(|name| path.starts_with(name)) {
            return Self::Descriptor;
        }
        // What cannot be asked cannot be created either, and that has a better error.
        let Ok(data) = path.symlink_metadata() else { return Self::Name };
        if data.is_dir() {
            Self::Folder
        } else if data.is_file() || data.is_symlink() {
            Self::Name
        } else {
            Self::Special
        }
    }
}

/// Opens a file that this process has open, under its name.
pub(crate) fn open_descriptor(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Opens a pipe or a device, if it is ours. A pipe without a reader is an error: waiting for one
/// could last for ever.
pub(crate) fn open_special(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(Error::other)?;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path).map_err(named)?;
    let data = file.metadata()?;
    check(&data, &trusted_users())?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// An error of opening, in words if its own are of no help.
fn named(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENXIO) => {
            Error::new(ErrorKind::NotConnected, "no process reads from it: start the reader first")
        }
        Some(libc::ELOOP) => Error::new(error.kind(), "it has just become a symbolic link"),
        _ => error,
    }
}

/// Those whose pipes may be written to, and whose links are followed: root, the user who runs this, and the one who called sudo,
/// whom sudo names.
pub(crate) fn trusted_users() -> Vec<u32> {
    let sudo = env::var("SUDO_UID").ok().and_then(|user| user.parse().ok());
    [0, geteuid().as_raw()].into_iter().chain(sudo).collect()
}

/// Is what was opened a pipe or a device of one of these users?
fn check(data: &Metadata, users: &[u32]) -> io::Result<()> {
    let kind = data.file_type();
    if !(kind.is_fifo() || kind.is_char_device()) {
        return Err(Error::other("it is neither a pipe nor a character device: name a file"));
    }
    let owner = data.uid();
    if users.contains(&owner) {
        return Ok(());
    }
    let what = if kind.is_fifo() { "a pipe" } else { "a device" };
    Err(Error::new(
        ErrorKind::PermissionDenied,
        format!("it is {what} of user {owner}: name a file, or a pipe of your own"),
    ))
}

#[cfg(test)]
mod tests {
    use super::{Place, check, open_special};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use rustix::process::geteuid;

    fn pipe(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
    }

    #[test]
    fn each_name_is_what_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        fs::write(in_folder("file"), "").unwrap();
        pipe(&in_folder("pipe"));
        symlink(in_folder("pipe"), in_folder("link")).unwrap();
        for (path, place) in [
            (in_folder("file"), Place::Name),
            (in_folder("new"), Place::Name),
            (in_folder("link"), Place::Name),
            (in_folder("pipe"), Place::Special),
            (folder.path().to_owned(), Place::Folder),
            ("/dev/null".into(), Place::Special),
            ("/dev/stdout".into(), Place::Descriptor),
            ("/proc/self/fd/1".into(), Place::Descriptor),
        ] {
            assert_eq!(Place::of(&path), place, "{}", path.display());
        }
    }

    #[test]
    fn a_pipe_is_opened_if_somebody_reads_and_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let error = open_special(&path).unwrap_err();
        assert!(error.to_string().contains("start the reader first"), "{error}");
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        open_special(&path).unwrap();
        let (data, user) = (reader.metadata().unwrap(), geteuid().as_raw());
        check(&data, &[user]).unwrap();
        let error = check(&data, &[user + 1]).unwrap_err();
        assert!(error.to_string().contains("a pipe of user"), "{error}");
    }

    #[test]
    fn what_has_become_a_link_or_a_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe_path, link, file) =
            (folder.path().join("pipe"), folder.path().join("link"), folder.path().join("file"));
        pipe(&pipe_path);
        symlink(&pipe_path, &link).unwrap();
        fs::write(&file, "kept").unwrap();
        let error = open_special(&link).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        let error = open_special(&file).unwrap_err();
        assert!(error.to_string().contains("name a file"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }
}

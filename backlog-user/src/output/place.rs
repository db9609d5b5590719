//! What an output path refers to. A file or link is replaced as a whole, so nothing is written
//! through somebody else's link. A pipe or device is written to only if it belongs to root, to the
//! user who runs the tool, or to the one who called sudo, since anybody may create one in a
//! directory that others can write to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::output::folder::{Entry, trusted_users};

/// See the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A regular file, a link, or nothing: it can be replaced.
    Name,
    Folder,
    /// A pipe, a device or a socket.
    Special,
    /// The name of one of this process's open descriptors.
    Descriptor,
}

/// Does it name a descriptor of this process? Other links below `/proc` lead to any file of any
/// user.
fn is_descriptor(path: &Path) -> bool {
    let is_number = |name: &str| name.parse::<u32>().is_ok();
    // The components leave out what has no effect: `//` and `/./`.
    let names: Option<Vec<_>> = path.components().map(|name| name.as_os_str().to_str()).collect();
    match names.as_deref() {
        Some(["/", "dev", "stdin" | "stdout" | "stderr" | "fd"]) => true,
        Some(["/", "dev", "fd", number]) => is_number(number),
        Some(["/", "proc", process, "fd", number]) => {
            (matches!(*process, "self" | "thread-self") || is_number(process)) && is_number(number)
        }
        _ => false,
    }
}

impl Place {
    /// Classifies a path. This may have changed by the time that it is opened.
    pub(crate) fn of(path: &Path) -> Self {
        if is_descriptor(path) {
            return Self::Descriptor;
        }
        // If the path cannot be read, it cannot be created either, which gives a better error.
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

/// Opens one of this process's descriptors by its name.
pub(crate) fn open_descriptor(path: &Path) -> io::Result<File> {
    let file = open_at_once(OpenOptions::new().append(true), path, OFlags::empty())?;
    wait_again(file)
}

/// Opens a pipe or device, if its owner and those of the links on the way are trusted.
pub(crate) fn open_special(path: &Path) -> io::Result<File> {
    let entry = Entry::open(path)?;
    let file = open_at_once(OpenOptions::new().write(true), &entry.path(), OFlags::NOFOLLOW)
        .map_err(named)?;
    check(&file.metadata()?, &trusted_users())?;
    wait_again(file)
}

/// Opens without blocking: a pipe without a reader is an error, since waiting for one could take
/// forever.
fn open_at_once(options: &mut OpenOptions, path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from((flags | OFlags::NONBLOCK).bits()).map_err(Error::other)?;
    options.custom_flags(flags).open(path)
}

/// Makes later writes block again.
fn wait_again(file: File) -> io::Result<File> {
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Explains an error of opening, if its own text does not help.
fn named(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENXIO) => {
            Error::new(ErrorKind::NotConnected, "no process reads from it: start the reader first")
        }
        Some(libc::ELOOP) => Error::new(error.kind(), "it has just become a symbolic link"),
        _ => error,
    }
}

/// Checks that the opened file is a pipe or device of one of these users.
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
    use super::{Place, check, open_descriptor, open_special};
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, mknodat};
    use rustix::process::geteuid;

    fn pipe(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
    }

    #[test]
    fn each_name_is_what_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name);
        let below_proc = |name: &str| {
            Path::new("/proc/self/root").join(in_folder(name).strip_prefix("/").unwrap())
        };
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
            ("/dev//fd/./1".into(), Place::Descriptor),
            ("/proc/self/fd/1".into(), Place::Descriptor),
            ("/proc/thread-self/fd/1".into(), Place::Descriptor),
            ("/proc/1/fd/1".into(), Place::Descriptor),
            ("/proc/self/fd/1/x".into(), Place::Name),
            ("/proc/self/cwd".into(), Place::Name),
            ("/proc/self/fd".into(), Place::Folder),
            (below_proc("pipe"), Place::Special),
            (below_proc("link"), Place::Name),
            (below_proc("file"), Place::Name),
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
    fn a_descriptor_of_a_pipe_without_a_reader_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        pipe(&path);
        let error = open_descriptor(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
        let _reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let file = open_descriptor(&path).unwrap();
        assert!(!fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
    }

    /// The link belongs to somebody else, and its directory contains a pipe of ours.
    #[test]
    fn a_pipe_is_not_found_through_a_link_of_another_user() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        pipe(&real.join("pipe"));
        symlink(&real, &link).unwrap();
        let reader = fs::OpenOptions::new().read(true).write(true).open(real.join("pipe"));
        open_special(&link.join("pipe")).unwrap();
        // Only root can change the owner.
        if geteuid().is_root() {
            lchown(&link, Some(65534), None).unwrap();
            let error = open_special(&link.join("pipe")).unwrap_err();
            assert!(error.to_string().contains("link of user 65534"), "{error}");
        }
        drop(reader);
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

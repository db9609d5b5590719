//! A file that is written completely or not at all: it is written under a temporary name, which
//! then replaces the final one, so nothing is written through a link. Only its owner can read it,
//! since it contains clients and command lines. Whether it can be written is checked at the start
//! of a run.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

use crate::output::folder::{Entry, folder_of};
use crate::output::place::Place;

/// A file that is written at the end.
#[derive(Clone, Debug)]
pub(crate) struct WholeFile {
    entry: Entry,
}

/// Why a file cannot be written, and what to do.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("stdout already has the output of the run: name a file (./- is a file)")]
    Stdout,
    #[error("{0} is a folder: name a file in it")]
    Folder(PathBuf),
    #[error("{0} is a device or a pipe: name a regular file, which is replaced as a whole")]
    Device(PathBuf),
    #[error("cannot write in {folder}: create that folder, or name a FILE in another one")]
    NotWritable {
        folder: PathBuf,
        #[source]
        error: io::Error,
    },
}

impl WholeFile {
    /// Checks that the file can be written. This leaves nothing behind, and an existing file stays.
    pub(crate) fn check(name: &Path) -> Result<Self, FileError> {
        if name == Path::new("-") {
            return Err(FileError::Stdout);
        }
        match Place::of(name) {
            Place::Name if name.file_name().is_some() => {}
            Place::Name | Place::Folder => return Err(FileError::Folder(name.to_owned())),
            // A process with the old file open would not see its replacement.
            Place::Descriptor | Place::Special => return Err(FileError::Device(name.to_owned())),
        }
        let not_writable =
            |error| FileError::NotWritable { folder: folder_of(name).to_owned(), error };
        let entry = Entry::open(name).map_err(not_writable)?;
        beside(&entry).map_err(not_writable)?;
        Ok(Self { entry })
    }

    /// Writes the file. If that fails, keeps the content elsewhere if possible; the error says
    /// where.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Err(error) = self.replace(bytes) else { return Ok(()) };
        let name = self.name().display();
        let rescue = match keep_elsewhere(bytes) {
            Ok(path) => format!("it is in {} instead: move it", path.display()),
            Err(_) => "free space there, or name a FILE elsewhere".to_owned(),
        };
        Err(io::Error::other(format!("cannot write {name}: {error}; {rescue}")))
    }

    /// The name as typed.
    pub(crate) fn name(&self) -> &Path {
        self.entry.typed()
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = beside(&self.entry)?;
        file.write_all(bytes)?;
        // Without this, a crash right after the rename could leave an empty file.
        file.as_file().sync_all()?;
        file.persist(self.entry.path())?;
        Ok(())
    }
}

/// Creates a file in the same directory, with an unpredictable name, which is deleted unless it is
/// renamed. Only its owner can read and write it.
pub(crate) fn beside(entry: &Entry) -> io::Result<NamedTempFile> {
    Builder::new().prefix(".backlog-trace-").tempfile_in(entry.folder())
}

/// May this thread create a file in this directory and give it this name?
pub(crate) fn can_replace(name: &Path) -> bool {
    let user = geteuid().as_raw();
    let is_ours = |path: &Path| path.symlink_metadata().map_or(true, |data| data.uid() == user);
    let Ok(entry) = Entry::open(name) else { return false };
    let folder = entry.folder();
    // In a sticky directory such as /tmp, only the owner of the file or directory may rename a
    // file.
    let is_sticky = folder.metadata().is_ok_and(|data| data.mode() & STICKY != 0);
    beside(&entry).is_ok() && (!is_sticky || is_ours(&folder) || is_ours(&entry.path()))
}

/// `S_ISVTX`
const STICKY: u32 = 0o1000;

/// Writes to the directory for temporary files.
fn keep_elsewhere(bytes: &[u8]) -> io::Result<PathBuf> {
    let mut file = Builder::new().prefix("backlog-trace-").suffix(".html").tempfile()?;
    file.write_all(bytes)?;
    let (_, path) = file.keep()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::WholeFile;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_check_leaves_nothing_and_a_write_only_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        let file = WholeFile::check(&path).unwrap();
        assert!(names(folder.path()).is_empty());
        file.write(b"one").unwrap();
        file.write(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a.html"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_replaced_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        let file = WholeFile::check(&link).unwrap();
        file.write(b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"old");
        assert!(!link.is_symlink());
        // A link that was created between check and write.
        fs::remove_file(&link).unwrap();
        symlink(&real, &link).unwrap();
        file.write(b"newer").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"old");
        assert_eq!(fs::read(&link).unwrap(), b"newer");
    }

    #[test]
    fn what_cannot_be_written_is_known_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        for (path, cure) in [
            (folder.path().to_owned(), "name a file in it"),
            (folder.path().join("no/such/x.html"), "create that folder"),
            ("/dev/null".into(), "regular file"),
            ("/dev/stdout".into(), "regular file"),
            ("/proc/self/fd/1".into(), "regular file"),
            ("".into(), "name a file in it"),
        ] {
            let error = WholeFile::check(&path).unwrap_err().to_string();
            assert!(error.contains(cure), "{}: {error}", path.display());
        }
        assert!(Path::new("/dev/null").metadata().is_ok_and(|data| !data.is_file()));
    }

    #[test]
    fn what_cannot_be_written_at_the_end_is_kept_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("here");
        fs::create_dir(&place).unwrap();
        let file = WholeFile::check(&place.join("x.html")).unwrap();
        fs::remove_dir(&place).unwrap();
        let error = file.write(b"the run").unwrap_err().to_string();
        let (_, rest) = error.split_once("it is in ").unwrap();
        let (kept, _) = rest.split_once(" instead").unwrap();
        assert_eq!(fs::read(kept).unwrap(), b"the run");
        fs::remove_file(kept).unwrap();
    }
}

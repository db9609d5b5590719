//! A file that is there as a whole or not at all: it is written beside its place, then
//! renamed. Whether it can be written is asked at the start of a run, not at the end. Knows
//! files; what is in them is for others to say.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// A file to be written.
#[derive(Clone, Debug)]
pub(crate) struct WholeFile {
    /// As it was typed.
    typed: PathBuf,
    /// Where it is: a link is followed.
    place: PathBuf,
}

/// Names of what a process has open.
const DESCRIPTORS: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];

/// Why it cannot be written, and what to do.
#[derive(Debug, Error)]
pub(crate) enum FileError {
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
    /// Asks whether it can be written. Nothing is left of that, and what is there stays.
    pub(crate) fn check(typed: &Path) -> Result<Self, FileError> {
        // What stands behind a name of a descriptor is somebody's who has it open already:
        // another file in its place would be seen by nobody.
        if DESCRIPTORS.iter().any(|name| typed.starts_with(name)) {
            return Err(FileError::Device(typed.to_owned()));
        }
        // A dangling link is itself replaced.
        let place = fs::canonicalize(typed).unwrap_or_else(|_| typed.to_owned());
        if let Ok(data) = fs::metadata(&place) {
            if data.is_dir() {
                return Err(FileError::Folder(typed.to_owned()));
            }
            if !data.is_file() {
                return Err(FileError::Device(typed.to_owned()));
            }
        } else if place.file_name().is_none() {
            return Err(FileError::Folder(typed.to_owned()));
        }
        let file = Self { typed: typed.to_owned(), place };
        let folder = file.folder().to_owned();
        file.beside().map_err(|error| FileError::NotWritable { folder, error })?;
        Ok(file)
    }

    /// Writes it. If that fails, what was to be in it is kept elsewhere if possible; the
    /// error says where.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Err(error) = self.replace(bytes) else { return Ok(()) };
        let name = self.typed.display();
        let rescue = match keep_elsewhere(bytes) {
            Ok(path) => format!("it is in {} instead: move it", path.display()),
            Err(_) => "free space there, or name a FILE elsewhere".to_owned(),
        };
        Err(io::Error::other(format!("cannot write {name}: {error}; {rescue}")))
    }

    /// As it was typed.
    pub(crate) fn name(&self) -> &Path {
        &self.typed
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.beside()?;
        file.write_all(bytes)?;
        // Else a crash right after the rename could leave an empty file in its place.
        file.as_file().sync_all()?;
        file.persist(&self.place)?;
        Ok(())
    }

    /// A file with a name of its own in the same folder, which goes if it is not renamed.
    fn beside(&self) -> io::Result<NamedTempFile> {
        Builder::new()
            .prefix(".backlog-trace-")
            // As any file that is made here: less the umask.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(self.folder())
    }

    fn folder(&self) -> &Path {
        match self.place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// In the folder for temporary files.
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
    use std::os::unix::fs::symlink;
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
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        WholeFile::check(&link).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(link.is_symlink());
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

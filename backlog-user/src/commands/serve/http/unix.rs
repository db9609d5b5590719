//! A Unix socket that only its owner can connect to.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::output::folder::Entry;

/// Listens at this path. Replaces a socket that an earlier service left behind.
pub(in crate::commands::serve) fn listen(path: &Path) -> Result<UnixListener> {
    let name = path.display();
    if let Ok(data) = path.symlink_metadata() {
        if !data.file_type().is_socket() {
            bail!("--listen-unix: {name} is not a socket: remove it, or give another PATH");
        }
        if UnixStream::connect(path).is_ok() {
            bail!("--listen-unix: another service listens at {name}: give another PATH");
        }
    }
    let listener = bind(path).with_context(|| {
        format!(
            "--listen-unix: cannot listen at {name}: give a PATH in a folder of the service's user"
        )
    })?;
    listener.set_nonblocking(true).context("preparing the socket of --listen-unix")?;
    Ok(listener)
}

/// Binds under a temporary name, so that the socket has its final mode before it is visible.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let entry = Entry::open(path)?;
    let folder = tempfile::Builder::new().prefix(".backlog-trace-").tempdir_in(entry.folder())?;
    let hidden = folder.path().join("s");
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
    fs::rename(&hidden, entry.path())?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::listen;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_its_owner_connects_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let first = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = listen(&path).err().unwrap().to_string();
        assert!(error.contains("another service"), "{error}");
        drop(first);
        let _second = listen(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        // No temporary file is left.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        fs::write(&file, "stays").unwrap();
        assert!(listen(&file).err().unwrap().to_string().contains("not a socket"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "stays");
    }
}

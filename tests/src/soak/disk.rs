//! A small disk that only this process sees.

use std::ffi::CString;
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::ptr::null;

use anyhow::{Context as _, Result, ensure};

use crate::proc;

/// A tmpfs of a few MiB in a mount namespace of our own, which ends with us.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    /// Mounts it. Must be called before any thread is started.
    pub(super) fn mount(mib: u32) -> Result<Self> {
        let me = std::process::id();
        ensure!(proc::threads(me) == 1, "the disk must be mounted before any thread starts");
        // SAFETY: it takes flags only, and changes where this thread sees mounts.
        done(unsafe { libc::unshare(libc::CLONE_NEWNS) }, "leaving the mount namespace")?;
        let root = c"/".as_ptr();
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: a C string; a change of the propagation ignores the rest.
        let private = unsafe { libc::mount(null(), root, null(), flags, null()) };
        // In a guest, / is the initramfs, which nobody shares.
        if private != 0 {
            eprintln!("backlog-soak: mounts stay shared: {}", Error::last_os_error());
        }
        let folder = std::env::temp_dir().join(format!("backlog-soak-{me}"));
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = CString::new(folder.to_string_lossy().as_bytes())?;
        let size = CString::new(format!("size={mib}m"))?;
        let tmpfs = c"tmpfs".as_ptr();
        // SAFETY: C strings that outlive the call.
        let mounted = unsafe { libc::mount(tmpfs, path.as_ptr(), tmpfs, 0, size.as_ptr().cast()) };
        done(mounted, "mounting a tmpfs")?;
        Ok(Self(folder))
    }

    pub(super) fn recording(&self) -> PathBuf {
        self.0.join("run.jsonl")
    }

    /// Is the disk too full for another page?
    pub(super) fn is_full(&self) -> Result<bool> {
        let probe = self.0.join("probe");
        let written = fs::write(&probe, [1; 8192]);
        remove(&probe)?;
        Ok(written.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)))
    }
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("removing {}", file.display()))
}

fn done(result: i32, what: &'static str) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()).context(what) }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Ok(path) = CString::new(self.0.to_string_lossy().as_bytes()) {
            // SAFETY: a C string that outlives the call.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
        let _ = fs::remove_dir(&self.0);
    }
}

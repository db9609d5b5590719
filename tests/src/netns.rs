//! Runs work in a network namespace of its own: a thread moves into a new one, brings loopback up
//! and does the work there. Processes and threads started inside inherit the namespace, which
//! vanishes with the last of them.

use std::ffi::CString;
use std::fs;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;
use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context, Result};

use crate::interface;

/// Runs `work` in a new namespace. A panic inside is passed on, so that `work` may contain a test's
/// assertions.
///
/// # Errors
/// When a namespace cannot be created (not root, or no `CONFIG_NET_NS`).
pub fn fresh<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter_fresh()?;
            Ok(work())
        });
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs `work` in the namespace of a process. A panic is passed on.
///
/// # Errors
/// When there is no such process, or it may not be entered.
pub fn within<T: Send>(process: u32, work: impl FnOnce() -> T + Send) -> Result<T> {
    let path = format!("/proc/{process}/ns/net");
    let namespace = fs::File::open(&path).with_context(|| format!("cannot open {path}"))?;
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: setns takes numbers only and changes nothing but which namespace this
            // thread is in.
            if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(Error::last_os_error()).with_context(|| format!("cannot enter {path}"));
            }
            Ok(work())
        });
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Moves the calling thread into a new namespace with loopback up.
///
/// # Errors
/// As for [`fresh`].
pub fn enter_fresh() -> Result<()> {
    // SAFETY: unshare takes flags only and changes nothing but which
    // namespace this thread is in.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(Error::last_os_error())
            .context("cannot create a network namespace (root is needed)");
    }
    interface::set_up("lo")
}

/// A process that does nothing: it keeps its namespace open, so that others can enter it.
/// Ended when this is dropped.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Resident(libc::pid_t);

impl Resident {
    /// Creates the process in the calling thread's namespace.
    ///
    /// # Errors
    /// When the process cannot be created.
    pub fn settle() -> Result<Self> {
        // SAFETY: the child makes one system call, which touches no memory and takes no lock.
        match unsafe { libc::fork() } {
            -1 => Err(Error::last_os_error()).context("cannot create a process"),
            0 => loop {
                // SAFETY: it takes nothing.
                unsafe { libc::pause() };
            },
            child => Ok(Self(child)),
        }
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.cast_unsigned()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // SAFETY: the child was not waited for, so the number is its own; nothing is written.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// The inode number of the calling thread's namespace, as in the tool's `netns` field and `--netns`
/// option.
///
/// # Errors
/// When /proc is not mounted.
pub fn inode() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    Ok(fs::metadata(path).with_context(|| format!("cannot read {path}"))?.st_ino())
}

/// A name for a process's namespace, as `ip netns attach` creates it, in the folder where `ip
/// netns` looks on the whole machine. Removed when this is dropped.
#[derive(Debug)]
#[must_use = "the name is taken away when this is dropped"]
pub struct Name(CString);

impl Name {
    /// Creates the name.
    ///
    /// # Errors
    /// When it cannot be mounted, or the name exists.
    pub fn give(name: &str, process: u32) -> Result<Self> {
        let path = format!("/run/netns/{name}");
        fs::create_dir_all("/run/netns").context("cannot make /run/netns")?;
        fs::File::create_new(&path).with_context(|| format!("cannot create {path}"))?;
        let from = CString::new(format!("/proc/{process}/ns/net"))?;
        let to = Self(CString::new(path)?);
        let none = std::ptr::null();
        // SAFETY: two C strings that outlive the call; a bind ignores the rest.
        let done =
            unsafe { libc::mount(from.as_ptr(), to.0.as_ptr(), none, libc::MS_BIND, none.cast()) };
        if done != 0 {
            return Err(Error::last_os_error()).context("cannot show a network namespace");
        }
        Ok(to)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: a C string that outlives the call. Nothing is mounted if that failed.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
        let _ = fs::remove_file(self.0.to_string_lossy().as_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_fresh_namespace_is_another_one_with_loopback() {
        // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("not root: no namespace to be had");
            return;
        }
        let outside = inode().unwrap();
        let inside = fresh(|| {
            TcpListener::bind("127.0.0.1:0").unwrap();
            inode().unwrap()
        })
        .unwrap();
        assert_ne!(outside, inside);
        assert_eq!(outside, inode().unwrap());
    }
}

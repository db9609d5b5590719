//! Keeps inode numbers of namespaces in use, so that the kernel assigns a particular one next.

use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd as _;
use std::os::linux::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clock::wait_until;

/// Inode numbers that are kept in use. The kernel assigns the lowest free number to a network
/// namespace and to each of some seventy files in its /proc/net, whereas a UTS namespace takes
/// exactly one. So a network namespace gets the numbers of one that has ended if all lower ones are
/// in use.
#[derive(Debug, Default)]
pub struct LowerNumbers(Vec<File>);

impl LowerNumbers {
    /// Takes all numbers below this one, until it is the lowest free one. The namespace that had it
    /// has ended.
    ///
    /// # Errors
    /// When the number is not freed in time, or a namespace cannot be created (not root).
    pub fn fill(&mut self, first: u64, limit: Duration) -> Result<()> {
        wait_until("its lowest number is free", limit, || {
            let (number, file) = uts_namespace()?;
            if number < first {
                self.0.push(file);
            }
            Ok(number == first)
        })
    }
}

/// The lowest number that is currently free.
///
/// # Errors
/// When a namespace cannot be created (not root).
pub fn lowest_free() -> Result<u64> {
    uts_namespace().map(|(number, _)| number)
}

/// Creates a UTS namespace, which exists as long as the file is open; also returns its inode
/// number.
fn uts_namespace() -> Result<(u64, File)> {
    let make = || {
        let before = own()?;
        // SAFETY: unshare takes flags only and changes nothing but which namespace this thread
        // is in.
        let made = unsafe { libc::unshare(libc::CLONE_NEWUTS) };
        ensure!(made == 0, "cannot make a UTS namespace: {}", Error::last_os_error());
        let fresh = own()?;
        // Move the thread back, since joining the thread does not wait until it has left its
        // namespace. SAFETY: setns takes numbers only and changes nothing but which namespace this
        // thread is in.
        let back = unsafe { libc::setns(before.as_raw_fd(), libc::CLONE_NEWUTS) };
        ensure!(back == 0, "cannot return to a UTS namespace: {}", Error::last_os_error());
        let number = fresh.metadata().context("a UTS namespace's number")?.st_ino();
        Ok((number, fresh))
    };
    thread::spawn(make).join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn own() -> Result<File> {
    let path = "/proc/thread-self/ns/uts";
    File::open(path).with_context(|| format!("cannot open {path}"))
}

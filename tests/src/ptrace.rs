//! Holds one thread of a process, which is then as stuck as one that waits for an unresponsive file
//! system, while the other threads run.

use std::io::{Error, Result};
use std::ptr::null_mut;

/// A thread that does nothing until this is dropped. The thread that created this must drop it.
#[derive(Debug)]
pub struct Held {
    thread: i32,
}

impl Held {
    /// Holds a thread; returns once it has stopped.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn hold(thread: i32) -> Result<Self> {
        request(libc::PTRACE_SEIZE, thread)?;
        let held = Self { thread };
        request(libc::PTRACE_INTERRUPT, thread)?;
        let mut status = 0;
        // SAFETY: a place for the status that outlives the call.
        if unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) } == thread {
            Ok(held)
        } else {
            Err(Error::last_os_error())
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The process may have ended in the meantime.
        let _ = request(libc::PTRACE_DETACH, self.thread);
    }
}

fn request(request: libc::c_uint, thread: i32) -> Result<()> {
    let null = null_mut::<libc::c_void>();
    // SAFETY: these requests use neither address nor data.
    if unsafe { libc::ptrace(request, thread, null, null) } == -1 {
        return Err(Error::last_os_error());
    }
    Ok(())
}

//! Keeps a guest's output until the guest is done.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes in the order in which they arrived; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Saved(Arc<Mutex<Vec<u8>>>);

impl Saved {
    /// The output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// A panic in another thread leaves the bytes consistent.
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Saved {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to both.
pub(crate) struct Both(pub(crate) Saved, pub(crate) Saved);

impl io::Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

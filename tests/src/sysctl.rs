//! Changes kernel settings of the calling thread's network namespace, and restores them when the
//! guard is dropped.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// A changed setting; dropping it restores the old value.
#[derive(Debug)]
#[must_use = "the old value returns when this is dropped"]
pub struct Sysctl {
    path: PathBuf,
    old: String,
}

impl Sysctl {
    /// Sets e.g. `net.ipv4.tcp_syncookies` to `value`.
    ///
    /// # Errors
    /// When this kernel has no such setting or does not permit the change.
    pub fn set(name: &str, value: &str) -> Result<Self> {
        let path = path_of(name);
        let old = get(name)?;
        fs::write(&path, value)
            .with_context(|| format!("cannot set {name} to {value} ({})", path.display()))?;
        Ok(Self { path, old })
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        // A failure does no harm, since the test's namespace is discarded.
        let _ = fs::write(&self.path, &self.old);
    }
}

/// The value of a setting, without the newline.
///
/// # Errors
/// When this kernel has no such setting.
pub fn get(name: &str) -> Result<String> {
    let path = path_of(name);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// /proc/sys/net shows the namespace of the thread that opens it.
fn path_of(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}

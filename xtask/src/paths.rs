//! The paths of the workspace, cargo's target folder, the kernels, and the console logs. This only
//! names the folders; their users create them.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace, which is the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), absolute)
}

/// The downloaded kernels. Several clones can share them by `BACKLOG_KERNELS_DIR`.
pub(crate) fn kernels() -> PathBuf {
    env::var_os("BACKLOG_KERNELS_DIR").map_or_else(|| root().join("target/kernels"), absolute)
}

/// The console logs of the guests.
pub(crate) fn console_logs() -> PathBuf {
    root().join("target/vm")
}

/// The output of the guest tests, a file for each kernel and backend.
pub(crate) fn test_logs() -> PathBuf {
    root().join("target/tests")
}

/// The program of this name on PATH, if there is one.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Cargo's own bin folder, which may not be on PATH.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .map(|home| home.join("bin"))
}

fn absolute(path: std::ffi::OsString) -> PathBuf {
    let path = PathBuf::from(path);
    env::current_dir().map_or_else(|_| path.clone(), |dir| dir.join(&path))
}

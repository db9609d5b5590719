//! The sysctls that bound the queues, of the calling thread's network namespace.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is set; none where it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// `net.core.somaxconn`
    pub(crate) somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`
    pub(crate) tcp_max_syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syncookies`
    pub(crate) syncookies: Option<u8>,
    /// `net.ipv4.tcp_abort_on_overflow`
    pub(crate) abort_on_overflow: Option<u8>,
}

impl Settings {
    /// Reads them below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let folder = root.join("proc/sys/net");
        Self {
            somaxconn: number(&folder.join("core/somaxconn")),
            tcp_max_syn_backlog: number(&folder.join("ipv4/tcp_max_syn_backlog")),
            syncookies: number(&folder.join("ipv4/tcp_syncookies")),
            abort_on_overflow: number(&folder.join("ipv4/tcp_abort_on_overflow")),
        }
    }
}

fn number<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use std::fs;

    #[test]
    fn reads_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let core = root.path().join("proc/sys/net/core");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("somaxconn"), "4096\n").unwrap();
        let settings = Settings::read(root.path());
        assert_eq!(settings.somaxconn, Some(4096));
        assert_eq!(settings.syncookies, None);
    }
}

//! Reads the sysctls that limit the queues, from the calling thread's network namespace.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use backlog_core::settings::Settings;

/// Reads the sysctls below `root`.
pub(crate) fn read(root: &Path) -> Settings {
    let folder = root.join("proc/sys/net");
    Settings {
        somaxconn: number(&folder.join("core/somaxconn")),
        tcp_max_syn_backlog: number(&folder.join("ipv4/tcp_max_syn_backlog")),
        syncookies: number(&folder.join("ipv4/tcp_syncookies")),
        abort_on_overflow: number(&folder.join("ipv4/tcp_abort_on_overflow")),
        migrate_req: number(&folder.join("ipv4/tcp_migrate_req")),
    }
}

fn number<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn reads_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let core = root.path().join("proc/sys/net/core");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("somaxconn"), "4096\n").unwrap();
        let settings = super::read(root.path());
        assert_eq!(settings.somaxconn, Some(4096));
        assert_eq!(settings.syncookies, None);
    }
}

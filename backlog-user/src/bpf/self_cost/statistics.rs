//! BPF run-time statistics. While any process holds them open, the kernel times every program run
//! on the host (about 35 ns each, measured), so only `-v` requests them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

use aya::sys::{Stats, enable_stats};

/// The statistics are on, were refused, or were not requested.
#[derive(Default)]
pub(super) struct Statistics {
    /// The kernel counts until this is closed.
    held: Option<OwnedFd>,
    refusal: Option<String>,
}

impl Statistics {
    /// Turns them on until this is dropped.
    pub(super) fn enable() -> Self {
        match enable_stats(Stats::RunTime) {
            Ok(held) => Self { held: Some(held), refusal: None },
            Err(error) => Self { held: None, refusal: Some(words(&error.io_error)) },
        }
    }

    /// Are they on, because of us or because of the host's own setting? Other processes that hold
    /// them open are not visible, and may close them at any time.
    pub(super) fn on(&self, root: &Path) -> bool {
        self.held.is_some() || set(root)
    }

    /// Why they were refused.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}

fn set(root: &Path) -> bool {
    let setting = fs::read_to_string(root.join("proc/sys/kernel/bpf_stats_enabled"));
    setting.is_ok_and(|text| text.trim() == "1")
}

fn words(error: &io::Error) -> String {
    if error.kind() == ErrorKind::PermissionDenied {
        "no CAP_SYS_ADMIN (run it as root, or set sysctl kernel.bpf_stats_enabled=1)".into()
    } else {
        format!("BPF_ENABLE_STATS: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Statistics, words};
    use std::fs;
    use std::io;

    #[test]
    fn the_host_s_setting_turns_them_on() {
        let root = tempfile::tempdir().unwrap();
        assert!(!Statistics::default().on(root.path()));
        let folder = root.path().join("proc/sys/kernel");
        fs::create_dir_all(&folder).unwrap();
        for (value, on) in [("0\n", false), ("1\n", true)] {
            fs::write(folder.join("bpf_stats_enabled"), value).unwrap();
            assert_eq!(Statistics::default().on(root.path()), on);
        }
    }

    #[test]
    fn a_refusal_names_the_right_and_the_cure() {
        let text = words(&io::Error::from_raw_os_error(libc::EPERM));
        assert!(text.contains("CAP_SYS_ADMIN") && text.contains("bpf_stats_enabled"), "{text}");
        assert!(words(&io::Error::from_raw_os_error(libc::EINVAL)).contains("Invalid"));
    }
}

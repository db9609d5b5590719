//! May this process load tracing programs, and if not, why.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Says what is missing and how to get it, or nothing.
pub(crate) fn check(root: &Path) -> Result<()> {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    if let Some(set) = effective(&status) {
        let has = |capability: u32| set & (1 << capability) != 0;
        let may = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
        if !may {
            bail!(
                "no right to load eBPF programs: run it as root (sudo backlog-trace ...), or give it \
                 the capabilities CAP_BPF and CAP_PERFMON"
            );
        }
    }
    let lockdown =
        fs::read_to_string(root.join("sys/kernel/security/lockdown")).unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        bail!(
            "the kernel is locked down (confidentiality): eBPF programs may not read its memory. \
             Boot with lockdown=integrity, or with Secure Boot's confidentiality mode off"
        );
    }
    Ok(())
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::fs;

    fn with(cap_eff: &str, lockdown: &str) -> anyhow::Result<()> {
        let root = tempfile::tempdir().unwrap();
        let status = root.path().join("proc/self");
        fs::create_dir_all(&status).unwrap();
        fs::write(status.join("status"), format!("Name:\tx\nCapEff:\t{cap_eff}\n")).unwrap();
        let security = root.path().join("sys/kernel/security");
        fs::create_dir_all(&security).unwrap();
        fs::write(security.join("lockdown"), lockdown).unwrap();
        check(root.path())
    }

    #[test]
    fn root_may() {
        with("000001ffffffffff", "[none] integrity confidentiality").unwrap();
    }

    #[test]
    fn two_capabilities_do() {
        with("000000c000000000", "").unwrap();
        assert!(with("0000008000000000", "").is_err());
    }

    #[test]
    fn others_are_told_the_cure() {
        let error = with("0000000000000000", "").unwrap_err().to_string();
        assert!(error.contains("sudo"), "{error}");
    }

    #[test]
    fn confidentiality_is_named() {
        let error = with("000001ffffffffff", "none integrity [confidentiality]").unwrap_err();
        assert!(error.to_string().contains("lockdown=integrity"), "{error}");
    }
}

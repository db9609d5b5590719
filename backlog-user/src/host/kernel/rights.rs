//! Checks whether this process may load tracing programs, and explains why not. `rights::table`
//! says what each capability is for.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::rights::capability::{Capabilities, Capability};

/// The effective capabilities of this process, from a `/proc`; None if that does not show them.
pub(crate) fn effective(proc_root: &Path) -> Option<Capabilities> {
    let status = fs::read_to_string(proc_root.join("self/status")).ok()?;
    Capabilities::parse(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?)
}

/// Fails if something is missing, and says how to get it.
pub(crate) fn check(root: &Path) -> Result<()> {
    let proc_root = root.join("proc");
    if let Some(set) = effective(&proc_root) {
        let missing = match (set.has(Capability::Bpf), set.has(Capability::Perfmon)) {
            _ if set.has(Capability::SysAdmin) => None,
            (true, true) => None,
            (true, false) => Some("CAP_PERFMON is missing"),
            (false, true) => Some("CAP_BPF is missing"),
            (false, false) => Some("CAP_BPF and CAP_PERFMON are missing"),
        };
        if let Some(missing) = missing {
            bail!(
                "no permission to load eBPF programs ({missing}): run it as root (sudo \
                 backlog-trace ...), or give it the capabilities CAP_BPF and CAP_PERFMON (sudo \
                 setcap cap_bpf,cap_perfmon+ep FILE)"
            );
        }
        if in_user_namespace(&proc_root) {
            bail!(
                "no permission to load eBPF programs: capabilities held only inside a user \
                 namespace (a rootless container) do not count. Run it as root on the host"
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

/// Is this a user namespace other than the initial one? The initial one maps every ID to itself.
pub(crate) fn in_user_namespace(proc_root: &Path) -> bool {
    let map = fs::read_to_string(proc_root.join("self/uid_map")).unwrap_or_default();
    !map.is_empty() && !map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::fs;

    fn with(cap_eff: &str, uid_map: &str, lockdown: &str) -> anyhow::Result<()> {
        let root = tempfile::tempdir().unwrap();
        let status = root.path().join("proc/self");
        fs::create_dir_all(&status).unwrap();
        fs::write(status.join("status"), format!("Name:\tx\nCapEff:\t{cap_eff}\n")).unwrap();
        fs::write(status.join("uid_map"), uid_map).unwrap();
        let security = root.path().join("sys/kernel/security");
        fs::create_dir_all(&security).unwrap();
        fs::write(security.join("lockdown"), lockdown).unwrap();
        check(root.path())
    }

    const FIRST: &str = "         0          0 4294967295\n";

    #[test]
    fn root_may() {
        with("000001ffffffffff", FIRST, "[none] integrity confidentiality").unwrap();
    }

    #[test]
    fn two_capabilities_do() {
        with("000000c000000000", FIRST, "").unwrap();
        let error = with("0000008000000000", FIRST, "").unwrap_err().to_string();
        assert!(error.contains("CAP_PERFMON is missing"), "{error}");
    }

    #[test]
    fn others_are_told_the_cure() {
        let error = with("0000000000000000", FIRST, "").unwrap_err().to_string();
        assert!(error.contains("sudo"), "{error}");
    }

    #[test]
    fn a_user_namespace_s_root_is_none() {
        let error = with("000001ffffffffff", "0 1000 1\n", "").unwrap_err().to_string();
        assert!(error.contains("root on the host"), "{error}");
    }

    #[test]
    fn confidentiality_is_named() {
        let error = with("000001ffffffffff", FIRST, "none integrity [confidentiality]");
        assert!(error.unwrap_err().to_string().contains("lockdown=integrity"));
    }
}

//! Facts on the kernel and on this process that need no trial. A fact that cannot be read is
//! reported as such.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use backlog_core::run::Backend;
use rustix::process::geteuid;

use super::needs::{self, Asked};
use super::report::{Check, Kernel, Process, Seen};
use crate::bpf::reserved;
use crate::host::kernel::rights::{self, in_user_namespace};
use crate::host::namespaces::Namespaces;
use crate::rights::threads;

/// The options of the kernel's configuration that matter.
const CONFIG: [&str; 8] = [
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_SYSCALL",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_KPROBES",
    "CONFIG_MPTCP",
    "CONFIG_SECURITY_NETWORK",
    "CONFIG_SYN_COOKIES",
];

const SYSCTLS: [(&str, &str); 4] = [
    ("kernel.unprivileged_bpf_disabled", "kernel/unprivileged_bpf_disabled"),
    ("kernel.perf_event_paranoid", "kernel/perf_event_paranoid"),
    ("kernel.kptr_restrict", "kernel/kptr_restrict"),
    ("net.core.bpf_jit_enable", "net/core/bpf_jit_enable"),
];

/// Reads the kernel's facts below `root`.
pub(super) fn kernel(root: &Path) -> Kernel {
    let release = text(&root.join("proc/sys/kernel/osrelease"));
    let config = match &release {
        Seen::Value(release) => config(root, release),
        Seen::NotReadable(why) => Seen::NotReadable(why.clone()),
    };
    let sysctl = |(name, file): (&'static str, &str)| {
        let file = root.join("proc/sys").join(file);
        (name, text(&file))
    };
    Kernel {
        release,
        arch: std::env::consts::ARCH,
        btf_bytes: match fs::metadata(root.join("sys/kernel/btf/vmlinux")) {
            Ok(found) => Seen::Value(found.len()),
            Err(error) => Seen::NotReadable(words(&error)),
        },
        config,
        lockdown: match text(&root.join("sys/kernel/security/lockdown")) {
            Seen::Value(modes) => Seen::Value(in_brackets(&modes).to_owned()),
            not_readable @ Seen::NotReadable(_) => not_readable,
        },
        sysctls: SYSCTLS.into_iter().map(sysctl).collect(),
        tracefs: tracefs(root),
    }
}

/// Reads the facts on this process, and what a run with this backend needs.
pub(super) fn process(
    root: &Path,
    kernel: &Kernel,
    backend: Option<Backend>,
    locked_memory: bool,
    asked: Option<&Asked>,
) -> Process {
    let proc_root = root.join("proc");
    let paranoid = match kernel.sysctls.get("kernel.perf_event_paranoid") {
        Some(Seen::Value(text)) => text.parse().ok(),
        _ => None,
    };
    let host = needs::Host {
        locked_memory,
        reserved_bpf: threads::without(reserved::is_refused).unwrap_or(true),
        restricted_perf: paranoid.is_none_or(|level: i32| level > 2),
        is_other_user: !geteuid().is_root(),
    };
    let held = rights::effective(&proc_root);
    let namespaces = Namespaces::find(&proc_root);
    Process {
        capabilities: held.map(needs::each),
        needs: held.map(|held| needs::of_run(held, backend, host, asked)),
        in_user_namespace: in_user_namespace(&proc_root),
        namespaces: namespaces.inodes().count(),
        unseen_namespaces: namespaces.unseen(),
    }
}

fn text(file: &Path) -> Seen<String> {
    match fs::read_to_string(file) {
        Ok(text) => Seen::Value(text.trim().to_owned()),
        Err(error) => Seen::NotReadable(words(&error)),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not there".into(),
        ErrorKind::PermissionDenied => "no permission to read it".into(),
        _ => error.to_string(),
    }
}

/// The active mode in `none [integrity] confidentiality`.
fn in_brackets(modes: &str) -> &str {
    modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(modes, |(mode, _)| mode)
}

/// Reads the configuration from `/boot`, where distributions put it.
fn config(root: &Path, release: &str) -> Seen<BTreeMap<&'static str, String>> {
    match fs::read_to_string(root.join(format!("boot/config-{release}"))) {
        Ok(text) => Seen::Value(parse_config(&text)),
        Err(error) => {
            // `/proc/config.gz` is compressed, and not worth a decompressor.
            let where_else = if root.join("proc/config.gz").exists() {
                "; zcat /proc/config.gz shows it"
            } else {
                ""
            };
            Seen::NotReadable(format!("/boot/config-{release}: {}{where_else}", words(&error)))
        }
    }
}

/// An option that is not set is a comment, or missing.
fn parse_config(text: &str) -> BTreeMap<&'static str, String> {
    let set: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| CONFIG.contains(name))
        .collect();
    CONFIG
        .map(|name| (name, set.get(name).map_or("n".to_owned(), |value| (*value).to_owned())))
        .into()
}

/// Is tracefs mounted in its usual place, and readable?
fn tracefs(root: &Path) -> Check {
    match fs::read_dir(root.join("sys/kernel/tracing/events")) {
        Ok(_) => Check::Yes,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Check::No {
            why: "no permission to read /sys/kernel/tracing, which belongs to root: \
                CAP_DAC_READ_SEARCH grants it"
                .into(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Check::No {
            why: "not mounted (mount -t tracefs tracefs /sys/kernel/tracing), or the kernel was \
                  built without it"
                .into(),
        },
        Err(error) => Check::No { why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::{in_brackets, kernel, parse_config};
    use crate::commands::doctor::report::{Check, Seen};
    use std::fs;

    #[test]
    fn a_configuration_that_is_not_set_is_no() {
        let config =
            parse_config("CONFIG_KPROBES=y\n# CONFIG_MPTCP is not set\nCONFIG_KPROBES_X=n\n");
        assert_eq!(config["CONFIG_KPROBES"], "y");
        assert_eq!(config["CONFIG_MPTCP"], "n");
        assert_eq!(config.len(), 8);
    }

    #[test]
    fn the_mode_of_lockdown_is_in_brackets() {
        assert_eq!(in_brackets("none [integrity] confidentiality"), "integrity");
        assert_eq!(in_brackets("odd"), "odd");
    }

    #[test]
    fn what_is_not_there_is_said_to_be_so() {
        let root = tempfile::tempdir().unwrap();
        let sysctls = root.path().join("proc/sys/kernel");
        fs::create_dir_all(&sysctls).unwrap();
        fs::write(sysctls.join("osrelease"), "6.1.0-made-up\n").unwrap();
        fs::write(sysctls.join("perf_event_paranoid"), "3\n").unwrap();
        fs::write(root.path().join("proc/config.gz"), "").unwrap();
        let found = kernel(root.path());
        assert!(matches!(&found.release, Seen::Value(text) if text == "6.1.0-made-up"));
        let paranoid = &found.sysctls["kernel.perf_event_paranoid"];
        assert!(matches!(paranoid, Seen::Value(text) if text == "3"));
        assert!(matches!(&found.btf_bytes, Seen::NotReadable(why) if why == "not there"));
        assert!(matches!(&found.config, Seen::NotReadable(why) if why.contains("zcat")));
        assert!(matches!(&found.tracefs, Check::No { why } if why.contains("mount -t")));
    }
}

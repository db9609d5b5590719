//! Facts on the kernel and on this process that need no trial. An unreadable fact is reported as
//! such.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::report::{Check, Kernel, Process, Right, Seen};
use crate::host::kernel::rights::{Capabilities, Capability, in_user_namespace};
use crate::host::namespaces::Namespaces;

/// What of the kernel's configuration matters.
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

const CAPABILITIES: [(Capability, &str, &str); 7] = [
    (Capability::Bpf, "CAP_BPF", "eBPF programs and maps: needed"),
    (Capability::Perfmon, "CAP_PERFMON", "programs that read the kernel: needed"),
    (
        Capability::SysAdmin,
        "CAP_SYS_ADMIN",
        "implies these two; enters other network namespaces; permits kprobes and perf \
         tracepoints where kernel.perf_event_paranoid is above 2; counts the runs of programs \
         (-v)",
    ),
    (
        Capability::SysPtrace,
        "CAP_SYS_PTRACE",
        "finds the network namespaces of other users' processes",
    ),
    (
        Capability::DacReadSearch,
        "CAP_DAC_READ_SEARCH",
        "perf tracepoints for users other than root, via tracefs; without them the tracepoint \
         backend runs a program at every system call",
    ),
    (
        Capability::SysResource,
        "CAP_SYS_RESOURCE",
        "memory beyond ulimit -l: needed before 5.11 only",
    ),
    (Capability::NetAdmin, "CAP_NET_ADMIN", "not needed for anything"),
];

/// The kernel, below `root`.
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

/// This process.
pub(super) fn process(root: &Path) -> Process {
    let proc_root = root.join("proc");
    let right = |set: Capabilities| {
        CAPABILITIES.map(|(capability, name, purpose)| Right {
            name,
            effective: set.has(capability),
            purpose,
        })
    };
    let namespaces = Namespaces::find(&proc_root);
    Process {
        capabilities: Capabilities::read(&proc_root).map(|set| right(set).into()),
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

/// The mode of `none [integrity] confidentiality`.
fn in_brackets(modes: &str) -> &str {
    modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(modes, |(mode, _)| mode)
}

/// From `/boot`, where distributions put it.
fn config(root: &Path, release: &str) -> Seen<BTreeMap<&'static str, String>> {
    match fs::read_to_string(root.join(format!("boot/config-{release}"))) {
        Ok(text) => Seen::Value(parse_config(&text)),
        Err(error) => {
            // It is compressed, and not worth a decompressor.
            let where_else = if root.join("proc/config.gz").exists() {
                "; zcat /proc/config.gz shows it"
            } else {
                ""
            };
            Seen::NotReadable(format!("/boot/config-{release}: {}{where_else}", words(&error)))
        }
    }
}

/// An unset option is a comment, or missing.
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

/// Is it mounted in its usual place, and readable?
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

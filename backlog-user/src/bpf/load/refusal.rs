//! Explains why the kernel refused a program or map, and what to do about it.

use std::io;

use anyhow::anyhow;
use aya::programs::ProgramError;

use crate::bpf::plan::{Hook, Way};

/// The kernel's internal error for "not supported", which has no name in userspace.
const ENOTSUPP: i32 = 524;

/// Explains the kernel's refusal of a program.
pub(super) fn refused(error: ProgramError, hook: &Hook) -> anyhow::Error {
    let place = format!("{} on {}", hook.program, hook.target);
    if let ProgramError::LoadError { io_error, verifier_log } = &error {
        let log = verifier_log.to_string();
        if !log.trim().is_empty() {
            return anyhow!(
                "the kernel's verifier refuses the program {place} ({io_error}): please report \
                 this with your `uname -r`. The end of its log:\n{}",
                tail(&log)
            );
        }
    }
    let Some(what) = meaning(hook.attach.way(), errno(&error)) else {
        return anyhow::Error::new(error).context(format!("attaching {place}"));
    };
    match errno(&error) {
        Some(number) => anyhow!("{what} ({place}: {})", io::Error::from_raw_os_error(number)),
        None => anyhow!("{what} ({place})"),
    }
}

/// What an error number means for an attach type.
fn meaning(way: Way, errno: Option<i32>) -> Option<&'static str> {
    const FORBIDDEN: Option<i32> = Some(libc::EPERM);
    const DENIED: Option<i32> = Some(libc::EACCES);
    const NONE: Option<i32> = Some(libc::ENOENT);
    Some(match (way, errno) {
        (Way::Fentry, FORBIDDEN | DENIED) => {
            "the kernel refuses fentry and fexit programs (a hardened kernel, lockdown, or too few \
             capabilities)"
        }
        (Way::Fentry, Some(ENOTSUPP | libc::EOPNOTSUPP)) => {
            "this kernel cannot attach fentry and fexit programs here (no BPF trampoline: arm64 \
             before 6.4, or CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS off)"
        }
        (Way::Kprobe, NONE) => {
            "this kernel has no kprobes (CONFIG_KPROBES off), or none on this \
            function"
        }
        (Way::Kprobe, FORBIDDEN | DENIED) => {
            "the kernel refuses kprobes (a hardened kernel, lockdown, or too few capabilities: \
             CAP_PERFMON and CAP_BPF are needed, and CAP_SYS_ADMIN where \
             kernel.perf_event_paranoid is above 2)"
        }
        // Without an error number, aya found no tracefs.
        (Way::Tracepoint, NONE | None) => {
            "perf tracepoints are unavailable: tracefs is not mounted (mount -t tracefs tracefs \
             /sys/kernel/tracing) or not readable for this user, or CONFIG_FTRACE_SYSCALLS is \
             off"
        }
        (Way::Tracepoint, FORBIDDEN | DENIED) => {
            "perf tracepoints are not permitted: they need read access to tracefs \
             (CAP_DAC_READ_SEARCH), and CAP_SYS_ADMIN where kernel.perf_event_paranoid is above \
             2"
        }
        (Way::BtfTracepoint | Way::RawTracepoint | Way::Iter, FORBIDDEN | DENIED) => {
            "the kernel refuses tracing programs (lockdown, or too few capabilities: CAP_PERFMON \
             and CAP_BPF are needed)"
        }
        _ => return None,
    })
}

/// The last lines of the verifier's log, which give the reason.
fn tail(log: &str) -> String {
    const LINES: usize = 8;
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Explains an error when the maps are created.
pub(super) fn explain(error: aya::EbpfError, doing: &'static str) -> anyhow::Error {
    let error = anyhow::Error::new(error);
    match errno_of(&error) {
        Some(libc::EPERM) => error.context(format!(
            "{doing}: the kernel refuses it: run as root (sudo backlog-trace ...), or with the \
             capabilities CAP_BPF and CAP_PERFMON; before 5.11 the limit of locked memory must \
             allow it too (CAP_SYS_RESOURCE, or ulimit -l unlimited)"
        )),
        _ => error.context(doing),
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = current.source();
    }
    match error {
        ProgramError::LoadError { io_error, .. } => io_error.raw_os_error(),
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn errno_of(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

//! Blocks system calls that a run never makes once its programs are attached. They fail with EPERM,
//! also for code that an attacker has injected: `CAP_SYS_ADMIN` and `CAP_SYS_PTRACE`, which reading
//! other namespaces and processes needs, would permit much more.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Blocked with any arguments: starting programs, changing or reading other processes, changing
/// mounts, the kernel, the clock or the host, and `io_uring`, whose operations no filter sees.
const REFUSED: [i64; 56] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_uselib,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_vhangup,
    libc::SYS_syslog,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_fanotify_init,
    libc::SYS_personality,
];

/// The x32 ABI has the same architecture number as the 64-bit one. Most of its system calls have
/// the same numbers plus this bit; kernels without that ABI reject them.
const X32: i64 = 0x4000_0000;

/// The system calls of [`REFUSED`] with other numbers in the x32 ABI: execve, execveat, ptrace,
/// `process_vm_readv`, `process_vm_writev`, `kexec_load`.
const X32_ONLY: [i64; 6] = [520, 545, 521, 539, 540, 528];

/// `BPF_MAP_CREATE` and `BPF_PROG_LOAD`: all programs are loaded by then.
const BPF_REFUSED: [u64; 2] = [0, 5];

/// Blocks these system calls for every thread of this process.
pub(crate) fn install() -> Result<()> {
    let program = program()?;
    apply_filter_all_threads(&program).context("installing the seccomp filter")
}

fn program() -> Result<BpfProgram> {
    // System calls of other architectures kill the process, which has no code that makes them.
    let arch = TargetArch::try_from(std::env::consts::ARCH).context("the seccomp filter")?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules()?, SeccompAction::Allow, refused, arch);
    let filter = filter.context("the rules of the seccomp filter")?;
    filter.try_into().context("compiling the seccomp filter")
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules = BTreeMap::new();
    let mut refuse = |number: i64, conditions: Vec<SeccompRule>| {
        rules.insert(number | X32, conditions.clone());
        rules.insert(number, conditions);
    };
    for number in REFUSED {
        refuse(number, Vec::new());
    }
    let mut commands = Vec::new();
    for command in BPF_REFUSED {
        commands.push(rule(0, SeccompCmpOp::Eq, command)?);
    }
    refuse(libc::SYS_bpf, commands);
    let network = u64::from(libc::CLONE_NEWNET.unsigned_abs());
    refuse(libc::SYS_setns, vec![rule(1, SeccompCmpOp::Ne, network)?]);
    for number in X32_ONLY {
        rules.insert(number | X32, Vec::new());
    }
    Ok(rules)
}

/// A condition on the argument with this index.
fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    rule.context("the rules of the seccomp filter")
}

#[cfg(test)]
mod tests {
    use super::{X32, program};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::process::Command;
    use std::thread;

    /// Runs a function in a thread with the filter; other threads are not affected.
    fn filtered<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                seccompiler::apply_filter(&program().unwrap()).unwrap();
                test()
            });
            thread.join().unwrap()
        })
    }

    fn errno(number: i64, arguments: [u64; 3]) -> Option<i32> {
        let [first, second, third] = arguments;
        // SAFETY: the pointers are null or of calls that are refused before they are read.
        let result = unsafe { libc::syscall(number, first, second, third) };
        if result < 0 { io::Error::last_os_error().raw_os_error() } else { None }
    }

    #[test]
    fn what_a_run_never_does_is_refused() {
        let errors = filtered(|| {
            [
                errno(libc::SYS_execve, [0; 3]),
                errno(libc::SYS_execve | X32, [0; 3]),
                errno(super::X32_ONLY[0] | X32, [0; 3]),
                errno(libc::SYS_ptrace, [0; 3]),
                errno(libc::SYS_mount, [0; 3]),
                errno(libc::SYS_init_module, [0; 3]),
                errno(libc::SYS_kexec_load, [0; 3]),
                errno(libc::SYS_unshare, [0; 3]),
                errno(libc::SYS_perf_event_open, [0; 3]),
                errno(libc::SYS_bpf, [0, 0, 0]),
                errno(libc::SYS_bpf, [5, 0, 0]),
            ]
        });
        assert_eq!(errors, [Some(libc::EPERM); 11]);
        // Without the filter, these fail because of their arguments, or succeed.
        assert_eq!(errno(libc::SYS_execve, [0; 3]), Some(libc::EFAULT));
        assert_eq!(errno(libc::SYS_unshare, [0; 3]), None);
        let started = filtered(|| Command::new("true").status().map_err(|error| error.kind()));
        assert_eq!(started.unwrap_err(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_a_run_needs_is_permitted() {
        filtered(|| {
            // A map that does not exist: the error shows that the kernel has read the arguments.
            let attributes = [0xff_u8; 128];
            let attributes = attributes.as_ptr() as u64;
            let lookup = errno(libc::SYS_bpf, [1, attributes, 128]);
            assert_ne!(lookup, None);
            let refused = errno(libc::SYS_bpf, [5, attributes, 128]);
            assert_eq!(refused, Some(libc::EPERM));
            // Not a namespace. With a required namespace type, the call reaches the kernel; with
            // any type, it is blocked.
            let null = File::open("/dev/null").unwrap();
            let fd = null.as_raw_fd().unsigned_abs().into();
            let network = libc::CLONE_NEWNET.unsigned_abs().into();
            assert_eq!(errno(libc::SYS_setns, [fd, network, 0]), Some(libc::EINVAL));
            assert_eq!(errno(libc::SYS_setns, [fd, 0, 0]), Some(libc::EPERM));
            thread::spawn(|| ()).join().unwrap();
        });
    }
}

//! CPU time and memory of this process.

use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;

use backlog_core::run::cost::{Cpu, Memory};

/// CPU time since the process began.
pub(super) fn cpu() -> Option<Cpu> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills the struct it is given and nothing else.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: numbers, zeroed and then filled by the call.
    let usage = unsafe { usage.assume_init() };
    Some(Cpu { user_us: microseconds(usage.ru_utime)?, system_us: microseconds(usage.ru_stime)? })
}

fn microseconds(time: libc::timeval) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(u64::try_from(time.tv_usec).ok()?)
}

/// Reads the memory from `/proc` below `root`.
pub(super) fn memory(root: &Path) -> Memory {
    fs::read_to_string(root.join("proc/self/status"))
        .map_or_else(|_| Memory::default(), |status| parse(&status))
}

fn parse(status: &str) -> Memory {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Memory { resident: bytes("VmRSS:"), peak: bytes("VmHWM:"), anonymous: bytes("RssAnon:") }
}

#[cfg(test)]
mod tests {
    use super::{cpu, parse};
    use backlog_core::run::cost::{Cpu, Memory};

    #[test]
    fn memory_is_in_bytes_and_unknown_where_it_is_not_told() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        let memory = parse(status);
        assert_eq!((memory.resident, memory.peak), (Some(1 << 20), Some(20 << 20)));
        assert_eq!(memory.anonymous, None);
        assert_eq!(parse("VmRSS:\t many kB\nVmHWM:\t 5\n"), Memory::default());
    }

    #[test]
    fn cpu_time_of_this_process_grows() {
        let first = cpu().unwrap();
        let mut sum = 0_u64;
        while cpu().unwrap().since(first).sum_us() < 1000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(first.since(cpu().unwrap()), Cpu::default());
    }
}

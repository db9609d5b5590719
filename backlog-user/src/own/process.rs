//! CPU time and memory of this process.

use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// CPU time, without that of the `--cmd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::unsafe_derive_deserialize, reason = "numbers: no safety hangs on them")]
pub(crate) struct Cpu {
    /// In the program, microseconds.
    pub(crate) user_us: u64,
    /// In the kernel on its behalf.
    pub(crate) system_us: u64,
}

impl Cpu {
    /// Since the process began.
    pub(super) fn now() -> Option<Self> {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the call fills the struct it is given and nothing else.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: numbers, zeroed and then filled by the call.
        let usage = unsafe { usage.assume_init() };
        Some(Self {
            user_us: microseconds(usage.ru_utime)?,
            system_us: microseconds(usage.ru_stime)?,
        })
    }

    /// What came after an earlier reading.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    /// Both.
    pub(crate) fn sum_us(self) -> u64 {
        self.user_us + self.system_us
    }
}

fn microseconds(time: libc::timeval) -> Option<u64> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(u64::try_from(time.tv_usec).ok()?)
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Now. The ring is in it, twice: it is mapped so that no record is cut at its end.
    pub(crate) resident: Option<u64>,
    /// The most there ever was.
    pub(crate) peak: Option<u64>,
    /// Of what is resident now: without files and mapped maps.
    pub(crate) anonymous: Option<u64>,
}

impl Memory {
    /// Reads it below `root`.
    pub(super) fn read(root: &Path) -> Self {
        fs::read_to_string(root.join("proc/self/status"))
            .map_or_else(|_| Self::default(), |status| Self::parse(&status))
    }

    fn parse(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        };
        Self { resident: bytes("VmRSS:"), peak: bytes("VmHWM:"), anonymous: bytes("RssAnon:") }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Memory};

    #[test]
    fn memory_is_in_bytes_and_unknown_where_it_is_not_told() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        let memory = Memory::parse(status);
        assert_eq!((memory.resident, memory.peak), (Some(1 << 20), Some(20 << 20)));
        assert_eq!(memory.anonymous, None);
        assert_eq!(Memory::parse("VmRSS:\t many kB\nVmHWM:\t 5\n"), Memory::default());
    }

    #[test]
    fn cpu_time_of_this_process_grows() {
        let first = Cpu::now().unwrap();
        let mut sum = 0_u64;
        while Cpu::now().unwrap().since(first).sum_us() < 1000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(first.since(Cpu::now().unwrap()), Cpu::default());
    }
}

//! The data of the `process_*` metrics on this process.

use backlog_core::metrics::Own;
use procfs::process::{LimitValue, Process};

/// Start time in seconds since 1970. It is read once: reading the boot time makes the kernel add up
/// the counts of every interrupt.
pub(super) fn start_s() -> Option<f64> {
    let stat = Process::myself().ok()?.stat().ok()?;
    let boot_s = procfs::boot_time_secs().ok()?;
    Some(boot_s as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64)
}

/// Reads the process from /proc; values that cannot be read are unknown.
pub(super) fn read(start_s: Option<f64>) -> Own {
    let Ok(process) = Process::myself() else { return Own::default() };
    let ticks = procfs::ticks_per_second() as f64;
    let stat = process.stat().ok();
    let stat = stat.as_ref();
    let seconds = |count: u64| count as f64 / ticks;
    let limit = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
    Own {
        cpu_s: stat.map(|stat| seconds(stat.utime + stat.stime)),
        resident_bytes: stat.map(|stat| stat.rss.saturating_mul(procfs::page_size())),
        open_fds: process.fd_count().ok().map(|count| count as u64),
        max_fds: limit.and_then(|limit| match limit {
            LimitValue::Value(value) => Some(value),
            LimitValue::Unlimited => None,
        }),
        start_s,
        threads: stat.and_then(|stat| u64::try_from(stat.num_threads).ok()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_is_known() {
        let own = super::read(super::start_s());
        assert!(own.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{own:?}");
        assert!(own.open_fds.is_some_and(|count| count > 2) && own.threads.is_some());
        let now_s = jiff::Timestamp::now().as_second() as f64;
        assert!(own.start_s.is_some_and(|start_s| now_s - start_s < 86_400.0), "{own:?}");
    }
}

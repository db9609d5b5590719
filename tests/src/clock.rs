//! Time: the monotonic clock that the kernel's hooks also read, durations as users write them, and
//! waiting for a condition with a time limit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The interval between two checks of a condition.
const STEP: Duration = Duration::from_millis(2);

/// `CLOCK_MONOTONIC` in nanoseconds: comparable with `bpf_ktime_get_ns`, unlike `Instant`.
#[must_use]
pub fn mono_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// The run time of the calling thread in nanoseconds: includes its interrupts, but no other
/// threads.
#[must_use]
pub fn thread_ns() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The time of any clock in nanoseconds; 0 if the clock does not exist.
pub(crate) fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec that outlives the call; the clocks above
    // exist on every Linux, and without one it stays 0.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Reads `8ms`, `2s`, `500us`, `100ns`, `1.5s`, `2m` or `0`.
///
/// # Errors
/// When the number or the unit is not understood.
pub fn parse_time(text: &str) -> Result<Duration> {
    let digits =
        text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        "" => bail!("{text:?} lacks a unit: ns, us, ms, s, m or h"),
        other => bail!("unknown unit {other:?} in {text:?}: use ns, us, ms, s, m or h"),
    };
    let number: f64 =
        number.parse().with_context(|| format!("{text:?} is no time such as 500us, 8ms or 2s"))?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .with_context(|| format!("{text:?} is too long"))
}

/// Waits until `met` returns true, at most `limit`.
///
/// # Errors
/// When the limit passes, with `what` was waited for, or when `met` fails.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut met: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        if met()? {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} without success: {what}");
        }
        std::thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_units() {
        assert_eq!(parse_time("500us").unwrap(), Duration::from_micros(500));
        assert_eq!(parse_time("8ms").unwrap(), Duration::from_millis(8));
        assert_eq!(parse_time("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse_time("0").unwrap(), Duration::ZERO);
    }

    #[test]
    fn a_time_without_a_unit_is_refused() {
        let words = parse_time("12").unwrap_err().to_string();
        assert!(words.contains("lacks a unit"), "{words}");
        assert!(parse_time("4 parsecs").is_err());
        assert!(parse_time("").is_err());
    }

    #[test]
    fn waiting_ends_at_the_limit() {
        let error = wait_until("rain", Duration::from_millis(5), || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("rain"));
    }
}

//! Numbers and times for people to read.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Microseconds in at most five characters: `320us`, `1.2ms`, `15ms`, `1.5s`, `12s`.
#[must_use]
pub fn duration(us: u64) -> String {
    let (value, unit) = match us {
        0..1_000 => return format!("{us}us"),
        // 999.5 ms would be rounded to 1000ms.
        1_000..999_500 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    // 9.95 and more would be rounded to 10.0, a character too long.
    if value < 9.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// A rate per second in at most five characters.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second < 99.95 && per_second.fract() > 0.0 {
        format!("{per_second:.1}")
    } else if per_second < 99_999.5 {
        format!("{per_second:.0}")
    } else if per_second < 999_500.0 {
        format!("{:.0}k", per_second / 1e3)
    } else {
        format!("{:.1}M", per_second / 1e6)
    }
}

/// A part of a whole in percent, rounded up, without the sign.
#[must_use]
pub fn percent(part: u32, whole: u32) -> u64 {
    (u64::from(part) * 100).div_ceil(u64::from(whole.max(1)))
}

/// `2688 bytes`, `11.0 MiB`, `1.5 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let mebibytes = count as f64 / f64::from(1 << 20);
    if count < 10_000 {
        format!("{count} bytes")
    } else if mebibytes < 0.95 {
        format!("{:.0} KiB", count as f64 / 1024.0)
    } else if mebibytes < 1023.95 {
        format!("{mebibytes:.1} MiB")
    } else {
        format!("{:.1} GiB", mebibytes / 1024.0)
    }
}

/// `21:04:05` in the given time zone, with this many digits of the second's fraction.
#[must_use]
pub fn clock_time(zone: &TimeZone, time: Timestamp, digits: usize) -> String {
    let time = zone.to_datetime(time).time();
    let whole = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    if digits == 0 {
        return whole;
    }
    let fraction = format!("{:09}", time.subsec_nanosecond());
    format!("{whole}.{}", &fraction[..digits.min(9)])
}

/// A count and its noun: `1 client`, `2 clients`.
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, clock_time, duration, percent, rate};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    #[test]
    fn durations_are_short() {
        let texts: Vec<_> = [0, 999, 1_000, 9_949, 9_950, 999_499, 999_500, 1_500_000, 63_000_000]
            .map(duration)
            .into();
        assert_eq!(
            texts,
            ["0us", "999us", "1.0ms", "9.9ms", "10ms", "999ms", "1.0s", "1.5s", "63s"]
        );
    }

    #[test]
    fn rates_are_short() {
        let texts: Vec<_> =
            [0.0, 0.5, 99.94, 100.2, 12_345.0, 123_456.0, 1_500_000.0].map(rate).into();
        assert_eq!(texts, ["0", "0.5", "99.9", "100", "12345", "123k", "1.5M"]);
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let texts = [2688, 10_000, 990_000, 1 << 20, (1 << 30) - 1, 3 << 29].map(bytes);
        assert_eq!(texts, ["2688 bytes", "10 KiB", "967 KiB", "1.0 MiB", "1.0 GiB", "1.5 GiB"]);
    }

    #[test]
    fn percent_of_no_limit() {
        assert_eq!(percent(17, 16), 107);
        assert_eq!(percent(129, 128), 101);
        assert_eq!(percent(128, 128), 100);
        assert_eq!(percent(1, 0), 100);
    }

    #[test]
    fn times_have_the_digits_asked_for() {
        let time = Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap();
        assert_eq!(clock_time(&TimeZone::UTC, time, 0), "22:13:20");
        assert_eq!(clock_time(&TimeZone::UTC, time, 6), "22:13:20.123456");
        assert_eq!(clock_time(&TimeZone::UTC, time, 9), "22:13:20.123456789");
    }
}

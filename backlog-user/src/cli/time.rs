//! Parses times on the command line: seconds, or with units.

use std::time::Duration;

use jiff::SignedDuration;

/// Parses `2`, `0.5`, `500ms`, `1m 30s`; None if the text is not a time.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let time: SignedDuration = text.parse().ok()?;
    Duration::try_from(time).ok()
}

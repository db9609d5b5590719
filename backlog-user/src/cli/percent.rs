//! Parses shares of a limit on the command line.

/// The default share of its limit at which a queue is nearly full, in percent.
pub(super) const HIGH_USE: u32 = 80;

/// The largest valid share: a queue with a limit of 1 reaches 200%.
const MOST: u32 = 1000;

/// Parses `80%` or `80`; None if the text is not a valid share.
pub(super) fn parse_percent(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.filter(|percent| (1..=MOST).contains(percent))
}

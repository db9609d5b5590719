//! Shares of a limit on the command line.

/// The share of its limit at which a queue is nearly full, percent, unless another one is given.
pub(super) const HIGH_USE: u32 = 80;

/// The largest share: a queue with a limit of 1 takes 200%.
const MOST: u32 = 1000;

/// `80%` or `80`; none: it is not such a share.
pub(super) fn parse_percent(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.filter(|percent| (1..=MOST).contains(percent))
}

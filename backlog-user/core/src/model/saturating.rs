//! Sums of counts. Those of a recording may be anything, and a sum that wraps around would look like
//! a real one.

/// The sum, or the largest number.
#[must_use]
pub fn saturating(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

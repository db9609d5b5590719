//! Sums of counts that do not wrap around. A recording may contain any counts, and a wrapped sum
//! would look like a real one.

/// The sum, or the largest number if it does not fit.
#[must_use]
pub fn saturating(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

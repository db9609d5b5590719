//! A distribution of whole numbers: exact counts in buckets of powers of two,
//! percentiles to a tenth of a percent, the exact maximum.

use hdrhistogram::Histogram;

/// Buckets of powers of two: bucket k counts what is in (2^(k-1), 2^k].
const BUCKETS: usize = 48;

/// Percentiles are told to three digits.
const DIGITS: u8 = 3;

/// See the module's head. Takes memory only once it has a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution {
    values: Option<Box<Values>>,
}

#[derive(Clone, Debug)]
struct Values {
    fine: Histogram<u32>,
    buckets: [u64; BUCKETS],
    max: u64,
    count: u64,
}

/// A bucket that has something in it or lies between two that have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The smallest value that belongs here.
    pub(crate) low: u64,
    /// The largest.
    pub(crate) high: u64,
    /// How many values.
    pub(crate) count: u64,
}

impl Distribution {
    /// Adds a value.
    pub(crate) fn record(&mut self, value: u64) {
        if self.values.is_none() {
            // Three digits are within what the crate takes; it grows by itself.
            let Ok(mut fine) = Histogram::new(DIGITS) else {
                return;
            };
            fine.auto(true);
            self.values = Some(Box::new(Values { fine, buckets: [0; BUCKETS], max: 0, count: 0 }));
        }
        if let Some(values) = &mut self.values {
            // It grows as it must; what no memory can hold is in the buckets.
            let _ = values.fine.record(value);
            values.buckets[bucket_of(value)] += 1;
            values.max = values.max.max(value);
            values.count += 1;
        }
    }

    /// Forgets the values, not the memory.
    pub(crate) fn clear(&mut self) {
        if let Some(values) = &mut self.values {
            values.fine.reset();
            values.buckets = [0; BUCKETS];
            values.max = 0;
            values.count = 0;
        }
    }

    /// How many values.
    pub(crate) fn count(&self) -> u64 {
        self.values.as_ref().map_or(0, |values| values.count)
    }

    /// The largest value, exactly.
    pub(crate) fn max(&self) -> Option<u64> {
        self.some().map(|values| values.max)
    }

    /// The value that this share of the values does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        self.some().map(|values| values.fine.value_at_quantile(share).min(values.max))
    }

    /// The buckets from the first to the last that has something in it.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let Some(values) = self.some() else {
            return Vec::new();
        };
        let full = |count: &u64| *count > 0;
        let (Some(first), Some(last)) =
            (values.buckets.iter().position(full), values.buckets.iter().rposition(full))
        else {
            return Vec::new();
        };
        (first..=last)
            .map(|index| Bucket {
                low: if index == 0 { 0 } else { (1 << (index - 1)) + 1 },
                high: 1 << index,
                count: values.buckets[index],
            })
            .collect()
    }

    fn some(&self) -> Option<&Values> {
        self.values.as_deref().filter(|values| values.count > 0)
    }
}

/// 0 and 1 are in bucket 0; a value of 2^k is in bucket k.
fn bucket_of(value: u64) -> usize {
    let index = if value <= 1 { 0 } else { 64 - (value - 1).leading_zeros() as usize };
    index.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Distribution, bucket_of};

    #[test]
    fn bounds_are_inclusive() {
        for (value, bucket) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4)] {
            assert_eq!(bucket_of(value), bucket, "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), 47);
    }

    #[test]
    fn buckets_run_from_the_first_to_the_last() {
        let mut distribution = Distribution::default();
        assert!(distribution.buckets().is_empty());
        assert_eq!(distribution.quantile(0.5), None);
        for value in [3, 4, 17] {
            distribution.record(value);
        }
        assert_eq!(
            distribution.buckets(),
            [
                Bucket { low: 3, high: 4, count: 2 },
                Bucket { low: 5, high: 8, count: 0 },
                Bucket { low: 9, high: 16, count: 0 },
                Bucket { low: 17, high: 32, count: 1 },
            ]
        );
    }

    #[test]
    fn percentiles_are_within_a_tenth_of_a_percent() {
        let mut distribution = Distribution::default();
        for value in 1..=300_000 {
            distribution.record(value);
        }
        let p50 = distribution.quantile(0.5).unwrap();
        assert!(p50.abs_diff(150_000) <= 150, "{p50}");
        assert_eq!(distribution.max(), Some(300_000));
        assert_eq!(distribution.quantile(1.0), Some(300_000));
        distribution.clear();
        assert_eq!((distribution.count(), distribution.max()), (0, None));
    }
}

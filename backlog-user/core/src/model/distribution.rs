//! A distribution of positive integers: exact counts in the buckets of
//! [`backlog_ebpf::distribution`], whose width bounds the error of a percentile, and the exact
//! maximum.

use backlog_ebpf::distribution::{DEPTH_POWER, GROUPING, WAIT_POWER, first};
use histogram::Histogram;

use crate::event::Moves;

/// See the module documentation. Allocates memory only when it gets a value.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// Values are below this power of two.
    power: u8,
    /// The buckets hold the values minus one.
    fine: Option<Box<Histogram>>,
    /// The largest reported value.
    longest: u64,
    count: u64,
}

/// A bucket, in the range from the first to the last non-empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The smallest value that belongs here.
    pub low: u64,
    /// The largest value that belongs here.
    pub high: u64,
    /// The number of values.
    pub count: u64,
}

impl Distribution {
    /// An empty distribution of waits in microseconds.
    #[must_use]
    pub fn of_waits() -> Self {
        Self { power: WAIT_POWER, fine: None, longest: 0, count: 0 }
    }

    /// An empty distribution of depths.
    #[must_use]
    pub fn of_depths() -> Self {
        Self { power: DEPTH_POWER, fine: None, longest: 0, count: 0 }
    }

    /// Adds moves of buckets; `longest` is the largest of all values so far.
    pub fn add(&mut self, moves: &Moves, longest: u64) {
        self.longest = self.longest.max(longest);
        if moves.is_empty() {
            return;
        }
        if self.fine.is_none() {
            // The constants are powers that the crate accepts.
            self.fine = Histogram::new(GROUPING, self.power).ok().map(Box::new);
        }
        if let Some(fine) = &mut self.fine {
            for (bucket, count) in moves {
                // The programs use only existing buckets.
                if fine.add(first(*bucket), u64::from(*count)).is_ok() {
                    self.count += u64::from(*count);
                }
            }
        }
    }

    /// Adds all values of another distribution of the same kind.
    pub fn merge(&mut self, other: &Self) {
        self.add(&other.moves(), other.longest);
    }

    /// Removes the values and keeps the memory.
    pub fn clear(&mut self) {
        if self.count > 0
            && let Some(fine) = &mut self.fine
        {
            fine.as_mut_slice().fill(0);
        }
        (self.longest, self.count) = (0, 0);
    }

    /// All values, as moves from an empty distribution.
    #[must_use]
    pub fn moves(&self) -> Moves {
        let counts = self.some().map_or(&[][..], |fine| fine.as_slice());
        let mut moves = Moves::new();
        for (bucket, count) in (0..).zip(counts) {
            let mut left = *count;
            while left > 0 {
                let some = u32::try_from(left).unwrap_or(u32::MAX);
                moves.push((bucket, some));
                left -= u64::from(some);
            }
        }
        moves
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        let last = self.some()?.quantile_bucket(1.0).ok()??;
        Some(self.longest.clamp(last.start() + 1, last.end() + 1))
    }

    /// The values at these quantiles: the upper ends of their buckets.
    #[must_use]
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[u64; N]> {
        let mut found = [const { None }; N];
        self.some()?.quantile_buckets_into(&shares, &mut found).ok()?;
        let max = self.max()?;
        Some(found.map(|bucket| bucket.map_or(max, |bucket| (bucket.end() + 1).min(max))))
    }

    /// The number of values that are certainly larger than this one.
    #[must_use]
    pub fn above(&self, value: u64) -> u64 {
        let buckets = self.some().into_iter().flat_map(|fine| fine.iter());
        buckets.filter(|bucket| bucket.start() >= value).map(|bucket| bucket.count()).sum()
    }

    /// The exact number of values up to each of these powers of two, and twice the sum of all
    /// values, as if each were in the middle of its bucket.
    #[must_use]
    pub fn up_to<const N: usize>(&self, powers: &[u64; N]) -> ([u64; N], u64) {
        let (mut counts, mut twice_the_sum) = ([0; N], 0_u64);
        let buckets = self.some().into_iter().flat_map(|fine| fine.iter());
        for bucket in buckets.filter(|bucket| bucket.count() > 0) {
            let values = bucket.start() + bucket.end() + 2;
            twice_the_sum = twice_the_sum.saturating_add(bucket.count().saturating_mul(values));
            let above = powers.iter().position(|power| bucket.end() < *power);
            counts.iter_mut().skip(above.unwrap_or(N)).for_each(|sum| *sum += bucket.count());
        }
        (counts, twice_the_sum)
    }

    /// Buckets of powers of two, from the first to the last non-empty one: bucket k counts values
    /// in (2^(k-1), 2^k].
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut coarse = Vec::new();
        for bucket in self.some().into_iter().flat_map(|fine| fine.iter()) {
            let power = (bucket.end() + 1).next_power_of_two().trailing_zeros() as usize;
            coarse.resize(coarse.len().max(power + 1), 0);
            coarse[power] += bucket.count();
        }
        let Some(last) = coarse.iter().rposition(|count| *count > 0) else { return Vec::new() };
        coarse
            .into_iter()
            .enumerate()
            .take(last + 1)
            .skip_while(|(_, count)| *count == 0)
            .map(|(power, count)| Bucket {
                low: if power == 0 { 0 } else { (1 << (power - 1)) + 1 },
                high: 1 << power,
                count,
            })
            .collect()
    }

    fn some(&self) -> Option<&Histogram> {
        self.fine.as_deref().filter(|_| self.count > 0)
    }
}

#[cfg(test)]
mod tests {
    use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};

    use super::{Bucket, Distribution};

    #[test]
    fn buckets_run_from_the_first_to_the_last_and_their_bounds_are_inclusive() {
        let mut distribution = Distribution::of_depths();
        assert!(distribution.buckets().is_empty());
        assert_eq!(distribution.quantiles([0.5]), None);
        let moves = [3, 4, 17, 32].map(|value| (bucket(value - 1, DEPTHS), 1)).to_vec();
        distribution.add(&moves, 32);
        assert_eq!(
            distribution.buckets(),
            [
                Bucket { low: 3, high: 4, count: 2 },
                Bucket { low: 5, high: 8, count: 0 },
                Bucket { low: 9, high: 16, count: 0 },
                Bucket { low: 17, high: 32, count: 2 },
            ]
        );
    }

    #[test]
    fn one_is_in_the_first_bucket() {
        let mut distribution = Distribution::of_depths();
        distribution.add(&vec![(bucket(0, DEPTHS), 5)], 1);
        assert_eq!(distribution.buckets(), [Bucket { low: 0, high: 1, count: 5 }]);
        assert_eq!((distribution.max(), distribution.quantiles([0.5])), (Some(1), Some([1])));
    }

    #[test]
    fn counts_up_to_a_power_of_two_are_exact_and_the_sum_is_within_a_64th() {
        let mut distribution = Distribution::of_waits();
        let values = [1, 64, 65, 256, 5000, 20_000];
        for value in values {
            distribution.add(&vec![(bucket(value - 1, WAITS), 1)], value);
        }
        let (counts, twice) = distribution.up_to(&[64, 256, 4096, 16_384]);
        assert_eq!(counts, [2, 4, 4, 5]);
        let sum: u64 = values.iter().sum();
        assert!((twice / 2).abs_diff(sum) * 64 <= sum, "{twice} {sum}");
        assert_eq!(Distribution::of_waits().up_to(&[64]), ([0], 0));
    }

    #[test]
    fn percentiles_are_off_by_one_in_32_at_most_and_the_maximum_by_nothing() {
        let mut distribution = Distribution::of_waits();
        for value in 1..=300_000 {
            distribution.add(&vec![(bucket(value - 1, WAITS), 1)], value);
        }
        let [p50, last] = distribution.quantiles([0.5, 1.0]).unwrap();
        assert!((150_000..150_000 + 150_000 / 32).contains(&p50), "{p50}");
        assert_eq!(distribution.max(), Some(300_000));
        assert_eq!(last, 300_000);
        assert_eq!(distribution.count(), 300_000);
        distribution.clear();
        assert_eq!((distribution.count(), distribution.max()), (0, None));
    }
}

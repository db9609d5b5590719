//! Distributions of values.

use backlog_core::model::distribution::{self, Bucket};
use backlog_core::model::interval::Waits;
use serde::Serialize;

/// A distribution. A percentile above 64 is at most 3.2 % too high; `max` and `buckets` are exact.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Distribution {
    /// The median. Null: no values.
    p50: Option<u64>,
    /// The 90th percentile. Null: no values.
    p90: Option<u64>,
    /// The 99th percentile. Null: no values.
    p99: Option<u64>,
    /// The largest value. Null: no values.
    max: Option<u64>,
    /// From the first to the last bucket with a value.
    buckets: Vec<BucketCount>,
}

/// The values above the `le` of the bucket before, up to this `le`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BucketCount {
    /// The largest value that belongs here. Bounds are powers of two.
    le: u64,
    /// How many values belong here.
    count: u64,
}

impl From<&distribution::Distribution> for Distribution {
    fn from(values: &distribution::Distribution) -> Self {
        let waits = Waits::of(values);
        let count = |Bucket { high, count, low: _ }| BucketCount { le: high, count };
        Self {
            p50: waits.map(|waits| waits.p50),
            p90: waits.map(|waits| waits.p90),
            p99: waits.map(|waits| waits.p99),
            max: waits.map(|waits| waits.max),
            buckets: values.buckets().into_iter().map(count).collect(),
        }
    }
}

//! The table of metrics: names, types, labels, meanings, and the source of the values. The
//! exposition and docs/METRICS.md are written from it.

mod listener;
mod tracer;

use super::samples::Samples;
use super::snapshot::Snapshot;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only increases.
    Counter,
    /// A current value.
    Gauge,
    /// Counts of values up to bounds.
    Histogram,
    /// Facts as labels; the value is 1.
    Info,
}

impl Kind {
    /// The name in `OpenMetrics`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// The suffix of each sample's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

/// A metric.
pub struct Family {
    /// Its name, without the suffix of its type.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels, besides those that identify a listener.
    pub labels: &'static str,
    /// Its meaning, with the unit and what absence means.
    pub help: &'static str,
    /// Whether each listener has it.
    pub of_listener: bool,
    pub(super) write: Write,
}

/// Writes the samples of a metric.
type Write = fn(&Snapshot, &mut Samples<'_>);

/// All metrics: those of each listener, then those of namespaces, the host and the tracer.
pub static FAMILIES: &[&Family] = &concat::<{ listener::ALL.len() + tracer::ALL.len() }>();

const fn concat<const N: usize>() -> [&'static Family; N] {
    let mut all = [&listener::ALL[0]; N];
    let mut index = 0;
    while index < N {
        all[index] = if index < listener::ALL.len() {
            &listener::ALL[index]
        } else {
            &tracer::ALL[index - listener::ALL.len()]
        };
        index += 1;
    }
    all
}

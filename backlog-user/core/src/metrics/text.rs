//! The two text forms of the exposition, from the table of families.

use super::family::{FAMILIES, Family, Kind};
use super::samples::{Sample, Samples};
use super::snapshot::Snapshot;

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus, version 0.0.4.
    Prometheus,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The form that an `Accept` header prefers. `OpenMetrics` must be requested by name.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let open = quality(accept, "application/openmetrics-text");
        let plain = quality(accept, "text/plain");
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// The quality of this type in an `Accept` header; zero if it is not accepted. Version 0.0.1 of
/// `OpenMetrics` is not supported.
fn quality(accept: &str, wanted: &str) -> f64 {
    let of_part = |part: &str| {
        let mut words = part.split(';').map(str::trim);
        words.next().filter(|kind| kind.eq_ignore_ascii_case(wanted))?;
        let words: Vec<&str> = words.collect();
        if words.contains(&"version=0.0.1") {
            return None;
        }
        let quality = words.iter().find_map(|word| word.strip_prefix("q="));
        Some(quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
    };
    accept.split(',').filter_map(of_part).fold(0.0, f64::max)
}

/// Writes all families that have a sample.
#[must_use]
pub fn encode(snapshot: &Snapshot, format: Format) -> String {
    let mut out = String::with_capacity(4096 + snapshot.series.len() * 4096);
    for family in FAMILIES {
        write(family, snapshot, format, &mut out);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write(family: &Family, snapshot: &Snapshot, format: Format, out: &mut String) {
    let begin = out.len();
    let suffix = family.kind.suffix();
    let of_family = if format == Format::Prometheus { suffix } else { "" };
    for (keyword, text) in [("HELP", family.help), ("TYPE", type_name(family.kind, format))] {
        for part in ["# ", keyword, " ", family.name, of_family, " ", text, "\n"] {
            out.push_str(part);
        }
    }
    let headed = out.len();
    let mut line = |sample: Sample<'_>| sample.write(family.name, suffix, out);
    (family.write)(snapshot, &mut Samples::new(&mut line));
    if out.len() == headed {
        out.truncate(begin);
    }
}

/// Prometheus's own form has no info type.
fn type_name(kind: Kind, format: Format) -> &'static str {
    match (kind, format) {
        (Kind::Info, Format::Prometheus) => Kind::Gauge.name(),
        (kind, _) => kind.name(),
    }
}

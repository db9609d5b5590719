//! Encodes a snapshot as a request of OTLP (OpenTelemetry's protocol) in protobuf: the same
//! families, names, labels and values as in the text forms, from the same table.
//!
//! Points have no start time: a series that returns starts at 0, and the time when it started is
//! not kept. The protocol permits that: receivers take a lower value as a restart.

mod proto;
#[cfg(test)]
mod tests;

use prost::Message as _;

use super::family::{FAMILIES, Family, Kind};
use super::samples::{Sample, Samples, Value};
use super::snapshot::Snapshot;
use proto::{
    AnyValue, CUMULATIVE, Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, Point, Request,
    Resource, ResourceMetrics, Response, Scope, ScopeMetrics, Sum, Text,
};

/// An encoded request.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The message.
    pub bytes: Vec<u8>,
    /// The number of its data points.
    pub points: u64,
}

/// What a receiver rejected of a request that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The number of rejected data points.
    pub points: u64,
    /// The receiver's reason; empty if it gave none.
    pub message: String,
}

/// Writes all families that have a sample. The attributes describe the host and the service.
#[must_use]
pub fn encode(snapshot: &Snapshot, attributes: &[(&str, &str)]) -> Encoded {
    let attribute = |&(key, value): &(&str, &str)| attribute(key, value.to_owned());
    let metrics: Vec<Metric> =
        FAMILIES.iter().filter_map(|family| metric(family, snapshot)).collect();
    let points = metrics.iter().map(points).sum();
    let scope =
        Scope { name: "backlog-trace".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let request = Request {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes.iter().map(attribute).collect() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics }],
        }],
    };
    Encoded { bytes: request.encode_to_vec(), points }
}

/// Reads the answer to a request. None if everything was accepted, or the answer cannot be read.
#[must_use]
pub fn rejected(response: &[u8]) -> Option<Rejected> {
    let partial = Response::decode(response).ok()?.partial_success?;
    let points = u64::try_from(partial.rejected_points).unwrap_or(0);
    (points > 0).then_some(Rejected { points, message: partial.message })
}

fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.points.len(),
        Some(Data::Sum(sum)) => sum.points.len(),
        Some(Data::Histogram(histogram)) => histogram.points.len(),
        None => 0,
    };
    points as u64
}

fn metric(family: &Family, snapshot: &Snapshot) -> Option<Metric> {
    let time_ns = snapshot.wall_ns;
    let data = match family.kind {
        Kind::Histogram => {
            let points = histograms(family, snapshot, time_ns);
            Data::Histogram(Histogram { points, temporality: CUMULATIVE })
        }
        Kind::Counter => {
            let points = numbers(family, snapshot, time_ns);
            Data::Sum(Sum { points, temporality: CUMULATIVE, is_monotonic: true })
        }
        Kind::Gauge | Kind::Info => {
            Data::Gauge(Gauge { points: numbers(family, snapshot, time_ns) })
        }
    };
    let metric = Metric {
        name: format!("{}{}", family.name, family.kind.suffix()),
        description: family.help.to_owned(),
        data: Some(data),
    };
    (points(&metric) > 0).then_some(metric)
}

fn numbers(family: &Family, snapshot: &Snapshot, time_ns: u64) -> Vec<Point> {
    let mut points = Vec::new();
    (family.write)(
        snapshot,
        &mut Samples::new(&mut |sample: Sample<'_>| {
            let value = match sample.value {
                // Counts of connections stay far below the end of this range.
                Value::Count(count) => proto::Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
                Value::Number(number) => proto::Value::Double(number),
            };
            let mut attributes = attributes(sample.labels);
            attributes.extend(sample.more.map(|(key, value)| attribute(key, value.to_owned())));
            points.push(Point { attributes, time_ns, value: Some(value) });
        }),
    );
    points
}

/// The samples of a histogram are in this order: buckets by rising bound, sum, count.
fn histograms(family: &Family, snapshot: &Snapshot, time_ns: u64) -> Vec<HistogramPoint> {
    let mut points = Vec::new();
    let mut point = HistogramPoint { time_ns, ..HistogramPoint::default() };
    let mut below = 0;
    (family.write)(
        snapshot,
        &mut Samples::new(&mut |sample: Sample<'_>| match (sample.part, sample.value) {
            ("_bucket", Value::Count(up_to)) => {
                // The exposition counts cumulatively, OTLP by bucket; the last bucket has no bound.
                point.bucket_counts.push(up_to - below);
                below = up_to;
                let bound = sample.more.and_then(|(_, le)| le.parse::<f64>().ok());
                point.bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            ("_sum", Value::Number(sum)) => point.sum = Some(sum),
            ("_count", Value::Count(count)) => {
                point.count = count;
                point.attributes = attributes(sample.labels);
                let next = HistogramPoint { time_ns, ..HistogramPoint::default() };
                points.push(std::mem::replace(&mut point, next));
                below = 0;
            }
            _ => {}
        }),
    );
    points
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Text::String(value)) }) }
}

/// Reads labels in the form of the exposition: `a="x",b="y"`, with `\"` and `\\` in the values.
/// Empty values are omitted: to Prometheus such a label is absent.
fn attributes(mut labels: &str) -> Vec<KeyValue> {
    let mut found = Vec::new();
    while let Some((key, rest)) = labels.split_once("=\"") {
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => value.push(character),
            }
        }
        if !value.is_empty() {
            found.push(attribute(key.trim_start_matches(','), value));
        }
        labels = rest.get(end..).unwrap_or_default();
    }
    found
}

//! Decodes the output with the OpenTelemetry project's own types: it has exactly the samples of the
//! text form.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, NumberDataPoint, number_data_point,
};
use prost::Message as _;

use super::super::tests::{BOUNDS, Made};
use super::super::{Format, Pushed, encode};
use super::{Rejected, attributes, rejected};

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn made() -> Made {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.opens(2, 81, false);
    made.counts(1, 10, 2, 5);
    made.counts(2, 1000, 0, 129);
    made.seconds(3);
    made
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |one: &KeyValue| match &one.value.as_ref().unwrap().value {
        Some(any_value::Value::StringValue(text)) => (one.key.clone(), text.clone()),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(pair).collect()
}

fn add_number(samples: &mut Samples, name: &str, point: &NumberDataPoint) {
    let value = match point.value.unwrap() {
        number_data_point::Value::AsDouble(number) => number,
        number_data_point::Value::AsInt(count) => count as f64,
    };
    assert!(point.time_unix_nano > 0, "{name}");
    assert_eq!(samples.insert((name.to_owned(), labels(&point.attributes)), value), None);
}

fn add_histogram(samples: &mut Samples, name: &str, point: &HistogramDataPoint) {
    let labels = labels(&point.attributes);
    let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let mut up_to = 0;
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    for (bound, count) in bounds.zip(&point.bucket_counts) {
        up_to += count;
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), bound);
        samples.insert((format!("{name}_bucket"), labels), up_to as f64);
    }
    samples.insert((format!("{name}_sum"), labels.clone()), point.sum.unwrap());
    samples.insert((format!("{name}_count"), labels), point.count as f64);
}

fn of_request(bytes: &[u8]) -> (Samples, u64) {
    let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let [resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let described = labels(&resource.resource.as_ref().unwrap().attributes);
    assert_eq!(described, BTreeMap::from([("host.name".to_owned(), "blue".to_owned())]));
    let (mut samples, mut points) = (Samples::new(), 0);
    for metric in &resource.scope_metrics[0].metrics {
        let cumulative = AggregationTemporality::Cumulative as i32;
        assert!(!metric.description.is_empty());
        match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => {
                points += gauge.data_points.len();
                gauge
                    .data_points
                    .iter()
                    .for_each(|one| add_number(&mut samples, &metric.name, one));
            }
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == cumulative);
                points += sum.data_points.len();
                sum.data_points.iter().for_each(|one| add_number(&mut samples, &metric.name, one));
            }
            Data::Histogram(all) => {
                assert_eq!(all.aggregation_temporality, cumulative);
                points += all.data_points.len();
                all.data_points.iter().for_each(|one| {
                    add_histogram(&mut samples, &metric.name, one);
                });
            }
            other => panic!("{other:?}"),
        }
    }
    (samples, points as u64)
}

/// Reads the samples of the text form, which has no escapes here.
fn of_text(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| {
            let (key, value) = pair.trim_end_matches('"').split_once("=\"")?;
            // The form in which the decoded bounds are written.
            let value = match (key, value.parse::<f64>()) {
                ("le", Ok(bound)) if bound.is_finite() => bound.to_string(),
                _ => value.to_owned(),
            };
            (!value.is_empty()).then(|| (key.to_owned(), value))
        });
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
        ((name.to_owned(), pairs.collect()), value)
    };
    lines.map(sample).collect()
}

#[test]
fn it_holds_what_the_text_holds() {
    let made = made();
    let snapshot = made.snapshot(Some(Pushed { accepted: 7, ..Pushed::default() }));
    let encoded = super::encode(&snapshot, &[("host.name", "blue")]);
    let (samples, points) = of_request(&encoded.bytes);
    assert_eq!(points, encoded.points);
    assert!(samples.len() > 80, "{samples:#?}");
    assert_eq!(samples, of_text(&encode(&snapshot, Format::Prometheus)));
}

#[test]
fn escaped_labels_are_read() {
    let found = labels_of(r#"a="x\"y\\z",b="",c="1,d=2""#);
    let expected = [("a", r#"x"y\z"#), ("c", "1,d=2")];
    assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(labels_of("").is_empty());
}

fn labels_of(text: &str) -> Vec<(String, String)> {
    let text_of = |one: super::KeyValue| match one.value.unwrap().value.unwrap() {
        super::Text::String(text) => text,
    };
    attributes(text).into_iter().map(|one| (one.key.clone(), text_of(one))).collect()
}

#[test]
fn a_receiver_that_takes_a_part_is_heard() {
    let response = |points, message: &str| {
        let partial = ExportMetricsPartialSuccess {
            rejected_data_points: points,
            error_message: message.to_owned(),
        };
        ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    let expected = Rejected { points: 3, message: "too old".to_owned() };
    assert_eq!(rejected(&response(3, "too old")), Some(expected));
    assert_eq!(rejected(&response(0, "a warning")), None);
    assert_eq!(rejected(&response(-1, "")), None);
    assert_eq!(rejected(b""), None);
    assert_eq!(rejected(b"<html>"), None);
}

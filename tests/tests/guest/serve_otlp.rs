//! `serve --otlp` and a real `VictoriaMetrics`: it stores what `/metrics` shows; and while a
//! receiver is unavailable, old points are dropped and counted, but no new ones.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use backlog_tests::monitoring::program;
use backlog_tests::service::{Scrape, Service};
use backlog_tests::victoria::{PROGRAM, Victoria};
use serde_json::Value;

use super::help::{LIMIT, PORT, in_guest, scratch};

const FAST: [&str; 8] = [
    "--interval",
    "0.2",
    "--min-age",
    "0s",
    "--netns",
    "/proc/self/ns/net",
    "--otlp-interval",
    "0.2",
];

/// The labels of the text format; all others describe the sender.
const OWN: [&str; 4] = ["netns", "address", "port", "process"];

const POINTS: &str = "backlog_tracer_otlp_points_total";

fn is_here() -> bool {
    let here = program(PROGRAM).is_some();
    if !here {
        println!("absent: VictoriaMetrics (BACKLOG_PROMETHEUS names its folder)");
    }
    here
}

/// A free address, which is bound again a moment later.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn start(receiver: SocketAddr) -> Service {
    let url = format!("http://{receiver}/opentelemetry/v1/metrics");
    Service::start(&[&FAST[..], &["--otlp", &url]].concat(), LIMIT).unwrap()
}

/// Checks that the stored counters of the port are equal and complete.
fn compare(stored: &[(Value, f64)], scrape: &Scrape) {
    for (labels, value) in stored {
        let name = labels["__name__"].as_str().unwrap();
        let labels = labels.as_object().unwrap();
        // Only this value has another notation.
        let text = |value: &Value| value.as_str().unwrap().replace("0.000064", "6.4e-05");
        let of = |name: &&str| Some(format!("{name}=\"{}\"", text(labels.get(*name)?)));
        let wanted: Vec<String> =
            OWN.iter().chain(&["le", "cause", "how"]).filter_map(of).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        assert_eq!(scrape.sum(name, &wanted), Some(*value), "{name} {wanted:?}");
        assert_eq!(labels["service.name"], "backlog-trace");
    }
}

#[test]
fn a_receiver_has_what_the_metrics_show() {
    in_guest(|| {
        if !is_here() {
            return;
        }
        let victoria = Victoria::start(&scratch("victoria"), free(), LIMIT).unwrap();
        let service = start(victoria.address());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let _client = TcpStream::connect(address).unwrap();
            listener.accept().unwrap();
        }
        let accepted = |scrape: &Scrape| {
            scrape.sum("backlog_connections_accepted_total", &["port=\"8000\""]) == Some(20.0)
        };
        let scrape = service.wait_for("the counts", LIMIT, accepted).unwrap();
        let all = "{__name__=~\"backlog_.+_(total|bucket|count|sum)\",port=\"8000\"}";
        let mut stored = Vec::new();
        backlog_tests::clock::wait_until("the counts to arrive", LIMIT, || {
            stored = victoria.query(all)?;
            let name = "backlog_connections_accepted_total";
            let found = stored.iter().find(|(labels, _)| labels["__name__"] == name);
            Ok(found.map(|(_, value)| *value) == Some(20.0))
        })
        .unwrap();
        // The counters, and the parts of the histogram.
        assert!(stored.len() > 17, "{stored:#?}");
        compare(&stored, &scrape);
        // A histogram has all its buckets: ten bounds, and the rest.
        let buckets = victoria.query("backlog_accept_wait_seconds_bucket{port=\"8000\"}").unwrap();
        assert_eq!(buckets.len(), 11, "{buckets:#?}");
        let scrape = service.scrape().unwrap();
        assert!(scrape.sum(POINTS, &["accepted"]) > Some(0.0));
        assert_eq!(scrape.sum(POINTS, &["dropped"]), Some(0.0));
        assert_eq!(scrape.sum(POINTS, &["rejected"]), Some(0.0));
    });
}

#[test]
fn what_a_receiver_misses_is_counted_and_the_rest_arrives() {
    in_guest(|| {
        if !is_here() {
            return;
        }
        let address = free();
        let service = start(address);
        let dropped = |scrape: &Scrape| scrape.sum(POINTS, &["dropped"]) > Some(0.0);
        let scrape = service.wait_for("a full queue", LIMIT, dropped).unwrap();
        assert_eq!(scrape.sum(POINTS, &["accepted"]), Some(0.0));
        assert!(scrape.sum("backlog_tracer_otlp_failures_total", &[]) > Some(0.0));
        assert!(service.messages().contains("--otlp: cannot push to http://127.0.0.1:"));
        let victoria = Victoria::start(&scratch("victoria"), address, LIMIT).unwrap();
        let arrived = |scrape: &Scrape| scrape.sum(POINTS, &["accepted"]) > Some(0.0);
        service.wait_for("the rest", LIMIT, arrived).unwrap();
        assert!(service.messages().contains("again; points dropped so far: "));
        backlog_tests::clock::wait_until("the rest to be found", LIMIT, || {
            Ok(!victoria.query("backlog_tracer_interval_seconds")?.is_empty())
        })
        .unwrap();
        // There is one message for all failures.
        assert_eq!(service.messages().matches("cannot push").count(), 1);
    });
}

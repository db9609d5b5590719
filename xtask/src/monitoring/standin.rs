//! A stand-in for many hosts: an HTTP server that answers `/N/metrics` like `backlog-trace serve`
//! on host N, with every metric in `metrics`. It serves to measure what a fleet costs Prometheus,
//! so the values need not make sense.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::metrics::{METRICS, Metric, Of, WAIT_BOUNDS};

/// The number of different pages, and how many seconds they are cached.
const DIFFERENT: u32 = 20;
const KEPT: u64 = 5;
/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts serving until the process ends; returns the port.
pub(super) fn start(listeners: u32) -> Result<u16> {
    let server =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let port = server.local_addr().context("cannot read the port")?.port();
    let start = Instant::now();
    thread::spawn(move || {
        let mut pages = Pages { listeners, ..Pages::default() };
        for client in server.incoming().flatten() {
            pages.renew(start.elapsed().as_secs());
            // A client that has disconnected needs no answer.
            answer(&client, &pages).ok();
        }
    });
    Ok(port)
}

/// Cached pages. Hosts share them, so that the stand-in takes little CPU time.
#[derive(Default)]
struct Pages {
    listeners: u32,
    second: u64,
    texts: Vec<String>,
}

impl Pages {
    fn renew(&mut self, second: u64) {
        if self.texts.is_empty() || second >= self.second + KEPT {
            let page = |host| page(host, self.listeners, second as f64);
            self.texts = (0..DIFFERENT).map(page).collect();
            self.second = second;
        }
    }
}

fn answer(mut client: &TcpStream, pages: &Pages) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(client).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let host: usize = request.split('/').nth(1).and_then(|host| host.parse().ok()).unwrap_or(0);
    let body = pages.texts.iter().cycle().nth(host % pages.texts.len()).map_or("", String::as_str);
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The metrics of a host after some seconds.
pub(super) fn page(host: u32, listeners: u32, seconds: f64) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let count = if metric.of == Of::Listener { listeners } else { 1 };
        for listener in 0..count {
            for labels in combinations(metric, listener) {
                let value = value(metric.name, &labels, f64::from(host * 7 + listener), seconds);
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}{{{labels}}} {value}", metric.name);
            }
        }
    }
    text
}

/// The labels of each series of a metric. Listeners with the same number are one service on all
/// hosts.
fn combinations(metric: &Metric, listener: u32) -> Vec<String> {
    let own = match metric.of {
        Of::Listener => format!(
            "netns=\"host\",address=\"0.0.0.0\",port=\"{}\",process=\"service{listener}\"",
            8000 + listener
        ),
        Of::Namespace => "netns=\"host\"".to_owned(),
        Of::Host => String::new(),
    };
    let mut all = vec![own];
    for label in metric.labels {
        let values = values(label);
        all = all
            .iter()
            .flat_map(|labels| values.iter().map(move |value| join(labels, label, value)))
            .collect();
    }
    all
}

fn join(labels: &str, label: &str, value: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{labels}{comma}{label}=\"{value}\"")
}

/// The values of a label: as many as a typical listener or host has.
fn values(label: &str) -> Vec<&'static str> {
    match label {
        "le" => WAIT_BOUNDS.into_iter().chain(["+Inf"]).collect(),
        "cause" => vec!["accept_queue_full_syn", "accept_queue_full_ack"],
        "how" => vec!["reset", "fin", "close"],
        "kind" => vec!["maps", "programs"],
        "state" => vec!["own", "ephemeral", "other", "pending", "closed"],
        "counter" => vec!["ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "PassiveOpens"],
        "reason" => vec!["ring_full", "no_slot", "undecoded", "missed_by_program"],
        "backend" => vec!["fentry"],
        "verdict" => vec!["fits"],
        "confidence" => vec!["high"],
        _ => vec!["example"],
    }
}

/// The values of healthy hosts, except for the first listener: counters rise, gauges vary below
/// their limits, and both differ between hosts.
fn value(name: &str, labels: &str, seed: f64, seconds: f64) -> f64 {
    let swing = 0.3 + 0.3 * (seconds / 60.0 + seed).sin();
    let rate = 10.0 + seed % 10.0;
    if name.ends_with("_bucket") {
        let bounds =
            WAIT_BOUNDS.iter().position(|bound| labels.contains(&format!("le=\"{bound}\"")));
        let share = bounds.map_or(1.0, |index| (index as f64 + 4.0) / 10.0);
        return (rate * seconds * share.min(1.0)).floor();
    }
    match name {
        // One listener refuses, so that an alert fires.
        "backlog_drops_total" if seed == 0.0 => seconds.floor(),
        "backlog_drops_total"
        | "backlog_host_drops_total"
        | "backlog_tracer_lost_total"
        | "backlog_connections_abandoned_total"
        | "backlog_connections_untimed_total"
        | "backlog_clients_refused_total"
        | "backlog_syn_cookies_sent_total"
        | "backlog_kernel_counter_total"
        | "backlog_seen_counter_total"
        | "backlog_listener_clamped"
        | "backlog_tracer_fallbacks"
        | "backlog_tracer_gaps" => 0.0,
        "backlog_accept_queue_limit_connections" | "backlog_syn_queue_limit_requests" => 128.0,
        "backlog_tracer_last_interval_timestamp_seconds" => now(),
        "backlog_accept_queue_busy_seconds_total" => seconds * swing,
        "backlog_tracer_listeners" if labels.contains("other") => 0.0,
        _ if name.ends_with("_total") || name.ends_with("_count") => (rate * seconds).floor(),
        _ if name.ends_with("_sum") => rate * seconds / 100.0,
        _ if name.ends_with("_info") || name == "backlog_sizing_verdict" => 1.0,
        _ if name.ends_with("_ratio") => swing,
        _ => (128.0 * swing).floor(),
    }
}

fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn a_page_has_each_series_once() {
        let page = page(3, 2, 30.0);
        let mut series: Vec<&str> =
            page.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
        let lines = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), lines);
        assert!(page.contains("backlog_accept_wait_seconds_bucket{netns=\"host\""));
    }
}

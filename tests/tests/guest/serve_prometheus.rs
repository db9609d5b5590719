//! `serve` and a real Prometheus: its scrapes are valid, counters never fall over several lives of
//! a server, and in a growing overload the warning comes before the first refusal, while a busy but
//! healthy server causes no alert. `BACKLOG_RULES` names the alert rules, with all durations
//! divided by 60 (`cargo xtask monitoring --scale 60`).

use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use backlog_tests::clock::wait_until;
use backlog_tests::counters::Counters;
use backlog_tests::monitoring::program;
use backlog_tests::prometheus::{Prometheus, promtool};
use backlog_tests::service::Service;

use super::help::{LIMIT, in_guest, scratch};

/// A sixtieth of the defaults.
const SIXTIETH: [&str; 10] = [
    "--interval",
    "0.1",
    "--min-age",
    "0.5s",
    "--keep-closed",
    "5s",
    "--peak-window",
    "1s",
    "--netns",
    "/proc/self/ns/net",
];

/// promtool's rules on names that the contract has decided otherwise.
const SETTLED: [&str; 2] = [
    "backlog_kernel_counter_total metric name should not include type 'counter'",
    "backlog_seen_counter_total metric name should not include type 'counter'",
];

/// Is Prometheus installed?
fn is_here() -> bool {
    let here = program("prometheus").is_some() && program("promtool").is_some();
    if !here {
        println!("absent: Prometheus (apt-get install prometheus)");
    }
    here
}

/// A server with this backlog that accepts one connection at a time.
struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn listen(port: u16, backlog: i32, pause: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        // SAFETY: the socket is open; a second call changes the backlog alone.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), backlog) }, 0);
        listener.set_nonblocking(true).unwrap();
        let (address, ends) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // The pause is the server's work on each connection.
                let _ = listener.accept();
                thread::sleep(pause);
            }
        });
        Self { address, ends, thread: Some(thread) }
    }

    /// Connects several clients at once.
    fn burst(&self, clients: usize) -> Vec<TcpStream> {
        let connect = || TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        (0..clients).filter_map(|_| connect().ok()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn promtool_finds_nothing_wrong_in_a_scrape() {
    in_guest(|| {
        if !is_here() {
            return;
        }
        let service = Service::start(&SIXTIETH, LIMIT).unwrap();
        let server = Server::listen(8000, 4, Duration::from_millis(20));
        let _clients = server.burst(8);
        let used = |scrape: &backlog_tests::service::Scrape| {
            scrape.sum("backlog_connections_queued_total", &["port=\"8000\""]).is_some()
        };
        service.wait_for("the counts", LIMIT, used).unwrap();
        let text = service.get("/metrics", "").unwrap().body;
        let output = promtool(&["check", "metrics"], &text).unwrap();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all).into_owned();
        let wrong: Vec<&str> = all.lines().filter(|line| !SETTLED.contains(line)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn no_counter_falls_over_the_lives_of_a_server() {
    in_guest(|| {
        if !is_here() {
            return;
        }
        let service = Service::start(&SIXTIETH, LIMIT).unwrap();
        let folder = scratch("prometheus");
        let prometheus = Prometheus::start(&folder, service.address(), None, LIMIT).unwrap();
        let mut queued = 0;
        for _ in 0..3 {
            let server = Server::listen(8000, 64, Duration::from_millis(1));
            queued += server.burst(40).len();
            wait_until("the scrape", LIMIT, || {
                let now = prometheus.query("backlog_connections_accepted_total{port=\"8000\"}")?;
                Ok(now.first().map(|(_, count)| *count) == Some(queued as f64))
            })
            .unwrap();
        }
        let counters = "{__name__=~\"backlog_.+_(total|bucket|count)\",port=\"8000\"}[5m]";
        let counters = prometheus.samples(counters).unwrap();
        assert!(counters.len() > 10, "{counters:?}");
        for (labels, samples) in counters {
            assert!(samples.is_sorted(), "{labels}: {samples:?}");
        }
        let up = prometheus.query("min_over_time(up[5m])").unwrap();
        assert_eq!(up.first().map(|(_, up)| *up), Some(1.0), "a scrape failed");
        let took = prometheus.query("max_over_time(scrape_duration_seconds[5m])").unwrap();
        println!("the longest scrape took {} s", took[0].1);
    });
}

#[test]
fn the_warning_comes_before_the_first_refusal_of_a_ramp() {
    in_guest(|| {
        let Some(rules) = env::var_os("BACKLOG_RULES").map(PathBuf::from) else {
            println!("absent: BACKLOG_RULES");
            return;
        };
        if !is_here() {
            return;
        }
        let service = Service::start(&SIXTIETH, LIMIT).unwrap();
        let folder = scratch("prometheus");
        let prometheus =
            Prometheus::start(&folder, service.address(), Some(&rules), LIMIT).unwrap();
        let (ramped, healthy) = (
            Server::listen(8000, 128, Duration::from_millis(4)),
            Server::listen(8001, 128, Duration::from_millis(1)),
        );
        // A burst every half second, each with one client more than the last.
        let (mut clients, mut warned) = (60, None);
        let refused = || Counters::read().unwrap().get("ListenOverflows");
        let begin = Instant::now();
        while refused() == 0 {
            let next = Instant::now() + Duration::from_millis(500);
            let _ramped = ramped.burst(clients);
            let _healthy = healthy.burst(20);
            clients += 2;
            let firing = prometheus.firing("8000").unwrap();
            if warned.is_none() && !firing.is_empty() {
                // The kernel's counter is read after Prometheus: nobody had been refused when the
                // alert fired.
                assert_eq!(refused(), 0, "refused before {firing:?}");
                warned = Some((begin.elapsed(), clients, firing));
            }
            assert!(begin.elapsed() < LIMIT, "no overload");
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let first = begin.elapsed();
        println!("warned {warned:?}, first refusal after {first:?} with {clients} clients");
        assert!(warned.is_some(), "no warning in {first:?}");
        // Now clients are refused, which is another alert.
        wait_until("the alert of the refusal", LIMIT, || {
            let _clients = ramped.burst(10);
            Ok(prometheus.firing("8000")?.iter().any(|alert| alert == "BacklogRefusing"))
        })
        .unwrap();
        let silent = "ALERTS{port=\"8001\"}";
        let loud = prometheus.query(&format!("count_over_time({silent}[5m])")).unwrap();
        assert!(loud.is_empty(), "alerts on the healthy server: {loud:?}");
    });
}

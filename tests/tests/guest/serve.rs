//! `serve`: its counts match the load, survive a restart of the server, and are bounded; it
//! answers, whatever clients do; and systemd gets its notifications.

use std::fs;
use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use backlog_tests::load::Truth;
use backlog_tests::service::{self, Scrape, Service};
use backlog_tests::{clock, netns, proc, socket};

use super::help::{
    LIMIT, PORT_TEXT, in_guest, in_guest_once, is_native, program, read_truth, scratch,
};

const QUEUED: &str = "backlog_connections_queued_total";
const ACCEPTED: &str = "backlog_connections_accepted_total";
const PORT: &str = "port=\"8000\"";

/// The interval in [`FAST`].
const INTERVAL: Duration = Duration::from_millis(200);

/// Fast enough for a test; there are still several intervals between two scrapes.
const FAST: [&str; 8] =
    ["--interval", "0.2", "--min-age", "1s", "--keep-closed", "5s", "--peak-window", "5s"];

fn load(arguments: &str) -> Truth {
    let out = scratch("truth.json");
    let mut command = Command::new(program("backlog-load"));
    command.args(["--port", PORT_TEXT, "--out"]).arg(&out).args(arguments.split_whitespace());
    assert!(command.status().unwrap().success());
    read_truth(&out)
}

fn full(scrape: &Scrape) -> Option<f64> {
    scrape.sum("backlog_drops_total", &[PORT, "accept_queue_full_"])
}

#[test]
fn counts_are_those_of_the_load_and_survive_a_restart_of_the_server() {
    in_guest(|| {
        // In a native run, other namespaces have listeners on this port as well.
        let here = [&FAST[..], &["--netns", "/proc/self/ns/net"]].concat();
        let service = Service::start(&here, LIMIT).unwrap();
        let (mut accepted, mut overflows) = (0, 0);
        let mut last = service.scrape().unwrap();
        for round in 0..3 {
            // It refuses clients, so it is shown immediately.
            let truth = load(
                "--backlog 4 --accept-delay 20ms --clients 2 --duration 2s \
                              --connect nonblocking --connect-timeout 500ms --rate 100",
            );
            accepted += truth.accepted;
            overflows += truth.kernel.get("ListenOverflows").copied().unwrap_or(0);
            let scrape = service
                .wait_for("the counts", LIMIT, |scrape| {
                    let fell = scrape.fell_since(&last);
                    assert!(fell.is_empty(), "{fell:#?}");
                    last = scrape.clone();
                    scrape.sum(ACCEPTED, &[PORT]) == Some(accepted as f64)
                        && full(scrape) == Some(overflows as f64)
                        && scrape.sum("backlog_listener_members", &[PORT]) == Some(0.0)
                })
                .unwrap();
            assert!(overflows > 0, "the load itself");
            assert_counts(&scrape, &format!("round {round}"));
        }
        // They vanish together.
        let gone = |scrape: &Scrape| scrape.sum("backlog_listener_members", &[PORT]).is_none();
        let scrape = service.wait_for("the end of the series", LIMIT, gone).unwrap();
        assert_eq!(scrape.sum(QUEUED, &[PORT]), None);
        let host = scrape.sum("backlog_host_drops_total", &["accept_queue_full"]).unwrap();
        assert!(host >= overflows as f64);
        assert!(service.stop(LIMIT).unwrap().success());
    });
}

/// Checks invariants of each series.
fn assert_counts(scrape: &Scrape, what: &str) {
    let of = |name: &str| scrape.sum(name, &[PORT]);
    let timed = of("backlog_accept_wait_seconds_count");
    let untimed = of("backlog_connections_untimed_total");
    let sum = timed.zip(untimed).map(|(timed, untimed)| timed + untimed);
    assert_eq!(sum, of(ACCEPTED), "{what}");
    let all = scrape.sum("backlog_accept_wait_seconds_bucket", &[PORT, "le=\"+Inf\""]);
    assert_eq!(all, timed, "{what}");
    assert!(of("backlog_accept_queue_peak_use_ratio") > Some(1.0), "{what}");
    assert_eq!(of("backlog_accept_queue_connections"), Some(0.0), "{what}");
    assert_eq!(of("backlog_accept_queue_limit_connections"), Some(4.0), "{what}");
    assert!(of("backlog_accept_queue_busy_seconds_total") > Some(0.5), "{what}");
}

#[test]
fn answers_whatever_clients_ask() {
    in_guest_once(|| {
        let service = Service::start(&FAST, LIMIT).unwrap();
        let many = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200));
        let large =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "b".repeat(32_768));
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(32_768));
        for (request, statuses) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[421][..]),
            ("HEAD /metrics HTTP/1.0\r\n\r\n", &[200]),
            ("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", &[200]),
            ("GET /other HTTP/1.1\r\nHost: x\r\n\r\n", &[404]),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", &[404]),
            ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", &[404]),
            ("GET //metrics HTTP/1.1\r\nHost: x\r\n\r\n", &[404]),
            ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", &[405]),
            ("POST /report HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n", &[405]),
            ("TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", &[405]),
            ("nonsense\r\n\r\n", &[400]),
            (&many, &[431]),
            (&large, &[431]),
            (&long, &[414, 431]),
        ] {
            let status = service.ask(request).unwrap().status;
            let begin = request.get(..60).unwrap_or(request);
            assert!(statuses.contains(&status), "{status}: {begin}");
        }
        let open = service.get("/metrics", "Accept: application/openmetrics-text\r\n").unwrap();
        assert!(open.head.contains("openmetrics-text") && open.body.ends_with("# EOF\n"));
        // One request per connection: anything after it is ignored.
        let twice = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
        assert_eq!(service.ask(&twice).unwrap().body, "healthy\n");
    });
}

#[test]
fn a_thousand_clients_that_stay_keep_no_scrape_out() {
    in_guest_once(|| {
        let service = Service::start(&FAST, LIMIT).unwrap();
        socket::raise_file_limit();
        // Far more clients than places: some send nothing, others do not read.
        let mut held = Vec::new();
        for number in 0..1000 {
            let mut stream = TcpStream::connect(service.address()).unwrap();
            if number % 2 == 0 {
                // It may have been closed in favour of a later one.
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            }
            held.push(stream);
            if number % 10 == 0 {
                assert_eq!(service.get("/metrics", "").unwrap().status, 200, "{number}");
            }
        }
        // The oldest connections lose their places.
        let mut first = held.swap_remove(1);
        first.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)));
        let fds = fs::read_dir(format!("/proc/{}/fd", service.id())).unwrap().count();
        drop(held);
        assert!(fds < 150, "{fds} descriptors");
    });
}

/// The pause between two bytes of a slow client.
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn a_client_that_sends_its_request_byte_by_byte_is_disconnected() {
    in_guest_once(|| {
        let service = Service::start(&FAST, LIMIT).unwrap();
        let mut stream = TcpStream::connect(service.address()).unwrap();
        stream.set_read_timeout(Some(PAUSE)).unwrap();
        let mut rest = b"GET /metrics HTTP/1.1\r\nHost: ".iter().chain(std::iter::repeat(&b'x'));
        clock::wait_until("the end of the connection", LIMIT, || {
            let byte = [*rest.next().unwrap()];
            let is_sent = stream.write_all(&byte).is_ok();
            let has_ended = match stream.read(&mut [0; 512]) {
                Ok(bytes) => bytes == 0,
                Err(error) => !matches!(error.kind(), WouldBlock | TimedOut),
            };
            Ok(!is_sent || has_ended)
        })
        .unwrap();
        assert_eq!(service.get("/metrics", "").unwrap().status, 200);
    });
}

/// The time limit for a scrape of 1,000 listeners.
const SCRAPE: Duration = Duration::from_millis(50);

/// Prints the cost of a scrape of 1,000 listeners, and checks the limit in a release build: `cargo
/// xtask test --kernel native --filter thousand`.
#[test]
fn a_scrape_of_a_thousand_listeners_is_one_pass() {
    in_guest_once(|| {
        socket::raise_file_limit();
        let listeners: Vec<TcpListener> = (0..1000)
            .map(|index| TcpListener::bind(("127.0.0.1", 10_000 + index)).unwrap())
            .collect();
        let here = [&FAST[..], &["--netns", "/proc/self/ns/net"]].concat();
        let service = Service::start(&here, LIMIT).unwrap();
        let clients: Vec<TcpStream> = listeners
            .iter()
            .map(|listener| {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                listener.accept().unwrap();
                client
            })
            .collect();
        // Listeners with events have all series.
        let all = |scrape: &Scrape| {
            scrape.sum(ACCEPTED, &["address=\"127.0.0.1\""]).is_some_and(|sum| sum >= 999.0)
        };
        service.wait_for("the connections", LIMIT, all).unwrap();
        for (form, headers) in [("plain", ""), ("gzip", "Accept-Encoding: gzip\r\n")] {
            let (cpu, took, bytes) = cost(&service, headers);
            println!(
                "a scrape of 1,000 listeners, {form}: {bytes} bytes; median {:.1} ms of CPU, \
                 {:.1} ms until it is read",
                cpu.as_secs_f64() * 1e3,
                took.as_secs_f64() * 1e3,
            );
            // CPU time, since others may use the machine, too; a debug build is slow.
            assert!(cfg!(debug_assertions) || !is_native() || cpu < SCRAPE, "{form}: {cpu:?}");
        }
        drop(clients);
    });
}

/// Medians of some scrapes: CPU time of the answering thread, time until everything is read, bytes.
fn cost(service: &Service, headers: &str) -> (Duration, Duration, String) {
    let mut scrapes: Vec<_> = (0..9)
        .map(|_| {
            // The first scrape of an interval renders the text.
            let (begin, cpu) = (Instant::now(), cpu_of_http(service));
            let head = service.get("/metrics", headers).unwrap().head;
            let (took, cpu) = (begin.elapsed(), cpu_of_http(service).saturating_sub(cpu));
            thread::sleep(INTERVAL);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            (cpu, took, length.unwrap().to_owned())
        })
        .collect();
    scrapes.sort_unstable();
    scrapes.swap_remove(scrapes.len() / 2)
}

/// The CPU time of the answering thread.
fn cpu_of_http(service: &Service) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", service.id())).unwrap().flatten();
    let is_http = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim_end() == "http")
    };
    let task = tasks.into_iter().find(is_http).unwrap();
    let text = fs::read_to_string(task.path().join("schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_configuration_is_read_again_and_a_wrong_one_changes_nothing() {
    in_guest_once(|| {
        let file = scratch("config.toml");
        fs::write(&file, "max-listeners = 7\ninterval = \"0.2\"\n").unwrap();
        let service = Service::start(&["--config", file.to_str().unwrap()], LIMIT).unwrap();
        let limit = |scrape: &Scrape| scrape.sum("backlog_tracer_series_limit_listeners", &[]);
        assert_eq!(limit(&service.scrape().unwrap()), Some(7.0));
        let reload =
            |text: &str, message: &str| {
                let behind = service.messages().len();
                fs::write(&file, text).unwrap();
                service.signal(libc::SIGHUP).unwrap();
                clock::wait_until(message, LIMIT, || {
                    Ok(service.messages()[behind..].contains(message))
                })
                .unwrap();
            };
        reload("max-listeners = 0\n", "nothing has changed");
        reload("no-such = 1\n", "nothing has changed");
        assert_eq!(limit(&service.scrape().unwrap()), Some(7.0));
        reload("max-listeners = 9\ninterval = \"0.2\"\n", "is in use");
        service.wait_for("the new limit", LIMIT, |scrape| limit(scrape) == Some(9.0)).unwrap();
        reload("max-listeners = 8\ninterval = \"0.3\"\n", "restart the service");
        assert!(service.stop(LIMIT).unwrap().success());
        let _ = fs::remove_file(file);
    });
}

#[test]
fn systemd_hears_when_it_is_ready_alive_reloads_and_stops() {
    in_guest_once(|| {
        let path = scratch("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let next = || {
            let mut bytes = [0; 256];
            let length = socket.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        let until = |wanted: &str| while !next().contains(wanted) {};
        // systemd passes the pid that it watches: that of the shell, which becomes ours.
        let inner = service::command();
        let mut command = Command::new("sh");
        command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(inner.get_program());
        command.args(inner.get_args()).args(FAST).stderr(Stdio::piped());
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
        let service = Service::spawn(&mut command, LIMIT).unwrap();
        assert!(next().contains("READY=1"));
        until("WATCHDOG=1");
        service.signal(libc::SIGHUP).unwrap();
        until("RELOADING=1");
        until("READY=1");
        service.signal(libc::SIGTERM).unwrap();
        until("STOPPING=1");
        assert!(service.stop(LIMIT).unwrap().success());
        let _ = fs::remove_file(path);
    });
}

#[test]
fn it_ends_with_a_reason_if_it_cannot_listen() {
    in_guest_once(|| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let output = service::command().args(["--listen", &address]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("cannot listen on") && text.contains("another address"), "{text}");
    });
}

/// The number of rounds of the churn and of namespaces in each, natively and in an emulated guest.
/// Everything bounded is full after some 3,000 namespaces.
const NATIVE: (usize, usize) = (40, 150);
const EMULATED: (usize, usize) = (3, 30);

/// The allocator keeps what the busiest interval took, so a busier one adds a step: 22,500
/// namespaces added one of 2.4 MB after the first 3,000.
const STEPS_KIB: u64 = 8192;

#[test]
fn memory_stays_where_it_is_while_namespaces_and_listeners_come_and_go() {
    in_guest(|| {
        // Without the page, which keeps the last 15 minutes and grows for that time; its limits
        // have tests of their own (`output/record/ring.rs`, `output/web/past.rs`).
        let bounded = [&FAST[..], &["--max-listeners", "20", "--no-page"]].concat();
        let service = Service::start(&bounded, LIMIT).unwrap();
        let start = anonymous_kib(&service);
        let (rounds, round) = if is_native() { NATIVE } else { EMULATED };
        let mut after = Vec::new();
        for _ in 0..rounds {
            (0..round).for_each(|_| come_and_go());
            let settled =
                |scrape: &Scrape| scrape.sum("backlog_tracer_listeners", &["pending"]) == Some(0.0);
            let scrape = service.wait_for("the end of the young ones", LIMIT, settled).unwrap();
            assert!(scrape.len() < 2000, "{} series", scrape.len());
            after.push(anonymous_kib(&service));
        }
        println!("anonymous memory: {start} KiB, after rounds of {round}: {after:?}");
        if !is_native() {
            println!("absent: memory is not compared: an emulated kernel takes hours to fill it");
            return;
        }
        // A leak grows in most rounds, or by much.
        let second_half = &after[rounds / 2..];
        let rounds_that_grew = second_half.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert!(rounds_that_grew <= rounds / 4, "{rounds_that_grew} rounds: {after:?}");
        let grown_kib = after[rounds - 1].saturating_sub(after[rounds / 2]);
        assert!(grown_kib < STEPS_KIB, "{grown_kib} KiB: {after:?}");
    });
}

/// A namespace with a busy listener that refuses a client, and further listeners on ports chosen by
/// the kernel.
fn come_and_go() {
    netns::fresh(|| {
        let listener = TcpListener::bind("127.0.0.1:8000").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
        clients.iter().skip(1).for_each(|_| drop(listener.accept().unwrap()));
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        other.accept().unwrap();
    })
    .unwrap();
}

fn anonymous_kib(service: &Service) -> u64 {
    proc::status_kib(service.id(), "RssAnon").unwrap()
}

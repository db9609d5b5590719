//! The page of `serve`: only those with the token, or with access to the Unix socket, see it; its
//! resources are bounded, whatever clients do; a browser shows what the load does; and its report
//! has the kernel's counts.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use backlog_tests::browser::Browser;
use backlog_tests::clock::wait_until;
use backlog_tests::load::Truth;
use backlog_tests::proc;
use backlog_tests::service::{self, Service};

use super::help::{LIMIT, PORT_TEXT, in_guest, in_guest_once, program, read_truth, scratch};

/// The limits of the page.
const VIEWERS: usize = 16;

/// Starts a service with a token in a file of its own; also returns the token.
fn start(more: &[&str]) -> (Service, String, PathBuf) {
    let file = scratch("token");
    let name = file.to_str().unwrap();
    let arguments =
        [&["--interval", "0.2", "--min-age", "1s", "--token-file", name], more].concat();
    let service = Service::start(&arguments, LIMIT).unwrap();
    let token = fs::read_to_string(&file).unwrap().trim_end().to_owned();
    (service, token, file)
}

fn overload() -> Truth {
    let out = scratch("truth.json");
    let mut command = Command::new(program("backlog-load"));
    let load = "--backlog 4 --accept-delay 20ms --clients 2 --duration 3s --connect nonblocking \
                --connect-timeout 500ms --rate 100";
    command.args(["--port", PORT_TEXT, "--out"]).arg(&out).args(load.split_whitespace());
    assert!(command.status().unwrap().success());
    read_truth(&out)
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

#[test]
fn only_who_has_the_token_sees_it() {
    in_guest_once(|| {
        let (service, token, file) = start(&[]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!service.messages().contains(&token));
        let port = service.address().port();
        let status =
            |path: &str, headers: &str| service.ask(&request(path, headers)).unwrap().status;
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let wrong = format!("Authorization: Bearer {}\r\n", token.replace(char::is_numeric, "0"));
        for path in ["/", "/events", "/history?listener=1", "/report?minutes=1"] {
            assert_eq!(status(path, &host), 401, "{path}");
            assert_eq!(status(path, &format!("{host}{wrong}")), 401, "{path}");
            // A name whose owner has pointed it at this host.
            assert_eq!(status(path, &format!("Host: evil.example\r\n{bearer}")), 421, "{path}");
        }
        // Another page of the same host, on another port.
        let beside = format!("{host}{bearer}Sec-Fetch-Site: same-site\r\n");
        assert_eq!(status("/report?minutes=1", &beside), 403);
        assert_eq!(status("/report?minutes=99", &format!("{host}{bearer}")), 400);
        // Public paths stay public, whatever name a scraper uses for the host.
        assert_eq!(status("/metrics", "Host: prometheus.example\r\n"), 200);
        // The token is used once in the URL, and then as a cookie.
        let page = service.ask(&request(&format!("/?token={token}"), &host)).unwrap();
        assert_eq!(page.status, 200);
        let head = page.head.to_ascii_lowercase();
        for part in
            ["httponly", "samesite=strict", "no-store", "default-src 'none'", "frame-ancestors"]
        {
            assert!(head.contains(part), "{part}: {head}");
        }
        let cookie = format!("Cookie: backlog_token_{port}={token}\r\n");
        assert_eq!(status("/history?listener=1", &format!("{host}{cookie}")), 200);
        // The page sends no referrer to other sites, and the log contains no request.
        assert!(head.contains("referrer-policy: no-referrer"), "{head}");
        // A request in the form for proxies names another host than the header.
        let rebound = format!("GET http://evil.example/ HTTP/1.1\r\n{host}{cookie}\r\n");
        assert_eq!(service.ask(&rebound).unwrap().status, 421);
        assert!(!service.messages().contains(&token), "{}", service.messages());
        // Another start has another token.
        assert!(service.stop(LIMIT).unwrap().success());
        let (_service, other, other_file) = start(&[]);
        assert_ne!(token, other);
        for file in [file, other_file] {
            fs::remove_file(file).unwrap();
        }
    });
}

#[test]
fn it_is_off_beyond_loopback_and_where_it_is_not_wanted() {
    in_guest_once(|| {
        for arguments in [&["--listen", "0.0.0.0:0"][..], &["--no-page"]] {
            let service = Service::start(arguments, LIMIT).unwrap();
            let messages = service.messages();
            for path in ["/", "/events", "/history?listener=1", "/report?minutes=1"] {
                assert_eq!(service.get(path, "").unwrap().status, 404, "{arguments:?} {path}");
            }
            assert_eq!(service.get("/metrics", "").unwrap().status, 200);
            let told = messages.contains("the page is off at 0.0.0.0:");
            assert_eq!(told, arguments.contains(&"--listen"), "{messages}");
        }
    });
}

#[test]
fn a_unix_socket_needs_no_token_but_to_be_its_owner() {
    in_guest_once(|| {
        let path = scratch("socket");
        let (_service, _, file) = start(&["--listen-unix", path.to_str().unwrap()]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let ask = |host: &str| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let text = request("/history?listener=1", &format!("Host: {host}\r\n"));
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        assert!(ask("localhost").starts_with("HTTP/1.1 200"));
        // Browsers can reach a port that ssh forwards to the socket.
        assert!(ask("evil.example").starts_with("HTTP/1.1 421"));
        for file in [file, path] {
            let _ = fs::remove_file(file);
        }
    });
}

/// Opens a stream of events; returns the status and the connection.
fn stream(address: SocketAddr, token: &str) -> (u16, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let headers = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n");
    stream.write_all(request("/events", &headers).as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), reader)
}

#[test]
fn a_hundred_streams_that_nobody_reads_cost_no_scrape_and_no_memory() {
    in_guest_once(|| {
        let (service, token, file) = start(&[]);
        let before_kib = proc::status_kib(service.id(), "RssAnon").unwrap();
        let held: Vec<_> = (0..100)
            .map(|number| {
                let one = stream(service.address(), &token);
                assert_eq!(service.get("/metrics", "").unwrap().status, 200, "{number}");
                one
            })
            .collect();
        let statuses: Vec<u16> = held.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), VIEWERS);
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
        let fds = fs::read_dir(format!("/proc/{}/fd", service.id())).unwrap().count();
        assert!(fds < 150, "{fds} descriptors");
        let after_kib = proc::status_kib(service.id(), "RssAnon").unwrap();
        println!("anonymous memory with {VIEWERS} streams: {before_kib} KiB, then {after_kib} KiB");
        assert!(after_kib < before_kib + 8192, "{before_kib} and then {after_kib} KiB");
        // Readers get frames, and a place becomes free when one of them disconnects.
        let (_, mut first) = held.into_iter().next().unwrap();
        let mut text = String::new();
        while !text.starts_with("data: {") {
            text.clear();
            assert_ne!(first.read_line(&mut text).unwrap(), 0);
        }
        assert!(text.contains("\"listeners\":["), "{text}");
        drop(first);
        wait_until("a free place", LIMIT, || Ok(stream(service.address(), &token).0 == 200))
            .unwrap();
        let _ = fs::remove_file(file);
    });
}

/// The number of listeners whose frames fill the buffers of a socket within a few seconds.
const LISTENERS: u16 = 80;

#[test]
fn a_stalled_reader_of_events_is_disconnected() {
    in_guest_once(|| {
        let listeners: Vec<_> = (0..LISTENERS)
            .map(|index| TcpListener::bind(("127.0.0.1", 10_000 + index)).unwrap())
            .collect();
        let (service, token, file) = start(&["--netns", "/proc/self/ns/net"]);
        let sockets = || proc::sockets(service.id()).unwrap();
        let (_, mut reader) = stream(service.address(), &token);
        let before = sockets();
        let stalled: Vec<_> = (1..VIEWERS).map(|_| stream(service.address(), &token)).collect();
        assert!(stalled.iter().all(|(status, _)| *status == 200));
        let mut frame = String::new();
        // One that reads stays connected in the meantime.
        wait_until("the end of the others", LIMIT, || {
            frame.clear();
            assert_ne!(reader.read_line(&mut frame).unwrap(), 0);
            Ok(sockets() <= before)
        })
        .unwrap();
        // The places of the others are free again.
        let _new: Vec<_> = (1..VIEWERS)
            .map(|_| {
                let (status, one) = stream(service.address(), &token);
                assert_eq!(status, 200);
                one
            })
            .collect();
        drop(listeners);
        let _ = fs::remove_file(file);
    });
}

#[test]
fn a_report_counts_what_the_kernel_counted() {
    in_guest(|| {
        let (service, token, file) = start(&["--netns", "/proc/self/ns/net"]);
        let truth = overload();
        let drops = truth.kernel.get("ListenDrops").copied().unwrap_or(0);
        assert!(drops > 0, "the load itself");
        let counted = |scrape: &service::Scrape| {
            scrape.sum("backlog_drops_total", &["port=\"8000\""]) == Some(drops as f64)
        };
        service.wait_for("the drops", LIMIT, counted).unwrap();
        let headers = format!("Authorization: Bearer {token}\r\n");
        let host = format!("Host: {}\r\n", service.address());
        let report = service.ask(&request("/report?minutes=5", &(host + &headers))).unwrap();
        assert_eq!(report.status, 200, "{}", report.body);
        let lead = format!("{drops} packets of ");
        assert!(report.body.contains(&lead), "{lead}: {}", report.body);
        assert!(report.body.trim_end().ends_with("</html>"));
        let _ = fs::remove_file(file);
    });
}

/// Forwards connections like ssh, until they are cut.
struct Forward {
    address: SocketAddr,
    service: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Forward {
    fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, open) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let theirs = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(service) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                theirs.lock().unwrap().extend([client, server]);
            }
        });
        Self { address, service, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Keeps pictures in the folder named by this variable, for inspection.
fn keep(name: &str, browser: &mut Browser) {
    let png = browser.picture();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{name}: {} bytes", png.len());
    if let Some(folder) = std::env::var_os("BACKLOG_PICTURES") {
        fs::write(Path::new(&folder).join(name), png).unwrap();
    }
}

#[test]
fn a_browser_shows_it_and_connects_again() {
    in_guest_once(|| {
        let (service, token, file) = start(&["--netns", "/proc/self/ns/net"]);
        let forward = Forward::to(service.address());
        let Some(mut browser) = Browser::start() else {
            println!("absent: the page in a browser: no chromium (cargo xtask setup installs it)");
            return;
        };
        browser.open(&format!("http://{}/?token={token}", forward.address));
        // The token has been removed from the page's address.
        browser.until("document.querySelector('#state').textContent.startsWith('live')");
        assert_eq!(browser.ask("location.search"), "");
        let truth = overload();
        assert!(truth.kernel.get("ListenOverflows").copied().unwrap_or(0) > 0);
        browser.until("document.querySelector('#drops').textContent.includes('accept_queue_full')");
        browser.until("document.querySelector('#notices').textContent.includes(':8000 closed')");
        // A listener is selected, and has a verdict and a plot with a description.
        browser.until("document.querySelector('#verdict strong')");
        let plot = "document.querySelector('#plot svg').getAttribute('aria-label')";
        assert!(browser.ask(plot).as_str().unwrap().starts_with("Depth of the queue: at most "));
        keep("page-light.png", &mut browser);
        // The stream is cut, and reconnects by itself.
        browser.ask("globalThis.before = page.frame.time_ms");
        forward.cut();
        browser.until("page.frame.time_ms > globalThis.before + 1000");
        browser.until("document.querySelector('#state').textContent.startsWith('live')");
        for scheme in ["light", "dark"] {
            browser.media("screen", scheme);
            browser.width(390);
            let wider =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.ask(wider), 0, "{scheme}");
            keep(&format!("page-{scheme}-390.png"), &mut browser);
        }
        // The page only contacted the service, and the only complaint is about the cut.
        let ours = format!("\"http://{}/", forward.address);
        let fetched = browser.fetched();
        assert!(fetched.iter().all(|url| url.starts_with(&ours)), "{fetched:?}");
        let complaints = browser.complaints();
        let is_of_the_cut = |text: &String| text.contains("net::ERR_");
        assert!(complaints.iter().all(is_of_the_cut), "{complaints:?}");
        // After a restart, the token is another one, and the page says so.
        assert!(service.stop(LIMIT).unwrap().success());
        let _again = again(&forward, &file);
        browser.until("document.querySelector('#message').textContent.includes('restarted')");
        let _ = fs::remove_file(file);
    });
}

/// Starts the service again at the address that the port is forwarded to.
fn again(forward: &Forward, file: &Path) -> Service {
    let service = forward.service.to_string();
    let arguments = ["--listen", &service, "--token-file", file.to_str().unwrap()];
    Service::start(&arguments, LIMIT).unwrap()
}

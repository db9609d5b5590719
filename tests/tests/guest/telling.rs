//! Immediate reports: no more drops than requested, a changed limit, and times that stay correct
//! when the wall clock is set.

use std::io::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backlog_tests::clock::{mono_ns, wait_until};
use backlog_tests::socket;
use backlog_tests::tracer::{Kind, Line, Tracer};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, in_guest_once, program, stop};

/// A listener whose queue holds two connections and is full.
pub(super) fn full_listener() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    listener.bind(&address()).unwrap();
    listener.listen(1).unwrap();
    let clients = vec![knock(), knock()];
    wait_until("the queue to fill", LIMIT, || Ok(socket::queue(&listener)?.depth == 2)).unwrap();
    (listener, clients)
}

pub(super) fn address() -> SockAddr {
    SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))
}

/// A client that starts to connect without waiting.
pub(super) fn knock() -> Socket {
    let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    client.set_nonblocking(true).unwrap();
    // The expected error is that the connect is in progress.
    let _ = client.connect(&address());
    client
}

fn drops(lines: &[Line]) -> usize {
    lines.iter().filter(|line| matches!(line.kind, Kind::Drop(_))).count()
}

#[test]
fn no_more_drops_than_asked_for_and_all_of_them_counted() {
    in_guest(|| {
        let tracer = Tracer::start(&["--port", PORT_TEXT, "--drop-records", "20"], LIMIT).unwrap();
        let play = ["syn-overflow", "--current-netns", "--count", "300", "--port", PORT_TEXT];
        let played = Command::new(program("backlog-packets")).args(play).output().unwrap();
        assert!(played.status.success(), "{played:?}");
        let run = stop(tracer);
        let summary = run.summary(PORT).unwrap();
        assert_eq!(summary.drops.total, 300);
        let told = run.drops().count() as u64;
        // The 20 are split across CPUs; the drops may take more than one second.
        assert!((10..=200).contains(&told), "{told} told");
        assert_eq!(told + summary.drops.of("only_counted"), 300, "{told} told");
        assert_eq!(summary.drops.clients, Some(300));
    });
}

#[test]
fn clients_are_counted_where_their_drops_have_no_record() {
    in_guest(|| {
        // Three fit, and 37 clients try several times.
        let load = "--backlog 2 --count 40 --no-accept --hold-to-end --connect nonblocking \
                    --connect-timeout 3500ms";
        let load = Load::listening(PORT, load);
        let tracer = Tracer::start(&["--port", PORT_TEXT, "--drop-records", "4"], LIMIT).unwrap();
        load.go();
        let truth = load.finish();
        let run = stop(tracer);
        assert_eq!(truth.connects.timed_out, 37, "the load itself");
        let summary = run.summary(PORT).unwrap();
        let told = run.drops().count() as u64;
        assert!(summary.drops.total >= 2 * 37 && told < 37, "{told} of {}", summary.drops.total);
        assert_eq!(told + summary.drops.of("only_counted"), summary.drops.total);
        assert_eq!(summary.drops.clients, Some(37));
        assert!(
            run.drops().any(|drop| drop.retry == Some(true)),
            "no retry whose first drop is unknown"
        );
    });
}

#[test]
fn a_second_listen_is_told_with_both_limits() {
    in_guest(|| {
        let (listener, _clients) = full_listener();
        let mut tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        // The tool knows the listener from the first packet on.
        let _refused = knock();
        tracer.wait_for("a drop", LIMIT, |lines| drops(lines) > 0).unwrap();
        listener.listen(64).unwrap();
        let is_limit = |line: &Line| matches!(&line.kind, Kind::Other(name) if name == "limit");
        tracer.wait_for("the limit", LIMIT, |lines| lines.iter().any(is_limit)).unwrap();
        let run = stop(tracer);
        let told = run.lines.iter().find(|line| is_limit(line)).unwrap();
        let of = |key: &str| told.raw[key].as_u64();
        assert_eq!((of("was"), of("limit"), of("depth")), (Some(1), Some(64), Some(2)));
        assert_eq!(run.summary(PORT).unwrap().listener.limit, 64);
    });
}

#[test]
fn a_step_of_the_wall_clock_moves_only_what_comes_after() {
    const HOUR: Duration = Duration::from_hours(1);
    in_guest_once(|| {
        let (_listener, _clients) = full_listener();
        let mut tracer = Tracer::start(&["--port", PORT_TEXT, "60"], LIMIT).unwrap();
        let before = (SystemTime::now(), mono_ns());
        let _first = knock();
        tracer.wait_for("a drop", LIMIT, |lines| drops(lines) > 0).unwrap();
        let step = mono_ns();
        set_clock(SystemTime::now() + HOUR);
        let is_step = |line: &Line| matches!(&line.kind, Kind::Other(name) if name == "clock");
        tracer.wait_for("the step", LIMIT, |lines| lines.iter().any(is_step)).unwrap();
        let after = (SystemTime::now(), mono_ns());
        let _second = knock();
        tracer.wait_for("another drop", LIMIT, |lines| drops(lines) > 1).unwrap();
        let run = stop(tracer);
        set_clock(SystemTime::now() - HOUR);
        let told: Vec<&Value> = run
            .lines
            .iter()
            .filter(|line| matches!(line.kind, Kind::Drop(_)))
            .map(|line| &line.raw)
            .collect();
        for drop in told {
            let mono = drop["mono_ns"].as_u64().unwrap();
            // A retry may arrive before the tool notices the step.
            if (step..after.1).contains(&mono) {
                continue;
            }
            let (wall, then) = if mono < after.1 { before } else { after };
            let expected = wall + Duration::from_nanos(mono - then);
            assert_near(drop["time"].as_str().unwrap(), expected);
        }
    });
}

/// Within 5 ms, since the two clocks cannot be read at the same time.
fn assert_near(told: &str, expected: SystemTime) {
    let seconds = expected.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // Only the time of day is compared: a date would need a calendar.
    let clock = told.split_once('T').unwrap().1.trim_end_matches('Z');
    let told_seconds = clock.split(':').fold(0.0, |sum, part| {
        let part: f64 = part.parse().unwrap();
        sum * 60.0 + part
    });
    let difference = (told_seconds - seconds % 86_400.0).abs();
    assert!(difference < 0.005, "{told} instead of {seconds}: {difference} s off");
}

/// Sets the wall clock of this guest.
fn set_clock(time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    let time = libc::timespec {
        tv_sec: since.as_secs().try_into().unwrap(),
        tv_nsec: since.subsec_nanos().into(),
    };
    // SAFETY: a valid timespec that outlives the call.
    let done = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) };
    assert_eq!(done, 0, "{}", Error::last_os_error());
}

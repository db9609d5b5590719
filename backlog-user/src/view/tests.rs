//! Each view, fed with the same made-up run.

use backlog_ebpf::cause::Cause;
use backlog_ebpf::totals::{Stray, Totals};
use jiff::tz::TimeZone;

use super::json::Json;
use super::table::{Look, Table};
use super::{End, Meta, View};
use crate::book::interval::Interval;
use crate::book::reconcile::Verdict;
use crate::book::{Book, News, Refusal};
use crate::clock::Clock;
use crate::event::{Connection, Count, Drop, Enqueued, Event, Listener, ListenerId, What};
use crate::kernel::settings::Settings;
use crate::plan::{Attach, Hook};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn listener(id: u32, local: &str) -> Listener {
    Listener {
        id: ListenerId(id),
        local: local.parse().unwrap(),
        v6_only: false,
        netns: 4_026_531_840,
        inode: Some(77),
        cookie: Some(5),
        limit: 16,
        depth: 0,
        reuseport: Some(false),
        opened_now: id == 2,
    }
}

fn meta() -> Meta {
    Meta {
        time_ns: 0,
        kernel: "6.1.0-made-up".into(),
        backend: "fentry",
        hooks: vec![
            Hook {
                moment: "syn",
                program: "fe_syn",
                function: "tcp_conn_request",
                attach: Attach::Fentry,
            },
            Hook {
                moment: "syn",
                program: "fx_syn",
                function: "tcp_conn_request",
                attach: Attach::Fexit,
            },
        ],
        options: vec!["--port".into(), "8000".into()],
        settings: Settings {
            somaxconn: Some(4096),
            tcp_max_syn_backlog: Some(128),
            ..Settings::default()
        },
        gaps: Vec::new(),
    }
}

fn accepted(index: u64) -> What {
    What::Accepted(Connection {
        listener: ListenerId(1),
        enqueued: Some(Enqueued {
            time_ns: index * MS,
            depth: u32::try_from(index % 17 + 1).unwrap(),
            limit: 16,
        }),
        client: "10.0.0.9:4000".parse().unwrap(),
    })
}

fn refused(port: u16, isn: u32, cause: Cause) -> What {
    What::Drop(Drop {
        listener: ListenerId(1),
        cause,
        client: format!("[2001:db8::9]:{port}").parse().unwrap(),
        isn,
        depth: 17,
        limit: 16,
        syn_queue: 3,
    })
}

fn refusal(news: Option<News>) -> Refusal {
    match news {
        Some(News::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A run with a busy listener, one with a long address, and one that is idle.
fn show(view: &mut dyn View) {
    let clock = Clock::fixed(1_700_000_000_000_000_000);
    let mut book = Book::new(0);
    view.start(&clock, &meta()).unwrap();
    for (id, local) in
        [(1, "0.0.0.0:8000"), (2, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535"), (3, "[::]:22")]
    {
        let found = listener(id, local);
        book.apply(&Event { time_ns: 0, what: What::Listener(found.clone()) });
        view.listener(&clock, 0, &found).unwrap();
    }
    for index in 0..40 {
        book.apply(&Event { time_ns: index * 7 * MS + 300_000, what: accepted(index) });
    }
    for (time_ns, what) in [
        (400 * MS, refused(4001, 9, Cause::AcceptQueueFullSyn)),
        (500 * MS, refused(4002, 8, Cause::AcceptQueueFullAck)),
        (900 * MS, refused(4001, 9, Cause::AcceptQueueFullSyn)),
    ] {
        let refusal = refusal(book.apply(&Event { time_ns, what }));
        view.refused(&clock, &book, &refusal).unwrap();
    }
    for port in 5000..5012 {
        let what = refused(port, 1, Cause::AcceptQueueFullSyn);
        let refusal = refusal(book.apply(&Event { time_ns: 950 * MS, what }));
        view.refused(&clock, &book, &refusal).unwrap();
    }
    let rows = count(&mut book);
    view.interval(&clock, SECOND, &book, &rows).unwrap();
    book.apply(&Event {
        time_ns: SECOND,
        what: What::Closed { listener: ListenerId(2), depth: 1 },
    });
    let closed = listener(2, "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535");
    view.closed(&clock, SECOND, &closed, 1).unwrap();
    let end = End {
        time_ns: SECOND,
        elapsed_ns: SECOND,
        stray: Stray { no_slot: 2, closed: 0, accepts: 0 },
        undecoded: 0,
        missed: Some(1),
        verdicts: vec![Verdict {
            netns: 4_026_531_840,
            counter: "ListenOverflows",
            kernel: 16,
            seen: 15,
        }],
    };
    view.end(&clock, &book, &book.summaries(), &end).unwrap();
}

/// What the kernel counted, and the rows of the only interval.
fn count(book: &mut Book) -> Vec<Interval> {
    let mut totals = Totals {
        enqueued: 45,
        accepted: 41,
        untimed: 1,
        peak: 17,
        peak_ns: 16 * MS,
        last_ns: 950 * MS,
        ..Totals::default()
    };
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 14;
    totals.drops[Cause::AcceptQueueFullAck as usize] = 1;
    totals.lost[0] = 3;
    let first = Count { totals, recent_peak: 17, depth: Some(5), limit: Some(16) };
    let totals =
        Totals { enqueued: 1, accepted: 1, peak: 1, last_ns: 1, peak_ns: 1, ..Totals::default() };
    let second = Count { totals, recent_peak: 1, depth: Some(0), limit: Some(4096) };
    for (id, count) in [(1, first), (2, second)] {
        let what = What::Count { listener: ListenerId(id), count: Box::new(count) };
        book.apply(&Event { time_ns: SECOND, what });
    }
    book.tick(SECOND)
}

fn text(view: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    view(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn table() {
    let look = Look { zone: TimeZone::UTC, idle_rows: false, quiet: false };
    let text = text(|out| show(&mut Table::new(out, look)));
    for line in text.lines() {
        // Only an address may make a line longer.
        assert!(line.len() <= 80 || line.contains("[2001:"), "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn json() {
    let text = text(|out| show(&mut Json::new(out, false)));
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["type"].is_string() && value["time"].is_string());
    }
    insta::assert_snapshot!(text);
}

//! CSV: a row of names, and a row for each listener and interval, with the columns' names
//! and meanings of the JSON lines. Empty: not known, or there was none.

use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::model::interval::{Interval, Waits};
use backlog_core::model::page::Page;
use backlog_core::model::summary::Summary;
use backlog_core::run::{End, Meta};
use backlog_core::text::whose::outside;
use backlog_ebpf::cause::{Beside, Cause};

use super::sink::{Now, Sink, Update};

/// Those before the drops by cause.
const COLUMNS: [&str; 22] = [
    "time",
    "elapsed_s",
    "listener",
    "addr",
    "port",
    "family",
    "netns",
    "netns_name",
    "pid",
    "comm",
    "cgroup",
    "limit",
    "enqueued",
    "accepted",
    "depth",
    "peak",
    "peak_use_percent",
    "wait_p50_us",
    "wait_p90_us",
    "wait_p99_us",
    "wait_max_us",
    "drops",
];

/// Those after all counts: added since.
const LAST: [&str; 2] = ["netns_id", "member"];

/// Writes CSV.
pub(crate) struct Csv<W: Write> {
    out: csv::Writer<W>,
    /// Rows of idle listeners as well.
    idle_rows: bool,
}

impl<W: Write> Csv<W> {
    /// Rows that are written here.
    pub(crate) fn new(out: W, idle_rows: bool) -> Self {
        Self { out: csv::Writer::from_writer(out), idle_rows }
    }

    fn row(&mut self, time: &str, page: &Page, row: &Interval) -> io::Result<()> {
        let listener = &page.listener;
        let Interval { elapsed_ns, enqueued, accepted, depth, peak, limit, .. } = row;
        let process = listener.process();
        let wait = |pick: fn(&Waits) -> u64| text(row.wait.as_ref().map(pick));
        let fields: [String; COLUMNS.len()] = [
            time.to_owned(),
            format!("{:.6}", *elapsed_ns as f64 / 1e9),
            listener.id.0.to_string(),
            listener.local.ip().to_string(),
            listener.local.port().to_string(),
            listener.family().to_owned(),
            listener.netns.to_string(),
            outside(listener.identity.netns.as_ref()),
            text(process.as_ref().map(|process| process.pid)),
            outside(process.as_ref().map(|process| &process.comm)),
            outside(listener.identity.cgroup.as_ref()),
            limit.to_string(),
            enqueued.to_string(),
            accepted.to_string(),
            depth.to_string(),
            peak.to_string(),
            backlog_core::text::format::percent(*peak, *limit).to_string(),
            wait(|waits| waits.p50),
            wait(|waits| waits.p90),
            wait(|waits| waits.p99),
            wait(|waits| waits.max),
            row.dropped().to_string(),
        ];
        let counts = row.drops.iter().chain(&row.beside).map(u64::to_string);
        let last: [String; LAST.len()] =
            [text(listener.netns.identity()), text(page.grouped.then_some(page.member))];
        self.out.write_record(fields.into_iter().chain(counts).chain(last)).map_err(plain)
    }
}

/// The error itself: a closed reader is not an error of the format.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Events with a moment of their own have no row: the row of their interval counts them.
impl<W: Write> Sink for Csv<W> {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(meta) => self.start(clock, meta),
            Update::Interval { time_ns, rows } => self.interval(clock, time_ns, model, rows),
            Update::Flush => self.flush(),
            Update::End { summaries, end } => self.end(clock, model, summaries, end),
            Update::Listener { .. }
            | Update::Closed { .. }
            | Update::Limit { .. }
            | Update::Refused(_)
            | Update::Acceptor { .. }
            | Update::AcceptErrors { .. }
            | Update::ClockSet { .. }
            | Update::Reconciled { .. }
            | Update::Notice(_) => Ok(()),
        }
    }
}

impl<W: Write> Csv<W> {
    fn start(&mut self, _: &Clock, _: &Meta) -> io::Result<()> {
        let causes = Cause::ALL.map(Cause::name);
        let besides = Beside::ALL.map(Beside::name);
        let names = COLUMNS.iter().chain(&causes).chain(&besides).chain(&LAST);
        self.out.write_record(names).map_err(plain)?;
        self.out.flush()
    }

    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        model: &Model,
        rows: &[Interval],
    ) -> io::Result<()> {
        let time = format!("{:.9}", clock.wall(time_ns));
        let idle_rows = self.idle_rows;
        for row in rows.iter().filter(|row| idle_rows || row.active()) {
            if let Some(page) = model.get(row.listener) {
                self.row(&time, page, row)?;
            }
        }
        self.out.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self, _: &Clock, _: &Model, _: &[Summary<'_>], _: &End) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::Csv;
    use crate::output::sink::{Now, Sink as _, Update};
    use backlog_core::clock::Clock;
    use backlog_core::event::{Event, Identity, Listener, ListenerId, Netns, What};
    use backlog_core::model::Model;
    use backlog_core::model::interval::Interval;
    use std::io::{self, ErrorKind, Write};

    fn model() -> Model {
        let mut model = Model::new(0);
        let listener = Listener {
            id: ListenerId(1),
            local: "[::1]:80".parse().unwrap(),
            v6_only: false,
            netns: Netns::new(1, 77),
            inode: None,
            cookie: None,
            limit: 16,
            depth: 3,
            reuseport: None,
            opened_now: false,
            sk_drops: None,
            call: None,
            cgroup: None,
            identity: Identity { netns: Some("=1+1".into()), ..Identity::default() },
        };
        model.apply(&Event { time_ns: 0, what: What::Listener(listener) });
        model
    }

    fn show(out: impl Write) -> io::Result<()> {
        let mut model = model();
        let clock = Clock::fixed(1_700_000_000_000_000_000);
        let mut sink = Csv::new(out, false);
        let rows: Vec<Interval> = model.tick(1_500_000_000);
        // So many that they are written at once.
        for _ in 0..100 {
            sink.update(
                Now { clock: &clock, model: &model },
                &Update::Interval { time_ns: 1_500_000_000, rows: &rows },
            )?;
        }
        Ok(())
    }

    #[test]
    fn a_row_has_times_of_utc_and_no_formula() {
        let mut out = Vec::new();
        show(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row = text.lines().next().unwrap();
        assert!(
            row.starts_with(
                "2023-11-14T22:13:21.500000000Z,1.500000,1,::1,80,ipv6,1,'=1+1,,,,16,0,0,3,3,19,,,,,0"
            ),
            "{row}"
        );
        // Alone at its address.
        assert!(row.ends_with(",0,77,"), "{row}");
    }

    #[test]
    fn members_of_a_group_have_their_number() {
        let mut model = model();
        let first = model.get(ListenerId(1)).unwrap().listener.clone();
        for id in [2, 3] {
            let id = ListenerId(id);
            let found = Listener { id, reuseport: Some(true), ..first.clone() };
            model.apply(&Event { time_ns: 0, what: What::Listener(found) });
        }
        let (mut out, clock) = (Vec::new(), Clock::fixed(0));
        let rows = model.tick(1_000_000_000);
        Csv::new(&mut out, true).interval(&clock, 1_000_000_000, &model, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        let members: Vec<&str> = text.lines().map(|row| row.rsplit(',').next().unwrap()).collect();
        assert_eq!(members, ["1", "2", "3"]);
    }

    #[test]
    fn that_nobody_reads_is_said_as_it_is() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(show(Gone).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

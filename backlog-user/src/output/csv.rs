//! CSV output: a header row, and a row for each listener and interval. The columns are named as in
//! the JSON lines. An empty field is unknown, or there was nothing to measure.

use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::Caller;
use backlog_core::model::Model;
use backlog_core::model::interval::{Interval, Waits};
use backlog_core::model::page::Page;
use backlog_core::text::format::percent;
use backlog_core::text::outside::safe;
use backlog_core::text::owner_text::outside;
use backlog_ebpf::cause::{Beside, Cause};

use super::column::{Column, ColumnDoc, text};
use super::sink::{Now, Sink, Update};

/// The data of a row.
struct Row<'a> {
    /// The end of the interval.
    time: &'a str,
    page: &'a Page,
    /// The main process of the listener.
    process: Option<Caller>,
    interval: &'a Interval,
}

impl Row<'_> {
    fn wait(&self, pick: fn(&Waits) -> u64) -> String {
        text(self.interval.wait.as_ref().map(pick))
    }
}

type RowColumn = Column<fn(&Row<'_>) -> String>;

/// The columns before the counts of drops by cause and of side events.
const COLUMNS: [RowColumn; 22] = [
    Column::new("time", "the end of the interval: RFC 3339 in UTC, with nanoseconds", |row| {
        row.time.to_owned()
    }),
    Column::new("elapsed_s", "the length of the interval, seconds", |row| {
        format!("{:.6}", row.interval.elapsed_ns as f64 / 1e9)
    }),
    Column::new("listener", "the tool's own number of the listener", |row| {
        row.page.listener.id.0.to_string()
    }),
    Column::new("addr", "the address that it is bound to", |row| {
        row.page.listener.local.ip().to_string()
    }),
    Column::new("port", "the port that it is bound to", |row| {
        row.page.listener.local.port().to_string()
    }),
    Column::new("family", "`ipv4` or `ipv6`", |row| row.page.listener.family().to_owned()),
    Column::new("netns", "the inode number of its network namespace", |row| {
        row.page.listener.netns.to_string()
    }),
    Column::new("netns_name", "the name of its network namespace", |row| {
        outside(row.page.listener.identity.netns.as_ref())
    }),
    Column::new("pid", "the pid of its main process", |row| {
        text(row.process.as_ref().map(|process| process.pid))
    }),
    Column::new("comm", "the name of its main process", |row| {
        outside(row.process.as_ref().map(|process| &process.comm))
    }),
    Column::new("cgroup", "the path of the cgroup (v2) where its socket was made", |row| {
        outside(row.page.listener.identity.cgroup.as_ref())
    }),
    Column::new("limit", "the limit at the end of the interval", |row| {
        row.interval.limit.to_string()
    }),
    Column::new("enqueued", "connections added to the accept queue in the interval", |row| {
        row.interval.enqueued.to_string()
    }),
    Column::new("accepted", "connections accepted in the interval", |row| {
        row.interval.accepted.to_string()
    }),
    Column::new("depth", "connections in the accept queue at the end", |row| {
        row.interval.depth.to_string()
    }),
    Column::new("peak", "the deepest accept queue in the interval", |row| {
        row.interval.peak.to_string()
    }),
    Column::new("peak_use_percent", "`peak` in percent of `limit`, rounded up", |row| {
        percent(row.interval.peak, row.interval.limit).to_string()
    }),
    Column::new(
        "wait_p50_us",
        "half of the accepted connections waited no longer, microseconds",
        |row| row.wait(|waits| waits.p50),
    ),
    Column::new(
        "wait_p90_us",
        "90 % of the accepted connections waited no longer, microseconds",
        |row| row.wait(|waits| waits.p90),
    ),
    Column::new(
        "wait_p99_us",
        "99 % of the accepted connections waited no longer, microseconds",
        |row| row.wait(|waits| waits.p99),
    ),
    Column::new("wait_max_us", "the longest wait of an accepted connection, microseconds", |row| {
        row.wait(|waits| waits.max)
    }),
    Column::new("drops", "refused packets in the interval", |row| {
        row.interval.dropped().to_string()
    }),
];

/// The columns after these counts: all columns that were added later.
const LAST: [RowColumn; 2] = [
    Column::new(
        "netns_id",
        "distinguishes network namespaces that have had the same inode number",
        |row| text(row.page.listener.netns.identity()),
    ),
    Column::new(
        "member",
        "the number of the listener in its `SO_REUSEPORT` group; empty: it has always \
                  been alone at its address",
        |row| text(row.page.grouped.then_some(row.page.member)),
    ),
];

/// The columns that do not count a cause or side event.
pub(crate) fn own_columns() -> Vec<ColumnDoc> {
    COLUMNS.iter().map(Column::doc).chain(LAST.iter().map(Column::doc)).collect()
}

/// All columns, for the docs.
#[cfg(test)]
pub(crate) fn columns() -> Vec<ColumnDoc> {
    let causes = Cause::ALL.map(|cause| (cause.name(), format!("drops: {}", cause.meaning())));
    let events = Beside::ALL.map(|event| (event.name(), event.meaning().to_owned()));
    let before = COLUMNS.iter().map(Column::doc).chain(causes).chain(events);
    before.chain(LAST.iter().map(Column::doc)).collect()
}

/// Writes CSV.
pub(crate) struct Csv<W: Write> {
    out: csv::Writer<W>,
    /// Also print rows of idle listeners.
    idle_rows: bool,
}

impl<W: Write> Csv<W> {
    /// Creates an output that writes to `out`.
    pub(crate) fn new(out: W, idle_rows: bool) -> Self {
        Self { out: csv::Writer::from_writer(out), idle_rows }
    }

    fn header(&mut self) -> io::Result<()> {
        let causes = Cause::ALL.map(Cause::name);
        let events = Beside::ALL.map(Beside::name);
        let before = COLUMNS.iter().map(|column| column.name).chain(causes).chain(events);
        let names = before.chain(LAST.iter().map(|column| column.name));
        self.out.write_record(names).map_err(plain)?;
        self.out.flush()
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let counts = row.interval.drops.iter().chain(&row.interval.beside).map(u64::to_string);
        let before = COLUMNS.iter().map(|column| (column.value)(row)).chain(counts);
        let fields = before.chain(LAST.iter().map(|column| (column.value)(row)));
        let fields = fields.map(|field| safe(&field));
        self.out.write_record(fields).map_err(plain)
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
        for interval in rows.iter().filter(|row| idle_rows || row.active()) {
            if let Some(page) = model.get(interval.listener) {
                let process = page.listener.process();
                self.row(&Row { time: &time, page, process, interval })?;
            }
        }
        self.out.flush()
    }
}

/// The I/O error itself, so that a closed reader is recognised.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Single events have no row: the row of their interval counts them.
impl<W: Write> Sink for Csv<W> {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(_) => self.header(),
            Update::Interval { time_ns, rows } => self.interval(clock, time_ns, model, rows),
            Update::Flush | Update::End { .. } => self.out.flush(),
            Update::Listener { .. }
            | Update::Closed { .. }
            | Update::Limit { .. }
            | Update::Refused(_)
            | Update::Acceptor { .. }
            | Update::AcceptErrors { .. }
            | Update::HighUse { .. }
            | Update::ClockSet { .. }
            | Update::Reconciled { .. }
            | Update::Health { .. }
            | Update::Notice(_) => Ok(()),
        }
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
        // Enough rows to exceed the buffer.
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
        // It is the only listener at its address.
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

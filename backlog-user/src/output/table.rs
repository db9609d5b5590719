//! The plain table: a line per listener and interval, drops as they happen, and the summary, in 80
//! columns (`wrap`). Addresses are never cut.

pub(crate) mod columns;

use std::cell::LazyCell;
use std::collections::HashMap;
use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::{AcceptErrors, Acceptor, Call, Closed, Limit, Listener, Netns};
use backlog_core::model::group::words as groups;
use backlog_core::model::high_use::HighUse;
use backlog_core::model::interval::{Interval, More};
use backlog_core::model::page::Page;
use backlog_core::model::reconcile::{Account, Blind, CounterCheck};
use backlog_core::model::summary::Summary;
use backlog_core::model::{Model, Refusal};
use backlog_core::run::{End, Meta};
use backlog_core::settings::Spread;
use backlog_core::text::acceptor::sentence;
use backlog_core::text::format::{clock_time, duration, plural};
use backlog_core::text::outside::safe;
use backlog_core::text::owner_text;
use jiff::tz::TimeZone;

use super::sink::{Now, Sink, Update};
use super::text_block::TextBlock;
use super::wrap::Wrapped;
use super::{cost, reconciled, summary};
use columns::COLUMNS;

/// The style of the table.
#[derive(Clone, Debug)]
pub(crate) struct TextStyle {
    /// The time zone of printed times.
    pub(crate) zone: TimeZone,
    /// Also print rows of idle listeners.
    pub(crate) idle_rows: bool,
    /// Print only data: no heading, no list of listeners.
    pub(crate) quiet: bool,
    /// Print the cost of tracing at the end.
    pub(crate) cost: bool,
}

/// Writes the table.
pub(crate) struct Table<W> {
    out: Wrapped<W>,
    style: TextStyle,
    /// Rows since the last heading.
    rows: usize,
    /// Differences from the kernel's counters that were already printed.
    shown: HashMap<(Netns, &'static str), i128>,
}

/// Width of the listener column; a longer address gets a line of its own.
const LISTENER: usize = 14;

/// The number of rows between headings.
const HEADING_EVERY: usize = 40;

impl<W: Write> Table<W> {
    /// Creates a table that writes to `out`.
    pub(crate) fn new(out: W, style: TextStyle) -> Self {
        Self { out: Wrapped::new(out), style, rows: 0, shown: HashMap::new() }
    }

    fn time(&self, clock: &Clock, time_ns: u64, digits: usize) -> String {
        clock_time(&self.style.zone, clock.wall(time_ns), digits)
    }

    fn heading(&mut self) -> io::Result<()> {
        if self.style.quiet || !self.rows.is_multiple_of(HEADING_EVERY) {
            return Ok(());
        }
        write!(self.out, "{:<8} {:<LISTENER$}", "TIME", "LISTENER")?;
        for (width, column) in &COLUMNS {
            write!(self.out, " {:>width$}", column.name)?;
        }
        writeln!(self.out)
    }

    /// Prints a warning if the kernel has granted less than was requested.
    fn cut(&mut self, call: Option<&Call>, granted: u32) -> io::Result<()> {
        match call.and_then(|call| owner_text::cut(call, granted)) {
            Some(text) => writeln!(self.out, "         {text}"),
            None => Ok(()),
        }
    }

    fn row(&mut self, time: &str, listener: &str, row: &Interval) -> io::Result<()> {
        self.heading()?;
        self.rows += 1;
        let listener = if listener.len() > LISTENER {
            writeln!(self.out, "{time:<8} {listener}")?;
            ""
        } else {
            listener
        };
        let time = if listener.is_empty() { "" } else { time };
        write!(self.out, "{time:<8} {listener:<LISTENER$}")?;
        for (width, column) in &COLUMNS {
            write!(self.out, " {:>width$}", (column.value)(row))?;
        }
        writeln!(self.out)
    }
}

/// The settings that limit the queues: `net.core.somaxconn=128 net.ipv4...`. If namespaces differ,
/// one line with the lowest and one with the highest values.
fn bounds(spread: &Spread) -> String {
    let Spread { namespaces, least, most } = spread;
    let show = |value: Option<u32>| value.map_or("?".to_owned(), |value| value.to_string());
    let range = |least, most| {
        if least == most { show(least) } else { format!("{} to {}", show(least), show(most)) }
    };
    let somaxconn = range(least.somaxconn, most.somaxconn);
    let syn_backlog = range(least.tcp_max_syn_backlog, most.tcp_max_syn_backlog);
    if somaxconn.contains(' ') || syn_backlog.contains(' ') {
        format!(
            "net.core.somaxconn={somaxconn} in {namespaces} network namespaces\n\
             net.ipv4.tcp_max_syn_backlog={syn_backlog} in {namespaces} network namespaces"
        )
    } else {
        format!("net.core.somaxconn={somaxconn} net.ipv4.tcp_max_syn_backlog={syn_backlog}")
    }
}

impl<W: Write> Sink for Table<W> {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(meta) => self.start(meta),
            Update::Listener { time_ns, page } => self.listener(clock, time_ns, page),
            Update::Closed { time_ns, page, closed } => self.closed(clock, time_ns, page, closed),
            Update::Limit { time_ns, page, limit } => self.limit(clock, time_ns, page, limit),
            Update::Refused(refusal) => self.refused(clock, model, refusal),
            Update::Acceptor { time_ns: _, acceptor } => self.acceptor(acceptor),
            Update::AcceptErrors { errors, is_new: true, time_ns: _ } => self.accept_errors(errors),
            Update::AcceptErrors { .. } | Update::Health { .. } | Update::Notice(_) => Ok(()),
            Update::HighUse { page, high } => self.high_use(clock, page, high),
            Update::ClockSet { time_ns, step_ns } => self.clock_set(clock, time_ns, step_ns),
            Update::Interval { time_ns, rows } => self.interval(clock, time_ns, model, rows),
            Update::Reconciled { time_ns, accounts, blind } => {
                self.shown.retain(|(netns, _), _| model.knows_namespace(*netns));
                self.reconciled(clock, time_ns, accounts, blind)
            }
            Update::Flush => self.out.flush(),
            Update::End { summaries, end } => self.end(clock, model, summaries, end),
        }
    }
}

impl<W: Write> Table<W> {
    fn start(&mut self, meta: &Meta) -> io::Result<()> {
        if self.style.quiet {
            return Ok(());
        }
        let (kernel, backend) = (safe(&meta.kernel), meta.backend.name());
        writeln!(self.out, "Tracing accept queues of {kernel} with {backend}. Ctrl-C ends.")?;
        writeln!(self.out, "{}", bounds(&meta.bounds()))?;
        self.out.flush()
    }

    fn listener(&mut self, clock: &Clock, time_ns: u64, page: &Page) -> io::Result<()> {
        if self.style.quiet {
            return Ok(());
        }
        let listener = &page.listener;
        let time = self.time(clock, time_ns, 0);
        let opened = match (page.follows, listener.opened_now) {
            (Some(_), _) => "opened again",
            (None, true) => "opened",
            (None, false) => "listens",
        };
        let (name, Listener { depth, limit, .. }) = (page.full_name(), listener);
        write!(self.out, "{time} {name} {opened}: depth {depth}, limit {limit}")?;
        match owner_text::process(listener) {
            Some(process) => writeln!(self.out, ", {process}")?,
            None => writeln!(self.out)?,
        }
        self.cut(listener.call.as_ref(), *limit)
    }

    fn closed(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        page: &Page,
        closed: &Closed,
    ) -> io::Result<()> {
        let Closed { depth, syn_queue, .. } = *closed;
        if self.style.quiet && depth == 0 {
            return Ok(());
        }
        let time = self.time(clock, time_ns, 6);
        let left = groups::left_behind(depth, syn_queue);
        writeln!(self.out, "{time} {} closed{left}", page.full_name())
    }

    fn limit(&mut self, clock: &Clock, time_ns: u64, page: &Page, limit: &Limit) -> io::Result<()> {
        let Limit { now: limit, was, depth, call, opens, listener: _ } = limit;
        let time = self.time(clock, time_ns, 6);
        let local = page.full_name();
        if was == limit {
            let again = if *opens { "" } else { " again" };
            writeln!(self.out, "{time} {local} listens{again}: limit {limit}, depth {depth}")?;
        } else {
            writeln!(
                self.out,
                "{time} {local} listens again: limit {was} -> {limit}, depth {depth}"
            )?;
        }
        self.cut(call.as_ref(), *limit)
    }

    fn refused(&mut self, clock: &Clock, model: &Model, refusal: &Refusal) -> io::Result<()> {
        let Refusal { time_ns, drop, retry_of_ns, first, episode: _ } = refusal;
        if !first {
            // The interval's line has their number.
            return Ok(());
        }
        let time = self.time(clock, *time_ns, 6);
        let local = model.get(drop.listener).map_or("?".to_owned(), Page::full_name);
        let retry = match retry_of_ns {
            None if drop.retry => ", retry".to_owned(),
            None => String::new(),
            Some(first) => {
                format!(", retry after {}", duration(time_ns.saturating_sub(*first) / 1000))
            }
        };
        writeln!(
            self.out,
            "{time} DROP {local} <- {}\n         {} at {}/{}, SYN queue {}{retry}",
            drop.client,
            drop.cause.name(),
            drop.depth,
            drop.limit,
            drop.syn_queue,
        )
    }

    fn acceptor(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        let mut text = TextBlock::default();
        text.labelled("         ", 9, &sentence(acceptor));
        write!(self.out, "{}", text.into_text())
    }

    fn accept_errors(&mut self, errors: &AcceptErrors) -> io::Result<()> {
        let mut text = TextBlock::default();
        for error in errors.errors.iter().filter(|error| !error.is_empty_queue()) {
            text.labelled("         ", 9, &safe(&error.sentence()));
        }
        write!(self.out, "{}", text.into_text())
    }

    fn high_use(&mut self, clock: &Clock, page: &Page, high: &HighUse) -> io::Result<()> {
        let time = match high.peak_ns {
            Some(peak_ns) => self.time(clock, peak_ns, 6),
            None => self.time(clock, high.time_ns, 0),
        };
        writeln!(self.out, "{time} USE {}: {}", page.full_name(), high.words())
    }

    fn clock_set(&mut self, clock: &Clock, time_ns: u64, step_ns: i128) -> io::Result<()> {
        let time = self.time(clock, time_ns, 6);
        writeln!(self.out, "{time} wall clock stepped by {:+.3} s", step_ns as f64 / 1e9)
    }

    fn interval(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        model: &Model,
        rows: &[Interval],
    ) -> io::Result<()> {
        let time = self.time(clock, time_ns, 0);
        let idle_rows = self.style.idle_rows;
        for row in rows.iter().filter(|row| idle_rows || row.active()) {
            let Some(page) = model.get(row.listener) else {
                continue;
            };
            let local = page.full_name();
            for More { cause, packets, clients } in &row.more {
                let clients = match clients {
                    0 => String::new(),
                    _ => format!(", {}", plural(*clients, "new client")),
                };
                writeln!(self.out, "{time} {local} +{packets} {}{clients}", cause.name())?;
            }
            self.row(&time, &local, row)?;
        }
        self.out.flush()
    }

    fn reconciled(
        &mut self,
        clock: &Clock,
        time_ns: u64,
        accounts: &[Account],
        blind: &Blind,
    ) -> io::Result<()> {
        let time = self.time(clock, time_ns, 0);
        let names = LazyCell::new(|| reconciled::Names::of(accounts));
        let all = accounts.iter().flat_map(|account| {
            account.verdicts.iter().map(move |verdict| (account.netns, verdict))
        });
        for (netns, verdict) in all {
            // With a filter, the kernel is expected to count more.
            let by_right = blind.filtered && verdict.kernel > verdict.seen;
            let CounterCheck { counter, kernel, seen } = *verdict;
            let difference = i128::from(kernel) - i128::from(seen);
            let shown = self.shown.insert((netns, counter), difference).unwrap_or(0);
            if difference != shown && difference != 0 && !by_right && !self.style.quiet {
                let line = reconciled::line(verdict, blind);
                let name = names.name(netns);
                writeln!(self.out, "{time} network namespace {name}: {line}")?;
            }
        }
        self.out.flush()
    }

    fn end(
        &mut self,
        clock: &Clock,
        model: &Model,
        summaries: &[Summary<'_>],
        end: &End,
    ) -> io::Result<()> {
        let mut text = summary::render(&self.style.zone, clock, model, summaries, end);
        if self.style.cost {
            cost::render(&mut text, &end.cost);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::bounds;
    use backlog_core::settings::{Settings, Spread};

    #[test]
    fn bounds_of_several_namespaces_are_no_single_number() {
        let set = |somaxconn, backlog| Settings {
            somaxconn: Some(somaxconn),
            tcp_max_syn_backlog: Some(backlog),
            ..Settings::default()
        };
        let text = |all: &[Settings]| bounds(&Spread::of(all.iter().copied()).unwrap());
        let pod = "net.core.somaxconn=128 net.ipv4.tcp_max_syn_backlog=512";
        assert_eq!(text(&[set(128, 512)]), pod);
        assert_eq!(text(&[set(128, 512), set(128, 512)]), pod);
        assert_eq!(
            text(&[set(128, 512), set(4096, 512)]),
            "net.core.somaxconn=128 to 4096 in 2 network namespaces\n\
             net.ipv4.tcp_max_syn_backlog=512 in 2 network namespaces"
        );
    }
}

//! Sends each step of a run to the outputs. Live and replayed runs go through here, so that both
//! show the same.

use std::io::{self, BufWriter};

use backlog_core::clock::Clock;
use backlog_core::event::Event;
use backlog_core::model::interval::Interval;
use backlog_core::model::reconcile::{self, Blind};
use backlog_core::model::{Model, News};
use backlog_core::run::End;
use jiff::tz::TimeZone;

use crate::cli::Output;
use crate::output::csv::Csv;
use crate::output::json::Json;
use crate::output::sink::{Now, Sink, Update};
use crate::output::table::{Table, TextStyle};

/// How a run is to be shown.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct OutputOptions {
    /// Form of the output.
    pub(crate) output: Output,
    /// Times in UTC.
    pub(crate) utc: bool,
    /// Only data and errors.
    pub(crate) quiet: bool,
    /// More than usual.
    pub(crate) verbose: bool,
    /// Ports were named: who does so wants to see them, also while nothing happens.
    pub(crate) named_ports: bool,
}

/// The view that was asked for, on stdout.
pub(crate) fn lines(options: OutputOptions) -> Box<dyn Sink> {
    let out = BufWriter::new(io::stdout());
    let style = style(options);
    match options.output {
        Output::Json => Box::new(Json::new(out, style.idle_rows)),
        Output::Csv => Box::new(Csv::new(out, style.idle_rows)),
        Output::Table => Box::new(Table::new(out, style)),
    }
}

/// How text is to look.
pub(crate) fn style(options: OutputOptions) -> TextStyle {
    let OutputOptions { output: _, utc, quiet, verbose, named_ports } = options;
    let idle_rows = verbose || (named_ports && !quiet);
    // Without /etc/localtime it is UTC, as for every program.
    let zone = if utc { None } else { TimeZone::try_system().ok() };
    TextStyle { zone: zone.unwrap_or(TimeZone::UTC), idle_rows, quiet, cost: verbose }
}

/// Drops that are reported individually: not those behind the last one that `--until-drop` waits
/// for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DropLimiter {
    /// How many there were.
    pub(crate) drops: u64,
    until: Option<u64>,
}

impl DropLimiter {
    /// None yet.
    pub(crate) fn new(until: Option<u64>) -> Self {
        Self { drops: 0, until }
    }

    /// Counts a drop, and returns whether to report it.
    fn wants(&mut self, news: &News) -> bool {
        let News::Refused(_) = news else { return true };
        self.drops += 1;
        self.until.is_none_or(|limit| self.drops <= limit)
    }
}

/// Applies an event to the model and shows what it changed.
pub(crate) fn event(
    sink: &mut dyn Sink,
    clock: &Clock,
    model: &mut Model,
    limiter: &mut DropLimiter,
    event: &Event,
) -> io::Result<Option<News>> {
    let news = model.apply(event);
    if let Some(news) = &news
        && limiter.wants(news)
        && let Some(update) = Update::of_news(model, event.time_ns, news)
    {
        sink.update(Now { clock, model }, &update)?;
    }
    Ok(news)
}

/// Ends an interval: its rows.
pub(crate) fn interval(
    sink: &mut dyn Sink,
    clock: &Clock,
    model: &mut Model,
    time_ns: u64,
    blind: &Blind,
) -> io::Result<Vec<Interval>> {
    let rows = model.tick(time_ns);
    let now = Now { clock, model };
    sink.update(now, &Update::Interval { time_ns, rows: &rows })?;
    sink.update(
        now,
        &Update::Reconciled { time_ns, accounts: &reconcile::accounts(model), blind },
    )?;
    Ok(rows)
}

/// Ends the last, incomplete interval.
pub(crate) fn rest(
    sink: &mut dyn Sink,
    clock: &Clock,
    model: &mut Model,
    time_ns: u64,
) -> io::Result<()> {
    let mut rows = model.tick(time_ns);
    rows.retain(Interval::moved);
    sink.update(Now { clock, model }, &Update::Interval { time_ns, rows: &rows })
}

/// The summary. The end is completed from the model.
pub(crate) fn end(
    sink: &mut dyn Sink,
    clock: &Clock,
    model: &Model,
    mut end: End,
) -> io::Result<()> {
    end.accounts = reconcile::accounts(model);
    let summaries = model.summaries();
    sink.update(Now { clock, model }, &Update::End { summaries: &summaries, end: &end })
}

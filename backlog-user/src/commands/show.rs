//! Shows a run, live or replayed. Both use this code, so that both look the same.

use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::Event;
use backlog_core::model::high_use::{HighUse, HighUseWatch};
use backlog_core::model::interval::Interval;
use backlog_core::model::reconcile::{self, Blind};
use backlog_core::model::{Model, News, Refusal, Retention};
use backlog_core::recording::options::ReplayOptions;
use backlog_core::run::{End, Health, Meta};
use jiff::tz::TimeZone;

use crate::cli::Output;
use crate::output::csv::Csv;
use crate::output::json::Json;
use crate::output::sink::{Now, Sink, Update};
use crate::output::table::{Table, TextStyle};

/// Options of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputOptions {
    /// Output format.
    pub(crate) output: Output,
    /// Times in UTC.
    pub(crate) utc: bool,
    /// Print only data and errors.
    pub(crate) quiet: bool,
    /// Print more than usual.
    pub(crate) verbose: bool,
    /// The options of the recorded run.
    pub(crate) replay: ReplayOptions,
}

/// The selected output.
pub(crate) fn lines(options: OutputOptions, out: impl Write + 'static) -> Box<dyn Sink> {
    let style = style(options);
    match options.output {
        Output::Json => Box::new(Json::new(out, style.idle_rows)),
        Output::Csv => Box::new(Csv::new(out, style.idle_rows)),
        Output::Table => Box::new(Table::new(out, style)),
    }
}

/// The style of text output.
pub(crate) fn style(options: OutputOptions) -> TextStyle {
    let OutputOptions { output: _, utc, quiet, verbose, replay } = options;
    // The presenter uses the other fields.
    let ReplayOptions {
        named_ports,
        until_drop: _,
        high_use: _,
        client_timeout_ns: _,
        one_family: _,
    } = replay;
    let idle_rows = verbose || (named_ports && !quiet);
    TextStyle { zone: zone(utc), idle_rows, quiet, cost: verbose }
}

/// The time zone of printed times.
pub(crate) fn zone(utc: bool) -> TimeZone {
    // Without /etc/localtime times are in UTC, as in every program.
    let zone = if utc { None } else { TimeZone::try_system().ok() };
    zone.unwrap_or(TimeZone::UTC)
}

/// Limits which drops are shown individually: with `--until-drop N`, the first N.
#[derive(Clone, Copy, Debug)]
struct DropLimiter {
    seen: u64,
    until: Option<u64>,
}

impl DropLimiter {
    /// Counts a drop. Should it be shown?
    fn admits(&mut self, news: &News) -> bool {
        let News::Refused(_) = news else { return true };
        self.seen += 1;
        self.until.is_none_or(|limit| self.seen <= limit)
    }
}

/// Applies events to the model of a run, and passes what is new to the outputs.
pub(crate) struct Presenter {
    model: Model,
    clock: Clock,
    limiter: DropLimiter,
    watch: HighUseWatch,
    /// The first period of high use.
    first_high: Option<HighUse>,
}

impl Presenter {
    /// Creates a presenter for a run that starts at this time.
    pub(crate) fn new(clock: Clock, start_ns: u64, options: ReplayOptions) -> Self {
        // The outputs apply `named_ports`.
        let ReplayOptions { named_ports: _, until_drop, high_use, client_timeout_ns, one_family } =
            options;
        let mut model = Model::new(start_ns);
        if let Some(timeout_ns) = client_timeout_ns {
            model.set_client_timeout(timeout_ns);
        }
        model.set_one_family(one_family);
        Self {
            model,
            clock,
            limiter: DropLimiter { seen: 0, until: until_drop },
            watch: HighUseWatch::new(high_use),
            first_high: None,
        }
    }

    /// Shows the start of the run.
    pub(crate) fn begin(&mut self, sink: &mut dyn Sink, meta: &Meta) -> io::Result<()> {
        sink.update(self.now(), &Update::Start(meta))?;
        if sink.draws() {
            self.model.keep_timelines();
        }
        if sink.monitors() {
            self.model.retain(Retention::LONG_RUN);
        }
        Ok(())
    }

    /// Applies an event and shows what is new.
    pub(crate) fn event(&mut self, sink: &mut dyn Sink, event: &Event) -> io::Result<Option<News>> {
        let news = self.model.apply(event);
        if let Some(news) = &news
            && self.limiter.admits(news)
            && let Some(update) = Update::of_news(&self.model, event.time_ns, news)
        {
            sink.update(self.now(), &update)?;
        }
        let high = news.as_ref().and_then(|news| self.high_use_of(event.time_ns, news));
        self.show_high(sink, high.into_iter())?;
        Ok(news)
    }

    /// Does this event show a queue so deep that a period of high use begins?
    fn high_use_of(&mut self, time_ns: u64, news: &News) -> Option<HighUse> {
        let (listener, queue) = match news {
            News::Found(listener) => {
                let found = &self.model.get(*listener)?.listener;
                (*listener, (found.depth, found.limit))
            }
            News::Limit(limit) => (limit.listener, (limit.depth, limit.now)),
            News::Refused(Refusal { drop, .. }) => (drop.listener, (drop.depth, drop.limit)),
            News::Closed(_) | News::Acceptor(_) | News::AcceptErrors(..) => return None,
        };
        self.watch.saw(listener, time_ns, queue)
    }

    /// Shows where periods of high use begin.
    fn show_high(
        &mut self,
        sink: &mut dyn Sink,
        begun: impl Iterator<Item = HighUse>,
    ) -> io::Result<()> {
        for high in begun {
            let Some(page) = self.model.get(high.listener) else { continue };
            sink.update(self.now(), &Update::HighUse { page, high: &high })?;
            self.first_high.get_or_insert(high);
        }
        Ok(())
    }

    /// The wall clock was stepped by this much.
    pub(crate) fn clock_set(
        &self,
        sink: &mut dyn Sink,
        (time_ns, step_ns): (u64, i128),
    ) -> io::Result<()> {
        sink.update(self.now(), &Update::ClockSet { time_ns, step_ns })
    }

    /// Ends an interval and shows its rows.
    pub(crate) fn interval(
        &mut self,
        sink: &mut dyn Sink,
        time_ns: u64,
        blind: &Blind,
    ) -> io::Result<Vec<Interval>> {
        let rows = self.model.tick(time_ns);
        sink.update(self.now(), &Update::Interval { time_ns, rows: &rows })?;
        let begun = self.watch.interval(time_ns, &rows);
        self.show_high(sink, begun.into_iter())?;
        let accounts = reconcile::accounts(&self.model);
        sink.update(self.now(), &Update::Reconciled { time_ns, accounts: &accounts, blind })?;
        Ok(rows)
    }

    /// Shows the state of the tool itself. In a run of months, only the latest marks of the clock
    /// are kept.
    pub(crate) fn health(
        &mut self,
        sink: &mut dyn Sink,
        time_ns: u64,
        health: &Health,
    ) -> io::Result<()> {
        self.clock = self.clock.latest();
        sink.update(self.now(), &Update::Health { time_ns, health })
    }

    /// Ends the last, incomplete interval.
    pub(crate) fn rest(&mut self, sink: &mut dyn Sink, time_ns: u64) -> io::Result<()> {
        let mut rows = self.model.tick(time_ns);
        let begun = self.watch.interval(time_ns, &rows);
        rows.retain(Interval::moved);
        sink.update(self.now(), &Update::Interval { time_ns, rows: &rows })?;
        self.show_high(sink, begun.into_iter())
    }

    /// Shows the summary; the model completes the end.
    pub(crate) fn end(&self, sink: &mut dyn Sink, mut end: End) -> io::Result<()> {
        end.accounts = reconcile::accounts(&self.model);
        let summaries = self.model.summaries();
        sink.update(self.now(), &Update::End { summaries: &summaries, end: &end })
    }

    /// Flushes the outputs.
    pub(crate) fn flush(&self, sink: &mut dyn Sink) -> io::Result<()> {
        sink.update(self.now(), &Update::Flush)
    }

    /// Have the drops of `--until-drop` occurred? Some of them may be counted only.
    pub(crate) fn has_dropped_enough(&self) -> bool {
        let DropLimiter { seen, until } = self.limiter;
        until.is_some_and(|limit| seen.max(self.model.dropped()) >= limit)
    }

    /// Where the first period of high use began, if there was one.
    pub(crate) fn first_high_use(&self) -> Option<&HighUse> {
        self.first_high.as_ref()
    }

    /// The state that the outputs may read.
    pub(crate) fn now(&self) -> Now<'_> {
        Now { clock: &self.clock, model: &self.model }
    }

    /// The model of the run.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// For a recording that begins in the middle of a run, or a replay that starts over.
    pub(crate) fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// The clock that converts times to wall-clock times.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock, to compare it with the wall clock again.
    pub(crate) fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }
}

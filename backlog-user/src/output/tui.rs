//! The full screen: updates change a state, as do keys, and it is drawn at most a few times per
//! second. The summary follows on the normal screen, as with the table.

mod detail;
mod draw;
pub(crate) mod inputs;
mod key;
mod row;
pub(crate) mod screen;
mod state;
mod stderr;
mod theme;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use backlog_core::clock::Clock;
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;
use backlog_core::model::{Model, Refusal};
use backlog_core::run::Meta;
use backlog_core::text::format::{clock_time, duration};
use backlog_core::text::owner_text;

use super::Flow;
use super::playing::Playing;
use super::sink::{Now, Sink, Update};
use super::table::{Table, TextStyle};
use super::told::Told;
use crate::notice::notice;
use crate::outlet::Outlet;
use detail::Detail;
use inputs::{Input, Inputs, Source};
use row::Row;
use screen::Screen;
use state::{Action, Refused, State};
use stderr::Captured;
use theme::Theme;

/// See the module documentation.
pub(crate) struct Tui {
    state: State,
    theme: Theme,
    style: TextStyle,
    screen: Option<Screen>,
    take: fn(&Source, Outlet) -> io::Result<Option<Screen>>,
    source: Source,
    inputs: Option<Inputs>,
    /// Turns the lines that the table would print into messages.
    teller: Table<Told>,
    told: Told,
    out: Outlet,
    summary: Table<Outlet>,
    /// The messages of a replayed run, which are repeated at the end.
    said: VecDeque<String>,
    /// The state has changed since it was last drawn.
    stale: bool,
    /// A timer to draw is already running.
    asked: bool,
    drawn: Option<Instant>,
}

/// The minimum time between two drawings of changed data.
const GAP: Duration = Duration::from_millis(250);

/// The maximum number of messages to repeat.
const MOST_SAID: usize = 500;

impl Tui {
    /// Creates a screen for intervals of this length.
    pub(crate) fn new(style: TextStyle, interval: Duration, out: Outlet) -> Self {
        let (source, inputs) = Inputs::new();
        let told = Told::default();
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self {
            state: State::new(interval_ns),
            theme: Theme::of(|name| std::env::var(name).ok()),
            screen: None,
            take,
            source,
            inputs: Some(inputs),
            teller: Table::new(told.clone(), style.clone()),
            told,
            summary: Table::new(out.clone(), style.clone()),
            out,
            said: VecDeque::new(),
            style,
            stale: false,
            asked: false,
            drawn: None,
        }
    }

    /// Draws into memory instead of a terminal.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn unseen(style: TextStyle, interval: Duration) -> io::Result<Self> {
        use crate::outlet::{OnStall, Target};

        let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
        let out = Outlet::open(Target::File(nowhere), OnStall::Lose)?;
        let mut tui = Self::new(style, interval, out);
        tui.take = |_, _| Ok(None);
        Ok(tui)
    }

    /// The content of the screen as text.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) fn picture(&mut self, model: &Model, (columns, rows): (u16, u16)) -> String {
        let Self { state, .. } = self;
        state.look(|id| model.get(id).map(|page| Detail::of(model, page)));
        let backend = ratatui::backend::TestBackend::new(columns, rows);
        let Ok(mut terminal) = ratatui::Terminal::new(backend);
        let theme = Theme { colour: true, blocks: true };
        let Ok(_) = terminal.draw(|frame| draw::draw(frame, state, theme));
        terminal.backend().to_string()
    }

    fn time(&self, clock: &Clock, time_ns: u64, digits: usize) -> String {
        clock_time(&self.style.zone, clock.wall(time_ns), digits)
    }

    fn remark(&mut self, text: &str) {
        // A tab becomes a space here instead of an escaped control character.
        self.state.notice(owner_text::safe(&text.replace('\t', " ")));
        self.stale = true;
    }

    /// Turns the table's lines into messages.
    fn notices(&mut self) {
        for text in self.told.take() {
            self.remark(&text);
        }
    }

    /// Turns the lines from stderr into messages.
    fn hear(&mut self) {
        for text in self.screen.as_ref().map_or_else(Vec::new, Screen::words) {
            self.remark(text.strip_prefix("backlog-trace: ").unwrap_or(&text));
        }
    }

    fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.hear();
        self.state.look(|id| model.get(id).map(|page| Detail::of(model, page)));
        let Self { screen, state, theme, .. } = self;
        self.stale = match screen {
            Some(screen) => !screen.draw(|frame| draw::draw(frame, state, *theme))?,
            None => false,
        };
        self.drawn = Some(Instant::now());
        self.draw_soon();
        Ok(())
    }

    /// Schedules a drawing, not too soon after the last one.
    fn draw_soon(&mut self) {
        if self.stale && !self.asked && self.screen.is_some() {
            self.asked = true;
            let since = self.drawn.map_or(GAP, |drawn| drawn.elapsed());
            self.source.draw_in(GAP.saturating_sub(since));
        }
    }

    fn act(&mut self, action: Action, model: &Model) -> io::Result<Flow> {
        match action {
            Action::Nothing => return Ok(Flow::On),
            Action::Draw => {}
            Action::Pause => self.state.pause(model.open().map(|page| Detail::of(model, page))),
            Action::Repaint => self.repaint()?,
            Action::Suspend => {
                self.suspend();
                return Ok(Flow::On);
            }
            Action::Play(play) => return Ok(Flow::Play(play)),
            Action::Quit => {
                self.state.ending = true;
                self.draw(model)?;
                return Ok(Flow::End);
            }
        }
        self.draw(model)?;
        Ok(Flow::On)
    }

    fn repaint(&mut self) -> io::Result<()> {
        self.screen.as_mut().map_or(Ok(()), Screen::repaint)
    }

    /// Restores the terminal and stops this process until SIGCONT.
    fn suspend(&self) {
        if let Some(screen) = &self.screen {
            screen.leave();
            // SAFETY: it takes a number; this process stops in it and goes on after it.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
    }
}

/// Takes the terminal and starts reading keys.
fn take(source: &Source, out: Outlet) -> io::Result<Option<Screen>> {
    let words = source.clone();
    let screen =
        Captured::prepare(move || words.words()).and_then(|stderr| Screen::take(stderr, out))?;
    source.begin()?;
    Ok(Some(screen))
}

impl Sink for Tui {
    fn draws(&self) -> bool {
        true
    }

    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        match *update {
            Update::Start(meta) => return self.start(clock, meta),
            Update::Listener { page, .. } => {
                self.state.found(Row::of(page));
                self.stale = true;
                if page.listener.opened_now {
                    return self.tell(now, update);
                }
            }
            Update::Closed { page, .. } => {
                self.state.closed(page.listener.id);
                return self.tell(now, update);
            }
            Update::Limit { .. }
            | Update::HighUse { .. }
            | Update::ClockSet { .. }
            | Update::Reconciled { .. } => return self.tell(now, update),
            Update::Refused(refusal) => self.refused(clock, model, refusal),
            Update::Interval { time_ns, rows } => self.interval(clock, time_ns, model, rows),
            Update::Flush => self.draw_soon(),
            Update::Notice(text) => self.notice(text),
            Update::End { .. } => {
                // Restore the terminal before anything is written to it.
                self.screen = None;
                for text in &self.said {
                    notice(text);
                }
                return self.summary.update(now, update);
            }
            Update::Acceptor { .. } | Update::AcceptErrors { .. } | Update::Health { .. } => {}
        }
        Ok(())
    }
}

impl Tui {
    fn start(&mut self, clock: &Clock, meta: &Meta) -> io::Result<()> {
        self.state.system = (meta.kernel.clone(), meta.backend.name());
        self.state.start_ns = meta.time_ns;
        // A replay may start over.
        self.state.again();
        self.teller = Table::new(self.told.clone(), self.style.clone());
        self.said.clear();
        self.state.at(meta.time_ns, self.time(clock, meta.time_ns, 0));
        if self.screen.is_none() {
            self.screen = (self.take)(&self.source, self.out.clone()).map_err(|error| {
                let what = "--tui: setting up the terminal (the table needs none)";
                io::Error::new(error.kind(), format!("{what}: {error}"))
            })?;
        }
        self.stale = true;
        self.draw_soon();
        Ok(())
    }

    /// Turns what the table would print into messages.
    fn tell(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        self.teller.update(now, update)?;
        self.notices();
        Ok(())
    }

    fn refused(&mut self, clock: &Clock, model: &Model, refusal: &Refusal) {
        let Refusal { time_ns, drop, retry_of_ns, first: _, episode: _ } = refusal;
        let page = model.get(drop.listener);
        let address = page.map_or("?".to_owned(), |page| page.listener.local.to_string());
        let after = |first: u64| duration(time_ns.saturating_sub(first) / 1000);
        self.state.refused(Refused {
            listener: drop.listener,
            time_ns: *time_ns,
            time: self.time(clock, *time_ns, 3),
            address,
            client: drop.client.to_string(),
            cause: drop.cause.name(),
            fill: format!("{}/{}", drop.depth, drop.limit),
            retry: retry_of_ns.map(after),
        });
        self.stale |= !self.state.paused();
    }

    fn interval(&mut self, clock: &Clock, time_ns: u64, model: &Model, rows: &[Interval]) {
        let open = |page: &&Page| page.closed.is_none();
        let rows = rows.iter().filter_map(|row| {
            let page = model.get(row.listener).filter(open)?;
            Some(Row::after(page, row))
        });
        self.state.interval(time_ns, self.time(clock, time_ns, 0), rows.collect());
        self.stale |= !self.state.paused();
        self.draw_soon();
    }

    fn notice(&mut self, text: &str) {
        if self.style.quiet {
            return;
        }
        if self.said.len() == MOST_SAID {
            self.said.pop_front();
        }
        self.said.push_back(text.to_owned());
        self.remark(text);
    }

    /// The terminal's input queue. It can be taken once.
    pub(crate) fn inputs(&mut self) -> Option<Inputs> {
        self.inputs.take()
    }

    /// Handles an input.
    pub(crate) fn input(&mut self, model: &Model, input: Input) -> io::Result<Flow> {
        match input {
            Input::Key(key) => {
                let action = self.state.key(key);
                return self.act(action, model);
            }
            Input::Stop => return self.act(Action::Suspend, model),
            Input::Resized => {}
            Input::Continued => {
                if let Some(screen) = &mut self.screen {
                    screen.enter()?;
                }
            }
            Input::Words => {
                self.hear();
                self.draw_soon();
                return Ok(Flow::On);
            }
            Input::Draw => {
                self.asked = false;
                if !self.stale {
                    return Ok(Flow::On);
                }
            }
            Input::Deaf(error) => {
                self.remark(&format!("keys cannot be read ({error}): SIGINT ends the run"));
            }
        }
        self.draw(model)?;
        Ok(Flow::On)
    }

    /// Updates the playback position of a recording.
    pub(crate) fn played(&mut self, playing: Playing) {
        self.stale |= self.state.playing != Some(playing);
        self.state.playing = Some(playing);
    }
}

#[cfg(test)]
mod tests;

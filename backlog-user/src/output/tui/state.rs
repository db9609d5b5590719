//! What the screen shows and what keys do to it. Pure: it knows no terminal, no model and no
//! clock. A recording differs from a run by what keys can ask for.

mod keys;

use std::collections::{BTreeMap, VecDeque};

use backlog_core::event::ListenerId;

use super::detail::Detail;
use super::row::{By, Row};
use crate::output::playing::Playing;
pub(crate) use keys::Action;

/// See the module's head.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub(crate) struct State {
    /// The kernel and how it is traced.
    pub(crate) system: (String, &'static str),
    /// When the run began, and the length of its intervals.
    pub(crate) start_ns: u64,
    pub(crate) interval_ns: u64,
    /// What happens now; shown, unless it pauses.
    live: Data,
    frozen: Option<Frozen>,
    /// Log messages, the newest last.
    pub(crate) notices: VecDeque<String>,
    /// How many there were.
    pub(crate) noticed: u64,
    /// The details of the selected listener.
    pub(crate) detail: Detail,
    pub(crate) by: By,
    pub(crate) reversed: bool,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) typing: bool,
    /// Rows that pass the filter, in their order.
    order: Vec<usize>,
    /// Rows have come or gone since: many may at once.
    unsorted: bool,
    /// The listener that keys have moved to; none: always the first of the list.
    chosen: Option<ListenerId>,
    selected: Option<ListenerId>,
    /// The pane that keys act on.
    pub(crate) pane: Pane,
    /// The one below the plot where there is room for one only.
    pub(crate) tab: Pane,
    /// That pane has the screen for itself.
    pub(crate) zoomed: bool,
    pub(crate) help: bool,
    /// Lines that drops and notices are scrolled back.
    pub(crate) scroll: usize,
    window: Option<usize>,
    /// The plot is as high as its peak, not as the limit.
    pub(crate) by_peak: bool,
    /// The run is being ended.
    pub(crate) ending: bool,
    /// How far a recording is played; none: it is a run.
    pub(crate) playing: Option<Playing>,
}

/// What changes by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// The time of the last change, monotonic and as text.
    pub(crate) now_ns: u64,
    pub(crate) time: String,
    /// Open listeners.
    pub(crate) rows: Vec<Row>,
    /// The latest drops, the newest last.
    pub(crate) drops: VecDeque<Refused>,
}

/// A picture of a moment, to look around in.
#[derive(Debug)]
struct Frozen {
    data: Data,
    details: BTreeMap<ListenerId, Detail>,
}

/// A refused packet, ready to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) listener: ListenerId,
    pub(crate) time_ns: u64,
    pub(crate) time: String,
    pub(crate) address: String,
    pub(crate) client: String,
    pub(crate) cause: &'static str,
    /// Depth and limit.
    pub(crate) fill: String,
    /// For a retry: how long after the first attempt.
    pub(crate) retry: Option<String>,
}

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    #[default]
    Listeners,
    Histograms,
    Drops,
    Notices,
}

/// Drops that are remembered, and notices.
const MOST_DROPS: usize = 1000;
const MOST_NOTICES: usize = 200;
/// Lengths of time that a plot shows, seconds; the next is the whole run.
const WINDOWS: [u64; 5] = [10, 60, 300, 900, 3600];
/// The shortest one has at least this many intervals.
const INTERVALS: u64 = 60;

impl State {
    /// For a run with intervals of this length.
    pub(crate) fn new(interval_ns: u64) -> Self {
        Self { interval_ns, ..Self::default() }
    }

    /// The displayed rows: current, or from the moment of the pause.
    pub(crate) fn data(&self) -> &Data {
        self.frozen.as_ref().map_or(&self.live, |frozen| &frozen.data)
    }

    pub(crate) fn paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// The rows that are listed, and the place of the selected one.
    pub(crate) fn listed(&self) -> (Vec<&Row>, usize) {
        let rows: Vec<&Row> =
            self.order.iter().filter_map(|index| self.data().rows.get(*index)).collect();
        let at = rows.iter().position(|row| Some(row.id) == self.selected);
        (rows, at.unwrap_or(0))
    }

    /// The time that plots show: from, to, and what it is called.
    pub(crate) fn window(&self) -> (u64, u64, &'static str) {
        let now_ns = self.data().now_ns;
        let name = ["10 s", "1 min", "5 min", "15 min", "1 h", "whole run"];
        let index = self.window_index();
        match WINDOWS.get(index) {
            Some(seconds) => (now_ns.saturating_sub(seconds * 1_000_000_000), now_ns, name[index]),
            None => (self.start_ns, now_ns, name[WINDOWS.len()]),
        }
    }

    fn window_index(&self) -> usize {
        self.window.unwrap_or_else(|| {
            let wide = |seconds: &u64| seconds * 1_000_000_000 >= self.interval_ns * INTERVALS;
            WINDOWS.iter().position(wide).unwrap_or(WINDOWS.len())
        })
    }

    /// Discards all updates: they are repeated from the beginning. Settings made by keys stay.
    pub(crate) fn again(&mut self) {
        self.live = Data::default();
        self.frozen = None;
        self.notices.clear();
        self.noticed = 0;
        self.detail = Detail::default();
        self.unsorted = true;
    }

    /// A listener is there.
    pub(crate) fn found(&mut self, row: Row) {
        self.live.rows.push(row);
        self.unsorted = true;
    }

    /// A listener was closed.
    pub(crate) fn closed(&mut self, id: ListenerId) {
        if let Some(at) = self.live.rows.iter().position(|row| row.id == id) {
            self.live.rows.swap_remove(at);
        }
        self.unsorted = true;
    }

    /// An interval has ended.
    pub(crate) fn interval(&mut self, now_ns: u64, time: String, rows: Vec<Row>) {
        self.live.rows = rows;
        self.at(now_ns, time);
        self.arrange();
    }

    /// A packet was refused.
    pub(crate) fn refused(&mut self, refused: Refused) {
        self.live.now_ns = self.live.now_ns.max(refused.time_ns);
        if self.live.drops.len() == MOST_DROPS {
            self.live.drops.pop_front();
        }
        self.live.drops.push_back(refused);
    }

    /// Adds a log message.
    pub(crate) fn notice(&mut self, text: String) {
        if self.notices.len() == MOST_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(text);
        self.noticed += 1;
    }

    /// It is later.
    pub(crate) fn at(&mut self, now_ns: u64, time: String) {
        self.live.now_ns = self.live.now_ns.max(now_ns);
        self.live.time = time;
    }

    /// What is to be done before it is drawn: takes the details of the selected listener from
    /// where they are found.
    pub(crate) fn look(&mut self, find: impl FnOnce(ListenerId) -> Option<Detail>) {
        if self.unsorted {
            self.arrange();
        }
        let Some(id) = self.selected else {
            self.detail = Detail::default();
            return;
        };
        let found = match &self.frozen {
            Some(frozen) => frozen.details.get(&id).cloned(),
            None => find(id),
        };
        match found {
            Some(detail) => self.detail = detail,
            // Its page is gone, what was shown last is still true.
            None if self.detail.id == Some(id) => self.detail.closed = true,
            None => self.detail = Detail::default(),
        }
    }

    /// Freezes what is shown, with the details of every listener.
    pub(crate) fn pause(&mut self, details: impl Iterator<Item = Detail>) {
        let details = details.filter_map(|detail| Some((detail.id?, detail))).collect();
        self.frozen = Some(Frozen { data: self.live.clone(), details });
        self.arrange();
    }

    /// Which rows are listed, in which order, and which of them is selected.
    fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let data = self.frozen.as_ref().map_or(&self.live, |frozen| &frozen.data);
        let mut order: Vec<usize> = (0..data.rows.len())
            .filter(|index| data.rows[*index].words.contains(&wanted))
            .collect();
        order.sort_unstable_by(|one, other| {
            let ordering = self.by.compare(&data.rows[*one], &data.rows[*other]);
            if self.reversed { ordering.reverse() } else { ordering }
        });
        let there = |id: &ListenerId| order.iter().any(|index| data.rows[*index].id == *id);
        let first = order.first().map(|index| data.rows[*index].id);
        // Who looks at one alone goes on looking at it when it has closed.
        self.selected = self.chosen.filter(|id| self.zoomed || there(id)).or(first);
        self.order = order;
        self.unsorted = false;
    }
}

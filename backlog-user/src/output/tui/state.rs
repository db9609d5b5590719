//! The state of the screen, and how keys change it. Pure: it has no terminal, model or clock. A
//! replay differs from a run in the keys that are available.

mod keys;

use std::collections::{BTreeMap, VecDeque};

use backlog_core::event::ListenerId;

use super::detail::Detail;
use super::row::{By, Row};
use crate::output::playing::Playing;
pub(crate) use keys::Action;

/// See the module documentation.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub(crate) struct State {
    /// The kernel, and the backend.
    pub(crate) system: (String, &'static str),
    /// The start of the run, and the length of its intervals.
    pub(crate) start_ns: u64,
    pub(crate) interval_ns: u64,
    /// The current data, which is shown unless the display is paused.
    live: Data,
    frozen: Option<Frozen>,
    /// Log messages, the newest last.
    pub(crate) notices: VecDeque<String>,
    /// The total number of messages.
    pub(crate) noticed: u64,
    /// The details of the selected listener.
    pub(crate) detail: Detail,
    pub(crate) by: By,
    pub(crate) reversed: bool,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) typing: bool,
    /// The rows that match the filter, in their order.
    order: Vec<usize>,
    /// Listeners have opened or closed since the rows were sorted; this may be many at once.
    unsorted: bool,
    /// The listener that the user has selected; None: the first in the list.
    chosen: Option<ListenerId>,
    selected: Option<ListenerId>,
    /// The pane with the focus.
    pub(crate) pane: Pane,
    /// The pane below the plot, if there is space for only one.
    pub(crate) tab: Pane,
    /// The focused pane fills the screen.
    pub(crate) zoomed: bool,
    pub(crate) help: bool,
    /// The number of lines that drops and messages are scrolled back.
    pub(crate) scroll: usize,
    window: Option<usize>,
    /// The plot is scaled to the peak instead of the limit.
    pub(crate) by_peak: bool,
    /// The run is ending.
    pub(crate) ending: bool,
    /// The playback of a recording; None for a live run.
    pub(crate) playing: Option<Playing>,
}

/// The data that updates change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    /// The time of the last change, as monotonic time and as text.
    pub(crate) now_ns: u64,
    pub(crate) time: String,
    /// Open listeners.
    pub(crate) rows: Vec<Row>,
    /// The latest drops, the newest last.
    pub(crate) drops: VecDeque<Refused>,
}

/// The data at the time of a pause, to look around in.
#[derive(Debug)]
struct Frozen {
    data: Data,
    details: BTreeMap<ListenerId, Detail>,
}

/// A refused packet, formatted for display.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) listener: ListenerId,
    pub(crate) time_ns: u64,
    pub(crate) time: String,
    pub(crate) address: String,
    pub(crate) client: String,
    pub(crate) cause: &'static str,
    /// The depth and the limit.
    pub(crate) fill: String,
    /// For a retry: how long after the first attempt.
    pub(crate) retry: Option<String>,
}

/// A pane of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    #[default]
    Listeners,
    Histograms,
    Drops,
    Notices,
}

/// The maximum numbers of drops and messages to keep.
const MOST_DROPS: usize = 1000;
const MOST_NOTICES: usize = 200;
/// The lengths of time that a plot can show, in seconds. After the last one comes the whole run.
const WINDOWS: [u64; 5] = [10, 60, 300, 900, 3600];
/// The default length has at least this many intervals.
const INTERVALS: u64 = 60;

impl State {
    /// Creates the state of a run with intervals of this length.
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

    /// The listed rows, and the index of the selected one.
    pub(crate) fn listed(&self) -> (Vec<&Row>, usize) {
        let rows: Vec<&Row> =
            self.order.iter().filter_map(|index| self.data().rows.get(*index)).collect();
        let at = rows.iter().position(|row| Some(row.id) == self.selected);
        (rows, at.unwrap_or(0))
    }

    /// The time range of the plots, and its name.
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

    /// Discards all updates, since they are repeated from the beginning. Settings made with keys
    /// are kept.
    pub(crate) fn again(&mut self) {
        self.live = Data::default();
        self.frozen = None;
        self.notices.clear();
        self.noticed = 0;
        self.detail = Detail::default();
        self.unsorted = true;
    }

    /// Adds a listener.
    pub(crate) fn found(&mut self, row: Row) {
        self.live.rows.push(row);
        self.unsorted = true;
    }

    /// Removes a listener that has closed.
    pub(crate) fn closed(&mut self, id: ListenerId) {
        if let Some(at) = self.live.rows.iter().position(|row| row.id == id) {
            self.live.rows.swap_remove(at);
        }
        self.unsorted = true;
    }

    /// Updates the rows at the end of an interval.
    pub(crate) fn interval(&mut self, now_ns: u64, time: String, rows: Vec<Row>) {
        self.live.rows = rows;
        self.at(now_ns, time);
        self.arrange();
    }

    /// Adds a refused packet.
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

    /// Advances the time.
    pub(crate) fn at(&mut self, now_ns: u64, time: String) {
        self.live.now_ns = self.live.now_ns.max(now_ns);
        self.live.time = time;
    }

    /// Prepares a drawing: sorts the rows if necessary, and fetches the details of the selected
    /// listener.
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
            // The listener was evicted, but what was last shown is still true.
            None if self.detail.id == Some(id) => self.detail.closed = true,
            None => self.detail = Detail::default(),
        }
    }

    /// Freezes the display, with the details of every listener.
    pub(crate) fn pause(&mut self, details: impl Iterator<Item = Detail>) {
        let details = details.filter_map(|detail| Some((detail.id?, detail))).collect();
        self.frozen = Some(Frozen { data: self.live.clone(), details });
        self.arrange();
    }

    /// Filters and sorts the rows, and chooses the selected one.
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
        // A listener that fills the screen stays selected after it has closed.
        self.selected = self.chosen.filter(|id| self.zoomed || there(id)).or(first);
        self.order = order;
        self.unsorted = false;
    }
}

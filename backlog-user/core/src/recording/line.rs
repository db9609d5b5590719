//! The lines of a recording, one JSON object each: docs/RECORDING.md. Within a format they change
//! only by additions (new fields have a default); any other change increments [`FORMAT`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Mark};
use crate::event::Event;
use crate::model::reconcile::Blind;
use crate::model::snapshot::ModelSnapshot;
use crate::recording::options::ReplayOptions;
use crate::run::{End, Meta};

/// The version of the format.
pub const FORMAT: u32 = 1;

/// The first line of each file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The value of [`FORMAT`].
    pub format: u32,
    /// The position of the file in a recording of several, from 0.
    pub part: u32,
    /// The metadata of the start of the run.
    pub meta: Meta,
    /// The comparison of the clocks when this file starts.
    pub clock: Clock,
    /// The options that decide what the run shows.
    #[serde(flatten)]
    pub options: ReplayOptions,
}

impl Header {
    /// Whether both headers belong to the same run.
    #[must_use]
    pub fn is_of_run(&self, other: &Self) -> bool {
        let began = |header: &Self| (header.clock.first(), header.meta.time_ns);
        began(self) == began(other)
    }
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// The first line.
    Header(Box<Header>),
    /// An event for the model.
    Event(Cow<'a, Event>),
    /// Repetitions of the last event of each of these listeners or namespaces.
    Same(Same),
    /// Any other step.
    Step(Cow<'a, Step>),
}

/// Steps of a run other than events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An event.
    #[serde(skip)]
    Event(Event),
    /// The clocks were compared, and their difference has changed.
    Clock {
        /// The difference from here on.
        mark: Mark,
        /// When a step of the wall clock was reported, and its size; none: the clock drifted.
        set: Option<(u64, i128)>,
    },
    /// All steps before this one only restore the state from the previous files.
    Begin {
        /// The time when the file starts.
        time_ns: u64,
        /// State that no event carries.
        past: Box<ModelSnapshot>,
    },
    /// The end of an interval.
    Interval {
        /// The time of its end.
        time_ns: u64,
        /// Counts that may explain a difference from the kernel's counters.
        #[serde(default, skip_serializing_if = "nothing_hidden")]
        blind: Blind,
    },
    /// The end of the last interval, which was cut short.
    Rest {
        /// The time of its end.
        time_ns: u64,
    },
    /// A notice was printed.
    Notice {
        /// The time of the notice.
        time_ns: u64,
        /// Its text.
        text: String,
    },
    /// The end of the run.
    End(Box<End>),
}

fn nothing_hidden(blind: &Blind) -> bool {
    *blind == Blind::default()
}

impl Step {
    /// Its monotonic time; none: it has no time.
    #[must_use]
    pub fn time_ns(&self) -> Option<u64> {
        match self {
            Self::Event(event) => Some(event.time_ns),
            Self::Clock { set, .. } => set.map(|(time_ns, _)| time_ns),
            Self::Begin { time_ns, .. }
            | Self::Interval { time_ns, .. }
            | Self::Rest { time_ns }
            | Self::Notice { time_ns, .. } => Some(*time_ns),
            Self::End(end) => Some(end.time_ns),
        }
    }
}

/// Events that only repeat the last one of their kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Same {
    /// The time; for counts, that of the first one.
    pub time_ns: u64,
    /// The kind of event.
    pub of: Of,
    /// Ranges of listeners, or of network namespaces: first and last.
    pub ids: Vec<(u64, u64)>,
}

impl Same {
    /// Adds one; ids are added in the order of the events.
    pub fn add(&mut self, id: u64) {
        match self.ids.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => self.ids.push((id, id)),
        }
    }

    /// The number of events that it stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        let ranges = self.ids.iter().filter(|(from, to)| from <= to);
        let counts = ranges.map(|(from, to)| (to - from).saturating_add(1));
        counts.fold(0, u64::saturating_add)
    }
}

/// Kinds of events that occur at each interval, whether or not anything has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// [`What::Count`](crate::event::What::Count)
    Count,
    /// [`What::DepthSample`](crate::event::What::DepthSample)
    #[serde(rename = "level")]
    DepthSample,
    /// [`What::SkDrops`](crate::event::What::SkDrops)
    SkDrops,
    /// [`What::Namespace`](crate::event::What::Namespace)
    Namespace,
    /// [`What::Counters`](crate::event::What::Counters)
    Counters,
}

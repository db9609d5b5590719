//! The page of `serve`: a sink that collects what a browser shows of a run. At the end of each
//! interval it sends a [`Moment`] to the HTTP thread, and never waits for that thread.

pub(crate) mod document;
mod frame;
mod latest;
pub(crate) mod past;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backlog_core::model::high_use::HighUse;
use backlog_core::model::interval::Interval;
use bytes::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::sink::{Now, Sink, Update};
use frame::Frames;
use latest::Latest;
use past::Point;

/// The maximum number of moments that wait for the HTTP thread, which takes them at once unless the
/// host is starved.
const WAITING: usize = 64;

/// The data of one interval for the browsers.
#[derive(Debug)]
pub(crate) struct Moment {
    /// The end of the interval in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// A point for each listener with activity.
    pub(crate) points: Vec<Point>,
    /// The number of intervals before this one that the HTTP thread has missed.
    pub(crate) missed: u64,
    /// Everything that the page shows, as JSON; None if no browser has it open.
    pub(crate) frame: Option<Bytes>,
}

/// The number of browsers with an open page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Viewers(Arc<AtomicUsize>);

/// A browser that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Viewer(Viewers);

impl Viewers {
    /// Adds a browser, if there are fewer than `most`.
    pub(crate) fn join(&self, most: usize) -> Option<Viewer> {
        let more = |count: usize| (count < most).then_some(count + 1);
        let joined = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        joined.is_ok().then(|| Viewer(self.clone()))
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module documentation.
pub(crate) struct Web {
    viewers: Viewers,
    latest: Latest,
    frames: Frames,
    interval_ms: u64,
    missed: u64,
    to: Sender<Moment>,
}

impl Web {
    /// Creates the sink, and the channel on which it sends.
    pub(crate) fn new(viewers: Viewers, interval: Duration) -> (Self, Receiver<Moment>) {
        let (to, moments) = mpsc::channel(WAITING);
        let (latest, frames) = (Latest::default(), Frames::default());
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        (Self { viewers, latest, frames, interval_ms, missed: 0, to }, moments)
    }

    fn interval(&mut self, now: Now<'_>, time_ns: u64, rows: &[Interval]) {
        self.latest.interval_ended(now);
        let wall_ms = now.clock.wall(time_ns).as_millisecond();
        let frame = (!self.viewers.is_empty())
            .then(|| self.frames.render(now, (time_ns, wall_ms), rows, &self.latest));
        let active = rows.iter().filter(|row| row.active());
        let points = active.map(Point::of).collect();
        let moment = Moment { time_ms: wall_ms, points, missed: self.missed, frame };
        match self.to.try_send(moment) {
            Ok(()) => self.missed = 0,
            Err(_) => self.missed += 1,
        }
    }
}

impl Sink for Web {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        match *update {
            Update::Start(meta) => {
                self.frames.begin(meta, self.interval_ms);
                self.latest.begin(meta);
            }
            Update::Interval { time_ns, rows } => self.interval(now, time_ns, rows),
            Update::Refused(refusal) => self.latest.refused(refusal),
            Update::Listener { page, .. } if !page.listener.opened_now => {}
            Update::Listener { time_ns, .. }
            | Update::Closed { time_ns, .. }
            | Update::Limit { time_ns, .. }
            | Update::ClockSet { time_ns, .. }
            | Update::HighUse { high: &HighUse { time_ns, .. }, .. }
            | Update::Reconciled { time_ns, .. } => self.latest.tell(now, time_ns, update)?,
            Update::Acceptor { .. }
            | Update::AcceptErrors { .. }
            | Update::Health { .. }
            | Update::Flush
            | Update::Notice(_)
            | Update::End { .. } => {}
        }
        Ok(())
    }
}

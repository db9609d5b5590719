//! The report of the last minutes: replays the recording in memory as a run of its own.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use backlog_core::recording::line::Step;
use backlog_core::recording::window::Window;
use jiff::tz::TimeZone;

use crate::clock::monotonic_ns;
use crate::commands::replay::player::Player;
use crate::commands::replay::source::Source;
use crate::output::record::ring::{REACH_NS, Ring};
use crate::output::report::{Destination, Report};

const MINUTE_NS: u64 = 60_000_000_000;

/// The longest report, in minutes.
pub(super) const MOST_MINUTES: u64 = REACH_NS / MINUTE_NS;

/// The page of the last minutes. It begins at a part of the recording, so up to a minute earlier.
pub(super) fn render(ring: &Ring, minutes: u64) -> Result<String> {
    since(ring, monotonic_ns().saturating_sub(minutes.saturating_mul(MINUTE_NS)))
}

fn since(ring: &Ring, from_ns: u64) -> Result<String> {
    let parts = ring.since(from_ns);
    // The last part may have just begun.
    let parts = parts.into_iter().map(|(_, bytes)| bytes).filter(|bytes| !bytes.is_empty());
    let (mut header, source) = Source::of_parts(parts)?;
    let mut window = Window::new((header.part == 0).then_some(header.meta.time_ns));
    let html = Arc::new(Mutex::new(String::new()));
    // Without /etc/localtime times are in UTC, as in every program.
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    let mut page = Report::new(zone, Destination::Memory(Arc::clone(&html)), false);
    let mut player = None;
    for step in source {
        for step in window.step(step?) {
            let begin_ns = window.begin_ns().context("the recording has no beginning")?;
            let player = match &mut player {
                Some(player) => player,
                none => {
                    header.meta.time_ns = begin_ns;
                    none.insert(Player::start(&header, None, &mut page)?)
                }
            };
            player.step(&mut page, to_the_end(step, begin_ns))?;
        }
    }
    let html = std::mem::take(&mut *html.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(html)
}

/// The recording is still going on, so the missing end is not an error.
fn to_the_end(step: Step, begin_ns: u64) -> Step {
    match step {
        Step::End(mut end) => {
            end.elapsed_ns = end.time_ns.saturating_sub(begin_ns);
            end.recording_incomplete = None;
            end.remarks.clear();
            Step::End(end)
        }
        step => step,
    }
}

#[cfg(test)]
mod tests {
    use super::{MINUTE_NS, since};
    use backlog_core::aggregate::registry::SockDiagListener;
    use backlog_core::clock::Clock;
    use backlog_core::event::{Count, Event, ListenerId, What};
    use backlog_core::model::Model;
    use backlog_core::model::reconcile::Blind;
    use backlog_core::recording::options::ReplayOptions;
    use backlog_core::run::{Backend, Meta};
    use backlog_core::settings::Settings;
    use backlog_ebpf::cause::Cause;
    use backlog_ebpf::totals::Totals;

    use crate::output::record::Recorder;
    use crate::output::record::ring::Ring;

    const SECOND_NS: u64 = 1_000_000_000;

    fn meta() -> Meta {
        Meta {
            time_ns: 0,
            version: "0.1.0".into(),
            host: None,
            kernel: "6.1.0-made-up".into(),
            backend: Backend::Fentry,
            hooks: Vec::new(),
            options: Vec::new(),
            settings: Settings::default(),
            traced: None,
            reasons: Vec::new(),
            gaps: Vec::new(),
            bpf_stats: false,
        }
    }

    /// A run of five minutes in memory, with a refused packet each second.
    fn recorded() -> Ring {
        let ring = Ring::default();
        let (clock, mut model) = (Clock::fixed(0), Model::new(0));
        let mut recorder = Recorder::in_memory(&ring, 0).unwrap();
        recorder.start(&clock, &meta(), ReplayOptions::default());
        let listener = ListenerId(1);
        let found = SockDiagListener::made_up("0.0.0.0:80".parse().unwrap()).listener(listener);
        let event = |model: &mut Model, recorder: &mut Recorder, time_ns, what| {
            let event = Event { time_ns, what };
            recorder.event(&event);
            model.apply(&event);
        };
        event(&mut model, &mut recorder, 0, What::Listener(found));
        for second in 1..=300 {
            let time_ns = second * SECOND_NS;
            let mut totals = Totals { enqueued: 10 * second, ..Totals::default() };
            totals.drops[Cause::AcceptQueueFullSyn as usize] = second;
            let count = Box::new(Count { totals, ..Count::default() });
            event(&mut model, &mut recorder, time_ns, What::Count { listener, count });
            model.tick(time_ns);
            recorder.interval(time_ns, &Blind::default());
            recorder.batch(&clock, &model, time_ns);
        }
        ring
    }

    #[test]
    fn it_counts_what_happened_since_the_part_in_which_its_minutes_begin() {
        let ring = recorded();
        for (from_ns, drops) in
            [(0, 300), (MINUTE_NS - 1, 300), (MINUTE_NS, 240), (250 * SECOND_NS, 60)]
        {
            let page = since(&ring, from_ns).unwrap();
            let lead = format!("{drops} packets of ");
            assert!(page.contains(&lead), "{from_ns}: {lead}");
            assert!(!page.contains("incomplete"), "{from_ns}");
        }
    }
}

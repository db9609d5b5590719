//! Axes: their range and their ticks. Times are round in wall-clock time.

use std::ops::Range;
use std::time::Duration;

use backlog_core::text::format::duration;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::super::context::Run;

/// A tick with its label.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Tick {
    pub(in super::super) at: f64,
    pub(in super::super) label: String,
}

/// An axis that begins at zero.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Axis {
    pub(in super::super) end: f64,
    pub(in super::super) ticks: Vec<Tick>,
}

/// Possible distances in seconds between ticks of a time axis.
const STEPS: [f64; 25] = [
    0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0,
    1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
];

const DAY: f64 = 86_400.0;

impl Axis {
    /// The label of a tick.
    fn label(&self, at: f64) -> String {
        let near = self.ticks.iter().find(|tick| (tick.at - at).abs() < self.end * 1e-6);
        near.map_or(String::new(), |tick| tick.label.clone())
    }

    /// An axis of whole numbers up to slightly more than `most`.
    pub(super) fn whole(most: u64, ticks: u64) -> Self {
        let most = most.max(1);
        let step = round_step(most, ticks);
        let all = (0..=most / step).map(|index| index * step);
        let ticks = all.map(|value| Tick { at: value as f64, label: value.to_string() }).collect();
        Self { end: most as f64 * 1.2, ticks }
    }

    /// An axis of powers of two in microseconds, starting at the lowest: `first` and `last` are
    /// exponents.
    pub(super) fn of_waits(first: u32, last: u32, ticks: u32) -> Self {
        let step = (last - first).div_ceil(ticks.max(1)).max(1);
        let all = (first..=last).step_by(step as usize);
        let tick = |power: u32| Tick {
            at: f64::from(power - first),
            label: duration(1_u64.checked_shl(power).unwrap_or(u64::MAX)),
        };
        Self { end: f64::from((last - first).max(1)), ticks: all.map(tick).collect() }
    }

    /// The time axis of the run.
    pub(super) fn of_time(run: &Run<'_>, ticks: f64) -> Self {
        let end = run.length();
        let fits = |step: &f64| end / step <= ticks;
        let step = STEPS.into_iter().find(fits).unwrap_or_else(|| (end / ticks / DAY).ceil() * DAY);
        let began = run.clock.wall(run.meta.time_ns);
        let offset = f64::from(run.zone.to_offset(began).seconds());
        // A float represents seconds since 1970 exactly enough, except for nanoseconds.
        let local = began.as_second() as f64 + offset;
        let since = local.rem_euclid(DAY) + f64::from(began.subsec_nanosecond()) / 1e9;
        let first = (since / step).ceil() * step - since;
        let places = (0..u32::MAX).map(|index| first + f64::from(index) * step);
        let tick = |at: f64| Tick { at, label: time_label(run, at, step) };
        Self { end, ticks: places.take_while(|at| *at <= end).map(tick).collect() }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value / self.end).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "pixels, between two i32")]
        let pixels = (f64::from(to - from) * share).round() as i32;
        from + pixels
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| tick.at).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.end
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        self.label(*at)
    }
}

/// A time as precise as the step, with the date if the run spans several days.
fn time_label(run: &Run<'_>, at: f64, step: f64) -> String {
    // Rounds up times that are slightly below a full second.
    let since = Duration::from_secs_f64(at.max(0.0)) + Duration::from_nanos(500);
    let time_ns =
        run.meta.time_ns.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    let time = run.time(time_ns, if step < 0.1 { 3 } else { usize::from(step < 1.0) });
    let short = if step < 60.0 { time.as_str() } else { time.get(..5).unwrap_or(&time) };
    if run.length() < DAY {
        return short.to_owned();
    }
    let day = run.zone.to_datetime(run.clock.wall(time_ns)).date();
    let day = format!("{:02}-{:02}", day.month(), day.day());
    if step < DAY { format!("{day} {short}") } else { day }
}

/// The step, 1, 2 or 5 times a power of ten, that gives at most `ticks` ticks.
fn round_step(most: u64, ticks: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if most / step <= ticks {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, round_step};

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [3, 17, 128, 4096, 70_000].map(|most| round_step(most, 4)),
            [1, 5, 50, 1000, 20_000]
        );
        assert_eq!(round_step(u64::MAX, 4), 5_000_000_000_000_000_000);
    }

    #[test]
    fn whole_numbers_begin_at_zero() {
        let labels: Vec<_> = Axis::whole(17, 4).ticks.into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["0", "5", "10", "15"]);
        assert_eq!(Axis::whole(0, 4).ticks.len(), 2);
    }

    #[test]
    fn waits_are_powers_of_two() {
        let axis = Axis::of_waits(10, 18, 4);
        let labels: Vec<_> = axis.ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["1.0ms", "4.1ms", "16ms", "66ms", "262ms"]);
        assert_eq!(axis.label(2.0), "4.1ms");
        assert_eq!(axis.label(1.0), "");
    }
}

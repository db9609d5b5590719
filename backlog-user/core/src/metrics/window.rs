//! The highest values of a recent time window. The window does not depend on scrapes, because
//! several servers may scrape.

use std::collections::VecDeque;

/// The window moves in steps of this part of its length, so it is longer by up to this part.
const STEPS: u64 = 12;

/// The highest depth and the highest use of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Highest {
    pub(super) depth: u64,
    pub(super) use_ratio: f64,
}

impl Highest {
    pub(super) fn with(self, other: Self) -> Self {
        let depth = self.depth.max(other.depth);
        Self { depth, use_ratio: self.use_ratio.max(other.use_ratio) }
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<(u64, Highest)>);

impl Window {
    /// Adds the highest values up to this time, and evicts those that are older than the window.
    pub(super) fn push(&mut self, time_ns: u64, window_ns: u64, highest: Highest) {
        let step_ns = (window_ns / STEPS).max(1);
        let step = time_ns / step_ns;
        while self.0.front().is_some_and(|(first, _)| first + STEPS < step) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((last, known)) if *last >= step => *known = known.with(highest),
            _ => self.0.push_back((step, highest)),
        }
    }

    /// The highest values in the window.
    pub(super) fn highest(&self) -> Highest {
        self.0.iter().fold(Highest::default(), |all, (_, highest)| all.with(*highest))
    }
}

#[cfg(test)]
mod tests {
    use super::{Highest, Window};

    #[test]
    fn a_peak_stays_for_the_window_and_no_longer_than_a_step_more() {
        let mut window = Window::default();
        let at = |window: &mut Window, second: u64, depth| {
            let second_ns = second * 1_000_000_000;
            window.push(second_ns, 60_000_000_000, Highest { depth, use_ratio: 0.0 });
            window.highest().depth
        };
        assert_eq!(at(&mut window, 100, 9), 9);
        assert_eq!(at(&mut window, 101, 3), 9);
        assert_eq!(at(&mut window, 160, 1), 9);
        assert_eq!(at(&mut window, 166, 1), 1);
        for second in 167..10_000 {
            at(&mut window, second, 1);
        }
        assert!(window.0.len() <= 14, "{}", window.0.len());
    }
}

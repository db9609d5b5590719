//! All outputs of a run, as one sink.

use std::io;

use super::sink::{Now, Sink, Update};
use super::tui::Tui;

/// See the module documentation.
pub(crate) struct Outputs {
    main: Main,
    beside: Vec<Box<dyn Sink>>,
}

/// The main output.
enum Main {
    Lines(Box<dyn Sink>),
    Screen(Box<Tui>),
}

impl Outputs {
    /// Lines on stdout.
    pub(crate) fn lines(sink: Box<dyn Sink>) -> Self {
        Self { main: Main::Lines(sink), beside: Vec::new() }
    }

    /// The full screen.
    pub(crate) fn screen(tui: Tui) -> Self {
        Self { main: Main::Screen(Box::new(tui)), beside: Vec::new() }
    }

    /// Adds another output.
    pub(crate) fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.beside.push(Box::new(sink));
        self
    }

    /// The full screen, if that is the main output.
    pub(crate) fn tui(&mut self) -> Option<&mut Tui> {
        match &mut self.main {
            Main::Screen(tui) => Some(tui),
            Main::Lines(_) => None,
        }
    }

    fn main(&self) -> &dyn Sink {
        match &self.main {
            Main::Lines(sink) => sink.as_ref(),
            Main::Screen(tui) => tui.as_ref(),
        }
    }

    fn main_mut(&mut self) -> &mut dyn Sink {
        match &mut self.main {
            Main::Lines(sink) => sink.as_mut(),
            Main::Screen(tui) => tui.as_mut(),
        }
    }
}

impl Sink for Outputs {
    fn draws(&self) -> bool {
        self.main().draws() || self.beside.iter().any(|sink| sink.draws())
    }

    fn monitors(&self) -> bool {
        self.main().monitors()
    }

    /// Updates every output, also after one has failed, since each has most to print at the end. A
    /// report that was not written is a worse error than a closed pipe.
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let main = self.main_mut().update(now, update);
        if !matches!(update, Update::End { .. }) {
            main?;
            return self.beside.iter_mut().try_for_each(|sink| sink.update(now, update));
        }
        let update_one = |sink: &mut Box<dyn Sink>| sink.update(now, update);
        let beside: Vec<io::Result<()>> = self.beside.iter_mut().map(update_one).collect();
        beside.into_iter().collect::<io::Result<()>>().and(main)
    }
}

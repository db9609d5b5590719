//! All outputs of a run.

use std::io;

use super::sink::{Now, Sink, Update};
use super::tui::Tui;

/// See the module's head.
pub(crate) struct Outputs {
    main: Main,
    beside: Vec<Box<dyn Sink>>,
}

/// The one that people look at.
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

    /// Another one beside it.
    pub(crate) fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.beside.push(Box::new(sink));
        self
    }

    /// The full screen, if that is what people look at.
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

    /// What one of them cannot do keeps nothing from the others at the end, where each has most
    /// to say. That a report was not written is worse than a closed pipe.
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

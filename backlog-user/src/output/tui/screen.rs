//! The terminal: taken as a whole screen and given back as it was, whatever ends the run: its
//! end, an error, a signal, a panic. Only this file changes the terminal's settings.

use std::io::{self, BufWriter, IsTerminal as _, Stdout};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};

use super::stderr::Captured;

/// Says what is wrong with where we are to draw, and what would do instead.
pub(crate) fn check(term: Option<&str>) -> Result<()> {
    if !io::stdout().is_terminal() {
        bail!("--tui: stdout is not a terminal: without --tui the table goes anywhere");
    }
    refuse(term)
}

fn refuse(term: Option<&str>) -> Result<()> {
    match term {
        None | Some("") => bail!("--tui: TERM is not set: set it, or use the table without --tui"),
        Some("dumb") => {
            bail!("--tui: TERM=dumb cannot move the cursor: use the table without --tui")
        }
        Some(_) => Ok(()),
    }
}

/// The screen while it is ours.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    ours: Arc<Ours>,
}

/// Whether the terminal is ours; in the panic hook's hands as well.
struct Ours {
    is: AtomicBool,
    stderr: Captured,
}

impl Screen {
    /// Takes the terminal, and what would be written over it.
    pub(crate) fn take(stderr: Captured) -> io::Result<Self> {
        let ours = Arc::new(Ours { is: AtomicBool::new(false), stderr });
        let in_panic = Arc::clone(&ours);
        let before = panic::take_hook();
        // The message of a panic must stay readable.
        panic::set_hook(Box::new(move |info| {
            in_panic.give_back();
            before(info);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())))?;
        let mut screen = Self { terminal, ours };
        screen.enter()?;
        Ok(screen)
    }

    /// Takes the terminal again, after it was given back or others have changed it.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.leave();
        self.ours.is.store(true, Ordering::SeqCst);
        self.ours.stderr.begin()?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        self.repaint()
    }

    /// Gives it back.
    pub(crate) fn leave(&self) {
        self.ours.give_back();
    }

    /// The next drawing shows all cells anew.
    pub(crate) fn repaint(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Draws what has changed. Nothing while the terminal is not ours.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if self.ours.is.load(Ordering::SeqCst) {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }

    /// Lines that were written to stderr since the last time.
    pub(crate) fn words(&self) -> Vec<String> {
        self.ours.stderr.fresh()
    }
}

impl Ours {
    /// All of it is tried, and a second time does nothing.
    fn give_back(&self) {
        if self.is.swap(false, Ordering::SeqCst) {
            // If the terminal is closed, an error does not matter.
            let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
            let _ = disable_raw_mode();
            self.stderr.end();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
        self.ours.stderr.repeat();
    }
}

#[cfg(test)]
mod tests;

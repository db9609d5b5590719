//! The terminal: taken as a whole screen and given back as it was, whatever ends the run: its
//! end, an error, a signal, a panic. Only this file changes the terminal's settings.

use std::io::{self, IsTerminal as _};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use crossterm::Command as _;
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::stderr::Captured;
use crate::outlet::Outlet;

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

/// A screen is shown.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back if it is ours, when the process is about to end and nothing may block.
pub(crate) fn give_back_now() {
    if !SHOWN.swap(false, Ordering::SeqCst) {
        return;
    }
    let stdout = io::stdout();
    let mut ready = [PollFd::new(&stdout, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1) {
        let mut text = String::new();
        // A terminal that takes anything takes these few bytes.
        if Show.write_ansi(&mut text).and(LeaveAlternateScreen.write_ansi(&mut text)).is_ok() {
            let _ = rustix::io::write(&stdout, text.as_bytes());
        }
    }
    let _ = disable_raw_mode();
}

/// The screen while it is ours.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Outlet>>,
    ours: Arc<Ours>,
}

/// Whether the terminal is ours; in the panic hook's hands as well.
struct Ours {
    is: AtomicBool,
    stderr: Captured,
    out: Outlet,
}

/// A terminal that takes nothing for this long is given back without its first screen: else what
/// follows on stderr would come before that.
const PATIENCE: Duration = Duration::from_millis(500);

impl Screen {
    /// Takes the terminal, and what would be written over it.
    pub(crate) fn take(stderr: Captured, out: Outlet) -> io::Result<Self> {
        let backend = CrosstermBackend::new(out.clone());
        let ours = Arc::new(Ours { is: AtomicBool::new(false), stderr, out });
        let in_panic = Arc::clone(&ours);
        let before = panic::take_hook();
        // The message of a panic must stay readable.
        panic::set_hook(Box::new(move |info| {
            in_panic.give_back();
            before(info);
        }));
        let terminal = Terminal::new(backend)?;
        let mut screen = Self { terminal, ours };
        screen.enter()?;
        Ok(screen)
    }

    /// Takes the terminal again, after it was given back or others have changed it.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.leave();
        self.ours.is.store(true, Ordering::SeqCst);
        SHOWN.store(true, Ordering::SeqCst);
        self.ours.stderr.begin()?;
        enable_raw_mode()?;
        execute!(self.ours.out.clone(), EnterAlternateScreen, Hide)?;
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

    /// Draws what has changed. Nothing while the terminal is not ours. False: the terminal has not
    /// taken the last drawing yet. One that is stopped or slow gets what is true when it goes on.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<bool> {
        if self.ours.is.load(Ordering::SeqCst) {
            if self.ours.out.is_behind() {
                return Ok(false);
            }
            self.terminal.draw(draw)?;
        }
        Ok(true)
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
            let mut out = self.out.clone();
            let _ = execute!(out, Show, LeaveAlternateScreen);
            let _ = out.settle(PATIENCE);
            let _ = disable_raw_mode();
            SHOWN.store(false, Ordering::SeqCst);
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

//! Takes the terminal for the full screen and restores it, however the run ends: normally, by an
//! error, a signal or a panic. Only this file changes the terminal's settings.

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

/// Checks that the output can show a full screen; otherwise says what to use instead.
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

/// Is a screen shown?
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Restores the terminal if the screen is shown, without blocking, when the process is about to
/// end.
pub(crate) fn give_back_now() {
    if !SHOWN.swap(false, Ordering::SeqCst) {
        return;
    }
    let stdout = io::stdout();
    let mut ready = [PollFd::new(&stdout, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1) {
        let mut text = String::new();
        // Any terminal that accepts output takes these few bytes.
        if Show.write_ansi(&mut text).and(LeaveAlternateScreen.write_ansi(&mut text)).is_ok() {
            let _ = rustix::io::write(&stdout, text.as_bytes());
        }
    }
    let _ = disable_raw_mode();
}

/// The screen while we own the terminal.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Outlet>>,
    ours: Arc<Ours>,
}

/// Whether we own the terminal. The panic hook has a copy.
struct Ours {
    is: AtomicBool,
    stderr: Captured,
    out: Outlet,
}

/// If the terminal takes nothing for this long, it is restored without the first picture, which
/// must not follow later output on stderr.
const PATIENCE: Duration = Duration::from_millis(500);

impl Screen {
    /// Takes the terminal, and stderr, which would be written over it.
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

    /// Takes the terminal again, after it was restored or others have changed it.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.leave();
        self.ours.is.store(true, Ordering::SeqCst);
        SHOWN.store(true, Ordering::SeqCst);
        self.ours.stderr.begin()?;
        enable_raw_mode()?;
        execute!(self.ours.out.clone(), EnterAlternateScreen, Hide)?;
        self.repaint()
    }

    /// Restores the terminal.
    pub(crate) fn leave(&self) {
        self.ours.give_back();
    }

    /// Makes the next drawing write all cells.
    pub(crate) fn repaint(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Draws the changes, if we own the terminal. Returns false if the terminal has not taken the
    /// last drawing yet: a stopped or slow terminal gets the current state when it continues.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<bool> {
        if self.ours.is.load(Ordering::SeqCst) {
            if self.ours.out.is_behind() {
                return Ok(false);
            }
            self.terminal.draw(draw)?;
        }
        Ok(true)
    }

    /// The lines written to stderr since the last call.
    pub(crate) fn words(&self) -> Vec<String> {
        self.ours.stderr.fresh()
    }
}

impl Ours {
    /// Tries every step, even if one fails. A second call does nothing.
    fn give_back(&self) {
        if self.is.swap(false, Ordering::SeqCst) {
            // If the terminal is closed, errors do not matter.
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

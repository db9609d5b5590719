//! The terminal is given back as it was: by a program that panics on a terminal of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

use super::{Captured, Outlet, Screen, refuse};
use crate::outlet::{OnStall, Target};

/// Says to this program that it is the one on the terminal.
const PANICS: &str = "BACKLOG_TEST_PANICS";

/// A terminal: our end, and the program's.
fn pty() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: places for two descriptors that outlive the call; no name, no settings.
    let done =
        unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(done, 0, "no terminal: {}", io::Error::last_os_error());
    // SAFETY: two descriptors that nobody else knows of yet.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// Its settings, as one can compare them.
fn settings(terminal: &OwnedFd) -> (u32, u32, u32) {
    // SAFETY: integers and arrays: all zero is a valid value.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and a place that outlives the call.
    let done = unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings) };
    assert_eq!(done, 0);
    (settings.c_iflag, settings.c_oflag, settings.c_lflag)
}

/// What the test below runs on a terminal; by itself it does nothing.
#[test]
fn on_a_terminal() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let out = Outlet::open(Target::Stdout, OnStall::Lose).unwrap();
    let _screen = Screen::take(Captured::prepare(|| {}).unwrap(), out).unwrap();
    eprintln!("a notice");
    panic!("this is no fault");
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read() {
    let (ours, theirs) = pty();
    let before = settings(&theirs);
    let end = || Stdio::from(theirs.try_clone().unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "output::tui::screen::tests::on_a_terminal", "--nocapture"]);
    command.env(PANICS, "1").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    drop(command);
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert_eq!(settings(&theirs), before, "the terminal's settings");
    drop(theirs);
    let mut bytes = Vec::new();
    // It ends with an error when nobody has the other end any more.
    let _ = File::from(ours).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}"));
    let (taken, given) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
    assert!(taken < given && given < at("this is no fault"), "{text:?}");
    assert!(at("a notice") > given, "{text:?}");
    assert!(at("\u{1b}[?25h") > taken, "the cursor is not seen: {text:?}");
}

#[test]
fn a_terminal_that_cannot_do_it_is_refused_with_a_cure() {
    for term in [None, Some(""), Some("dumb")] {
        let error = refuse(term).unwrap_err().to_string();
        assert!(error.contains("without --tui"), "{error}");
    }
    assert!(refuse(Some("xterm")).is_ok());
}

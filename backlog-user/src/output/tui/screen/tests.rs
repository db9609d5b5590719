//! Tests that the terminal is restored, with a program that panics on a terminal of its own.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use backlog_tests::terminal;

use super::{Captured, Outlet, Screen, refuse};
use crate::outlet::{OnStall, Target};

/// Makes this test binary the program on the terminal.
const PANICS: &str = "BACKLOG_TEST_PANICS";

/// The program that runs on the terminal; without the variable it does nothing.
#[test]
fn on_a_terminal() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    let out = Outlet::open(Target::Stdout, OnStall::Lose).unwrap();
    let _screen = Screen::take(Captured::prepare(|| {}).unwrap(), out).unwrap();
    eprintln!("a notice");
    panic!("this panic is intended");
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read() {
    let (ours, theirs) = terminal::open();
    let before = terminal::settings(&theirs);
    let end = || Stdio::from(theirs.try_clone().unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "output::tui::screen::tests::on_a_terminal", "--nocapture"]);
    command.env(PANICS, "1").stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    drop(command);
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert_eq!(terminal::settings(&theirs), before, "the terminal's settings");
    drop(theirs);
    let mut bytes = Vec::new();
    // Reading fails once the other end is closed.
    let _ = File::from(ours).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}"));
    let (taken, given) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
    assert!(taken < given && given < at("this panic is intended"), "{text:?}");
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

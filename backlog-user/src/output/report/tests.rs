//! Tests the page of a synthetic run: its content, that external strings cannot break it, that its
//! colours have enough contrast, and (in `browser`) that a real browser shows it.

mod browser;
mod colours;
mod made_up;

use std::io::{self, ErrorKind, Write};

use jiff::tz::TimeZone;

use super::order::DRAWN;
use super::{Destination, Report};
use crate::output::outputs::Outputs;
use crate::output::table::{Table, TextStyle};
use crate::output::whole_file::WholeFile;
use made_up::{HOSTILE, host, page};

/// The text between two strings.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

/// A part of the page, one tag per line.
fn part(html: &str, id: &str) -> String {
    let body = between(html, &format!("<section aria-labelledby=\"{id}\">"), "</section>");
    body.replace("><", ">\n<")
}

#[test]
fn the_verdict_comes_first_and_has_its_reasons() {
    let html = page(&host(1));
    insta::assert_snapshot!(part(&html, "verdict"));
    let places =
        ["verdict", "listeners", "each", "groups", "judged", "settings", "measured", "command"]
            .map(|id| {
                html.find(&format!("aria-labelledby=\"{id}\"")).unwrap_or_else(|| panic!("{id}"))
            });
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn all_listeners_are_in_the_table() {
    insta::assert_snapshot!(part(&page(&host(1)), "listeners"));
}

#[test]
fn what_was_seen_is_compared_and_what_is_not_known_is_said() {
    let html = page(&host(1));
    insta::assert_snapshot!(part(&html, "judged"));
    insta::assert_snapshot!("measured", part(&html, "measured"));
    insta::assert_snapshot!("command", part(&html, "command"));
}

#[test]
fn each_listener_has_its_plots() {
    let html = page(&host(1));
    let listener = between(&html, "<article class=\"listener\" id=\"l1\"", "</article>");
    for id in ["depth1", "heat1", "wait1", "use1", "met1"] {
        assert!(listener.contains(&format!("aria-labelledby=\"{id}-t {id}-d\"")), "{id}");
    }
    for mark in
        ["polyline class=\"limit\"", "class=\"peak\"", "path class=\"drop\"", "rect class=\"drop\""]
    {
        assert!(listener.contains(mark), "{mark}");
    }
    assert!(listener.contains("last accept 412ms before, by thread 815; 4 of 4 threads waiting"));
    assert!(listener.contains("accept_queue_full_syn from 192.0.2.1:40020 at 17/16"));
    for round in [">22:13:20<", ">22:13:30<", ">22:14:20<"] {
        assert!(listener.contains(round), "{round}");
    }
    assert!(!listener.contains("could not be drawn"));
}

#[test]
fn no_string_from_outside_is_markup() {
    let html = page(&host(1));
    for (name, text) in HOSTILE {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let escaped =
            escaped.replace('"', "&quot;").replace(['\u{1b}', '\n', '\u{202e}', '\0'], "?");
        assert!(html.contains(&escaped), "{name} is not there: {escaped}");
    }
    // Exactly one of each is ours; nothing else may run or load anything.
    for ours in ["<script>", "</script>", "<style>", "</style>", "<title>Accept"] {
        assert_eq!(html.matches(ours).count(), 1, "{ours}");
    }
    for not_ours in ["<img", "<iframe", "<svg/", "<link", "<b>b", "url("] {
        assert!(!html.contains(not_ours), "{not_ours}");
    }
    assert!(html.chars().all(|char| char == '\n' || !char.is_control()));
}

#[test]
fn of_hundreds_of_listeners_the_first_are_drawn_and_all_listed() {
    let html = page(&host(300));
    assert_eq!(html.matches("<article class=\"listener\"").count(), DRAWN);
    assert_eq!(html.matches("scope=\"row\">0.0.0.0:").count(), 300);
    assert!(html.contains("180 more active listeners are not drawn."));
    // Listeners that refused clients come first.
    let first = between(&html, "<article class=\"listener\" id=\"", "\"");
    assert_eq!(first, "l1");
    assert!(html.len() < 4 << 20, "{} bytes", html.len());
}

#[test]
fn a_run_without_listeners_is_a_page_too() {
    let html = page(&host(0));
    assert!(html.contains("No listener was seen.") && !html.contains("<svg"));
}

/// A closed pipe.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_table_that_cannot_be_written_takes_no_report_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let file = WholeFile::check(&path).unwrap();
    let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: true, cost: false };
    let report = Report::new(TimeZone::UTC, Destination::File(file), false);
    let mut outputs = Outputs::lines(Box::new(Table::new(Closed, look))).with(report);
    let error = made_up::run(&host(0), &mut outputs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(path.is_file());
}

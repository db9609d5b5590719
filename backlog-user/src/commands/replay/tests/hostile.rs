//! Replays a recording whose strings try to control the user's terminal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use backlog_core::recording::line::Step;
use backlog_core::text::outside::{harmless, is_active};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::made_up::{SECOND, steps};
use super::pages::page;
use super::{folder, record, replay};
use crate::commands::replay::seekable::{Playback, SeekableRecording};
use crate::output::playing::Playing;
use crate::output::table::TextStyle;
use crate::output::tui::Tui;

/// One of each kind: a terminal title, a colour, a C1 control, line breaks, bidirectional controls,
/// line separators, zero-width characters, markup and a formula.
const EVIL: &str = "E\u{1b}]0;PWN\u{7}\u{1b}[31m\r\n\"><script>&=1+1\u{202e}\u{2066}\u{200f}\u{61c}\
                    \u{9b}2J\u{85}\u{2028}\u{2029}\u{200b}\u{200d}\u{feff}\u{7f}";

/// Names that the format defines, and addresses. All other strings come from outside.
const OURS: [&str; 8] =
    ["backend", "cause", "state", "local", "client", "leaving", "of", "program"];

fn poison(value: &mut Value, key: &str) {
    match value {
        Value::String(text) if !OURS.contains(&key) => text.insert_str(0, EVIL),
        Value::Array(all) => all.iter_mut().for_each(|one| poison(one, key)),
        Value::Object(all) => all.iter_mut().for_each(|(key, one)| poison(one, key)),
        _ => {}
    }
}

/// Records a run and replaces each of its strings.
fn poisoned(path: &Path) {
    let mut steps = steps(6);
    let text = "the listener [::1]:80 \u{1b}[2J".to_owned();
    steps.insert(5, Step::Notice { time_ns: 6 * SECOND, text });
    record(path, None, &steps);
    let lines = fs::read_to_string(path).unwrap();
    let evil = lines.lines().map(|line| {
        let mut line = serde_json::from_str(line).unwrap();
        poison(&mut line, "");
        format!("{line}\n")
    });
    fs::write(path, evil.collect::<String>()).unwrap();
}

fn active(text: &str) -> Option<char> {
    text.chars().find(|char| *char != '\n' && is_active(*char))
}

#[test]
fn no_view_of_a_recording_commands_the_terminal() {
    let folder = folder();
    let path = folder.path().join("run");
    poisoned(&path);
    let (printed, remarks) = replay(&path);
    assert_eq!(remarks, [""; 0]);
    let csv = std::str::from_utf8(&printed.0[2]).unwrap();
    let html = page(&path);
    for (view, text) in
        [("table", printed.table()), ("json", printed.json()), ("csv", csv), ("html", &html)]
    {
        assert_eq!(active(text), None, "{view}: {text}");
        assert!(text.contains("PWN"), "{view} shows no hostile string");
    }
    // A line break in a name does not start a new line.
    let table = printed.table();
    assert!(!table.lines().any(|line| line.starts_with("\"><script>")), "{table}");
    assert_eq!(
        csv.lines().count(),
        1 + table.lines().filter(|line| line.contains("/16") && !line.contains(" USE ")).count(),
        "{csv}"
    );
    assert!(!html.contains("<script>&"));
    // JSON readers get the strings unchanged.
    let line: Value = serde_json::from_str(printed.json().lines().next().unwrap()).unwrap();
    assert!(line["kernel"].as_str().unwrap().starts_with(EVIL));
}

#[test]
fn no_pane_of_the_screen_commands_the_terminal() {
    let folder = folder();
    let path = folder.path().join("run");
    poisoned(&path);
    let recording = SeekableRecording::open(&path).unwrap();
    let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: false };
    let mut tui = Tui::unseen(look, Duration::from_secs(1)).unwrap();
    let mut playback = Playback::start(&recording, None, &mut tui).unwrap();
    playback.seek(&mut tui, recording.end_ns).unwrap();
    tui.played(Playing::default());
    let picture = tui.picture(playback.model(), (150, 60));
    assert_eq!(active(&picture), None, "{picture}");
    assert!(picture.contains("PWN"), "{picture}");
}

/// Checks what goes to stderr: messages about a recording, and errors with file names.
#[test]
fn messages_command_no_terminal() {
    let folder = folder();
    let path = folder.path().join(EVIL.replace('/', ""));
    let error = crate::commands::replay::source::Source::open(&path).err().unwrap();
    let told = format!("{error:#}");
    assert!(active(&told).is_some() && active(&harmless(&told)).is_none());
}

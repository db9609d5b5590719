//! Tests that the screen at a given time does not depend on how playback got there.

use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::made_up::{MS, SECOND, steps};
use super::{folder, record};
use crate::commands::replay::seekable::{Playback, SeekableRecording};
use crate::output::playing::Playing;
use crate::output::table::TextStyle;
use crate::output::tui::Tui;

const SIZE: (u16, u16) = (120, 40);

fn screen() -> Tui {
    let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: false };
    Tui::unseen(look, Duration::from_secs(1)).unwrap()
}

fn picture(playback: &Playback<'_>, tui: &mut Tui, at_ns: u64) -> String {
    tui.played(Playing { at_ns, length_ns: 40 * SECOND, speed: Some(1.0), ..Playing::default() });
    tui.picture(playback.model(), SIZE)
}

/// Plays from the beginning to a time, in small steps like those of a clock.
fn played(recording: &SeekableRecording, to_ns: u64) -> String {
    let mut tui = screen();
    let mut playback = Playback::start(recording, None, &mut tui).unwrap();
    let mut at_ns = 0;
    while at_ns < to_ns {
        at_ns = to_ns.min(recording.begin_ns.max(at_ns + 70 * MS));
        assert!(playback.play(&mut tui, at_ns, None).unwrap());
        picture(&playback, &mut tui, at_ns);
    }
    picture(&playback, &mut tui, to_ns)
}

#[test]
fn a_seek_leads_to_the_same_screen_as_playing() {
    let folder = folder();
    for (name, rotate) in [("run.zst", None), ("parts", Some((1, 100))), ("rest", Some((1, 3)))] {
        let path = folder.path().join(name);
        record(&path, rotate, &steps(20));
        let recording = SeekableRecording::open(&path).unwrap();
        assert_eq!(recording.end_ns, 25 * SECOND + 300 * MS);
        assert_eq!(recording.interval, Duration::from_secs(1));
        // What is left of a rotated recording begins later than the run.
        assert_eq!(recording.begin_ns > 5 * SECOND, name == "rest", "{name}");
        let [early, late] = [recording.begin_ns + 1200 * MS, 24 * SECOND + 700 * MS];
        let mut tui = screen();
        let mut playback = Playback::start(&recording, None, &mut tui).unwrap();
        let mut pictures = Vec::new();
        for to_ns in [late, early, recording.end_ns, early, recording.begin_ns, late] {
            playback.seek(&mut tui, to_ns).unwrap();
            let shown = picture(&playback, &mut tui, to_ns);
            assert!(shown == played(&recording, to_ns), "{name} {to_ns}: {shown}");
            pictures.push(shown);
        }
        assert_ne!(pictures[0], pictures[1], "{name}");
        assert!(pictures[0].contains("0:24 of 0:40 x1"), "{}", pictures[0]);
        assert!(pictures[0].contains("0.0.0.0:8000"), "{}", pictures[0]);
    }
}

#[test]
fn a_step_back_forgets_notices_and_keeps_what_keys_have_done() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/replay/fixtures/overload.jsonl");
    let recording = SeekableRecording::open(&path).unwrap();
    let mut tui = screen();
    let mut playback = Playback::start(&recording, None, &mut tui).unwrap();
    playback.seek(&mut tui, recording.end_ns).unwrap();
    let full = picture(&playback, &mut tui, 0);
    assert!(full.contains("nothing listens on port 8000 yet"), "{full}");
    playback.seek(&mut tui, recording.begin_ns).unwrap();
    let begin = picture(&playback, &mut tui, 0);
    assert!(!begin.contains("nothing listens on port 8000 yet"), "{begin}");
    playback.seek(&mut tui, recording.end_ns).unwrap();
    assert_eq!(picture(&playback, &mut tui, 0), full);
    // Only the end remains, which is not shown until the user quits.
    assert_eq!(playback.due_ns(), Some(recording.end_ns));
    assert!(playback.play(&mut tui, u64::MAX, None).unwrap());
    assert_eq!(playback.due_ns(), Some(recording.end_ns));
}

#[test]
fn a_deadline_leaves_the_rest_for_later() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(3));
    let recording = SeekableRecording::open(&path).unwrap();
    let mut tui = screen();
    let mut playback = Playback::start(&recording, None, &mut tui).unwrap();
    let now = Some(std::time::Instant::now());
    assert!(!playback.play(&mut tui, recording.end_ns, now).unwrap());
    assert!(playback.play(&mut tui, recording.end_ns, None).unwrap());
    assert_eq!(playback.reached_ns(), recording.end_ns);
}

//! Tests that the page of a recording equals the page of its run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use backlog_core::recording::line::{Header, Step};
use jiff::tz::TimeZone;

use super::made_up::{header, steps};
use super::{folder, record, show};
use crate::cli::ReportArgs;
use crate::commands::replay::beside;
use crate::commands::replay::source::Source;
use crate::commands::report;
use crate::output::outputs::Outputs;
use crate::output::report::{Destination, Report};
use crate::output::table::{Table, TextStyle};
use crate::output::whole_file::WholeFile;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/replay/fixtures/overload.jsonl")
}

/// The page that the run writes.
fn live(header: &Header, steps: impl Iterator<Item = Step>) -> String {
    let folder = folder();
    let path = folder.path().join("live.html");
    let place = Destination::File(WholeFile::check(&path).unwrap());
    show(&mut Report::new(TimeZone::UTC, place, false), header, steps);
    fs::read_to_string(path).unwrap()
}

/// The page that the command writes.
pub(super) fn page(recording: &Path) -> String {
    let folder = folder();
    let path = folder.path().join("page.html");
    let args = ReportArgs {
        file: recording.to_owned(),
        output: Some(path.clone()),
        client_timeout: None,
        utc: true,
    };
    report::run(&args).unwrap();
    fs::read_to_string(path).unwrap()
}

#[test]
fn it_is_byte_for_byte_that_of_the_run() {
    let folder = folder();
    let steps = steps(12);
    for (name, rotate) in [("run.jsonl", None), ("run.zst", None), ("parts", Some((1, 100)))] {
        let path = folder.path().join(name);
        record(&path, rotate, &steps);
        let run = live(&header(), steps.iter().cloned());
        assert!(run.contains("class=\"limit\"") && run.contains("36 packets of"), "{name}");
        // The page must not depend on how it was made.
        assert!(page(&path) == run, "{name}");
        // The page may be written in addition to a table.
        let page_beside = folder.path().join("beside.html");
        let place = crate::commands::replay::page_file::beside(Some(&page_beside), &path).unwrap();
        let look = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: true, cost: false };
        let table = Outputs::lines(Box::new(Table::new(io::sink(), look)));
        let (header, source) = Source::open(&path).unwrap();
        show(&mut beside(table, place, TimeZone::UTC, true), &header, source.map(Result::unwrap));
        assert!(fs::read_to_string(page_beside).unwrap() == run, "{name}");
    }
}

#[test]
fn of_a_real_run_it_has_all_parts() {
    let html = page(&fixture());
    let (_, command) = html.split_once("<section aria-labelledby=\"command\">").unwrap();
    let (command, _) = command.split_once("</section>").unwrap();
    insta::assert_snapshot!(command);
    for said in [
        "[::1]:8000",
        "Kernel 6.18.44, traced by tracepoint",
        "accept_queue_full",
        "class=\"limit\"",
        "class=\"peak\"",
        "backend tracepoint: packets that are ignored are not counted",
        ">4096<",
    ] {
        assert!(html.contains(said), "no `{said}`");
    }
    assert!(!html.contains("Incomplete") && !html.contains("could not be drawn"));
}

#[test]
fn of_a_recording_that_is_cut_it_says_so() {
    let folder = folder();
    let path = folder.path().join("run");
    record(&path, None, &steps(6));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() * 2 / 3]).unwrap();
    let html = page(&path);
    for said in [
        "<strong class=\"bad\">Incomplete</strong>: the recording ends before the run did.",
        "its last line is cut",
        "class=\"limit\"",
    ] {
        assert!(html.contains(said), "no `{said}`");
    }
}

//! Passes a recording through to every output, as `replay`, `replay --tui` and `report` do.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use backlog_core::text::outside::is_active;
use jiff::tz::TimeZone;

use crate::commands::replay::player::Player;
use crate::commands::replay::source::Source;
use crate::output::csv::Csv;
use crate::output::json::Json;
use crate::output::outputs::Outputs;
use crate::output::playing::Playing;
use crate::output::report::{Destination, Report};
use crate::output::table::{Table, TextStyle};
use crate::output::tui::Tui;
use crate::output::whole_file::WholeFile;

/// Collects the bytes that an output writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

/// Shows the recording by all outputs at the same time.
pub(super) fn read(bytes: &[u8]) {
    // A recording may be rejected, at its first line or later.
    let _ = show(bytes);
}

fn show(bytes: &[u8]) -> Result<()> {
    let (header, mut source) = Source::of_bytes(bytes.to_vec())?;
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("page.html");
    let [table, json, csv] = [(); 3].map(|()| Written::default());
    let style = TextStyle { zone: TimeZone::UTC, idle_rows: true, quiet: false, cost: true };
    let tui = Tui::unseen(style.clone(), Duration::from_secs(1))?;
    let report = Destination::File(WholeFile::check(&page)?);
    let mut outputs = Outputs::screen(tui)
        .with(Table::new(table.clone(), style))
        .with(Json::new(json.clone(), true))
        .with(Csv::new(csv.clone(), true))
        .with(Report::new(TimeZone::UTC, report, false));
    let mut player = Player::start(&header, None, &mut outputs)?;
    let shown = source.try_for_each(|step| Ok(player.step(&mut outputs, step?)?));
    if let Some(tui) = outputs.tui() {
        tui.played(Playing::default());
        assert_harmless(tui.picture(player.model(), (120, 50)).as_bytes());
    }
    drop(outputs);
    assert_json(&json.take());
    assert_harmless(&table.take());
    assert_harmless(&csv.take());
    // The page exists only if the recording was shown to its end.
    if let Some(bytes) = found(std::fs::read(page))? {
        assert_harmless(&bytes);
    }
    source.remarks();
    shown
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Asserts that the output contains no terminal control sequences.
fn assert_harmless(bytes: &[u8]) {
    let text = str::from_utf8(bytes);
    assert!(text.is_ok(), "{text:?}");
    let text = text.unwrap_or_default();
    let active = text.find(|char| char != '\n' && is_active(char));
    assert!(active.is_none(), "{:?}", active.and_then(|place| text.get(place..)));
}

/// Asserts that each line is a harmless JSON object.
pub(super) fn assert_json(bytes: &[u8]) {
    assert_harmless(bytes);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line);
        assert!(object.is_ok() && line.ends_with(b"\n"), "{object:?}");
    }
}

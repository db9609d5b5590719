//! Reads the files of a recording, the oldest first. Only one is read at a time. The others are
//! just open descriptors, since there may be hundreds, with arbitrary content.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Cursor, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use backlog_core::recording::bounds::{self, Beyond};
use backlog_core::recording::line::{FORMAT, Header, Line};
use backlog_core::text::outside::safe;
use serde::Deserialize;

use super::lines::Lines;
use crate::output::record::parts;

/// See the module documentation.
#[derive(Default)]
pub(super) struct Files(VecDeque<Part>);

enum Part {
    /// The current file, or one whose header was read.
    Open(Lines),
    /// A file that is read from its beginning when it becomes the current one.
    Later(File),
}

impl Files {
    /// Opens a recording, including the older files of a rotated one; `-` is stdin. Returns the
    /// header of the oldest file.
    pub(super) fn open(path: &Path) -> Result<(Header, Self)> {
        let (mut first, lines) = begin(path.display(), Lines::open(path)?)?;
        let mut files = VecDeque::from([Part::Open(lines)]);
        if path == Path::new("-") {
            return Ok((first, Self(files)));
        }
        for older in parts(path).skip(1) {
            if first.part == 0 {
                break;
            }
            // A file may have been left there by an earlier run.
            match open_older(&older) {
                Ok((header, file)) if header.is_of_run(&first) && header.part + 1 == first.part => {
                    first = header;
                    files.push_front(Part::Later(file));
                }
                Err(error) if error.is::<Beyond>() => return Err(error),
                _ => break,
            }
        }
        Ok((first, Self(files)))
    }

    /// The same for files in memory, the oldest first.
    pub(super) fn of_parts(
        parts: impl IntoIterator<Item = impl AsRef<[u8]> + 'static>,
    ) -> Result<(Header, Self)> {
        let mut first = None;
        let mut files = VecDeque::new();
        for part in parts {
            let lines = Lines::new(Box::new(Cursor::new(part)))?;
            let (header, lines) = begin("a part", lines)?;
            first.get_or_insert(header);
            files.push_back(Part::Open(lines));
        }
        Ok((first.context("nothing is recorded yet")?, Self(files)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The current file, positioned after its header.
    pub(super) fn current(&mut self) -> Result<Option<&mut Lines>, Beyond> {
        if let Some(part @ Part::Later(_)) = self.0.front_mut()
            && let Part::Later(file) = std::mem::replace(part, Part::Open(Lines::empty()))
        {
            let mut lines = Lines::new(Box::new(file)).unwrap_or_else(|error| Lines::cut(&error));
            lines.header()?;
            *part = Part::Open(lines);
        }
        match self.0.front_mut() {
            Some(Part::Open(lines)) => Ok(Some(lines)),
            _ => Ok(None),
        }
    }

    /// Moves on to the next file.
    pub(super) fn end_current(&mut self) {
        self.0.pop_front();
    }
}

/// Opens a file that a rotation has renamed, and reads its header. Anything but a regular file is
/// rejected without reading it, so that this never blocks on the writer of a pipe.
fn open_older(path: &Path) -> Result<(Header, File)> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    let (header, _) = begin(path.display(), Lines::new(Box::new(file.try_clone()?))?)?;
    file.rewind()?;
    Ok((header, file))
}

/// What the first line of every format version has.
#[derive(Deserialize)]
struct Probe {
    header: Format,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Reads the header of the file with this name.
fn begin(name: impl fmt::Display, mut lines: Lines) -> Result<(Header, Lines)> {
    // Parse errors quote the content of the line.
    let parse_error = |error: serde_json::Error| anyhow!(safe(&error.to_string()));
    let no_recording = || format!("{name} is not a backlog-trace recording");
    let Some(first) = lines.header()? else {
        bail!("{}: it has no complete first line", no_recording())
    };
    let first = first.as_slice();
    bounds::form(first)?;
    let Probe { header: Format { format } } =
        serde_json::from_slice(first).map_err(parse_error).with_context(no_recording)?;
    if format > FORMAT {
        bail!(
            "{name} is of format {format}, and this version ({}) reads up to {FORMAT}: replay it \
             with the version that recorded it, or a newer one",
            env!("CARGO_PKG_VERSION")
        );
    }
    match serde_json::from_slice(first).map_err(parse_error).with_context(no_recording)? {
        Line::Header(header) => Ok((*header, lines)),
        _ => bail!("{}: its first line is not a header", no_recording()),
    }
}

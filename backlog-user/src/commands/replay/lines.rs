//! The lines of one file of a recording, plain or compressed; its first bytes decide, not its name.
//! Lines are bounded, since the file may come from anybody; a truncated last line is not an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::recording::bounds::{Beyond, HEADER_BYTES, LINE_BYTES, WINDOW_LOG};
use zstd::stream::read::Decoder;

/// What each compressed file begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What zstd says of a window beyond its bound: its error has no kind of its own.
const WINDOW_TOO_LARGE: &str = "requires too much memory";

/// See the module's head.
pub(super) struct Lines {
    from: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Why there is no more, if not because it was the end.
    pub(super) cut: Option<String>,
}

impl Lines {
    /// Opens a file; `-` is stdin.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin())).context("reading stdin");
        }
        let path_text = path.display();
        let file = File::open(path).with_context(|| format!("cannot open {path_text}"))?;
        Self::new(Box::new(file)).with_context(|| format!("reading {path_text}"))
    }

    /// Reads from here.
    pub(super) fn new(mut from: Box<dyn Read>) -> io::Result<Self> {
        let mut first = Vec::new();
        from.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first)?;
        let compressed = first == ZSTD;
        let all = Cursor::new(first).chain(from);
        let from: Box<dyn BufRead> = if compressed {
            let mut decoder = Decoder::new(all)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(BufReader::new(all))
        };
        Ok(Self { from, line: Vec::new(), cut: None })
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self { from: Box::new(io::empty()), line: Vec::new(), cut: None }
    }

    /// A file whose first bytes could not be read.
    pub(super) fn cut(error: &io::Error) -> Self {
        Self { cut: Some(unreadable(error)), ..Self::empty() }
    }

    /// The next complete line; none: there is no more.
    ///
    /// # Errors
    /// It is beyond a bound.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Beyond> {
        let complete = self.read(LINE_BYTES, "a line with more bytes")?;
        Ok(complete.then_some(&self.line))
    }

    /// The first line, which is short: that of each file is read before any of them is shown. Its
    /// memory is not kept.
    ///
    /// # Errors
    /// It is beyond a bound.
    pub(super) fn header(&mut self) -> Result<Option<Vec<u8>>, Beyond> {
        let complete = self.read(HEADER_BYTES, "a first line with more bytes")?;
        let line = std::mem::take(&mut self.line);
        Ok(complete.then_some(line))
    }

    /// Is there a complete line, of at most this many bytes?
    fn read(&mut self, most: u64, what: &str) -> Result<bool, Beyond> {
        if self.cut.is_some() {
            return Ok(false);
        }
        self.line.clear();
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.line);
        let cut = match read {
            Ok(_) if self.line.ends_with(b"\n") => return Ok(true),
            Ok(0) => return Ok(false),
            Ok(_) if self.line.len() as u64 == most => return Err(Beyond::of(what, most)),
            Ok(_) => "its last line is cut".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "its end is missing".to_owned()
            }
            Err(error) if error.to_string().contains(WINDOW_TOO_LARGE) => {
                return Err(Beyond::of("a zstd window with more bytes", 1_u64 << WINDOW_LOG));
            }
            Err(error) => unreadable(&error),
        };
        self.cut = Some(cut);
        Ok(false)
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read further: {error}")
}

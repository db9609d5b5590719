//! Reads the lines of one file of a recording. Its first bytes, not its name, show whether it is
//! compressed. The file is untrusted, so the length of lines is bounded. A truncated last line is
//! not an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::recording::bounds::{Beyond, HEADER_BYTES, LINE_BYTES, WINDOW_LOG};
use zstd::stream::read::Decoder;

/// The first bytes of every compressed file.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The message of zstd if a window exceeds the limit; that error has no `ErrorKind` of its own.
const WINDOW_TOO_LARGE: &str = "requires too much memory";

/// See the module documentation.
pub(super) struct Lines {
    from: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Why reading stopped before the end of the file.
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

    /// Reads from this source.
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

    /// A file without lines.
    pub(super) fn empty() -> Self {
        Self { from: Box::new(io::empty()), line: Vec::new(), cut: None }
    }

    /// A file whose first bytes could not be read.
    pub(super) fn cut(error: &io::Error) -> Self {
        Self { cut: Some(unreadable(error)), ..Self::empty() }
    }

    /// Returns the next complete line, or None at the end.
    ///
    /// # Errors
    ///
    /// The line exceeds a bound.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Beyond> {
        let complete = self.read(LINE_BYTES, "a line with more bytes")?;
        Ok(complete.then_some(&self.line))
    }

    /// Returns the first line, which is short, since the first lines of all files are read before
    /// anything is shown. Releases its memory.
    ///
    /// # Errors
    ///
    /// The line exceeds a bound.
    pub(super) fn header(&mut self) -> Result<Option<Vec<u8>>, Beyond> {
        let complete = self.read(HEADER_BYTES, "a first line with more bytes")?;
        let line = std::mem::take(&mut self.line);
        Ok(complete.then_some(line))
    }

    /// Reads a line. Returns whether it is complete; it may have at most this many bytes.
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

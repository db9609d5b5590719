//! The lines of one file of a recording, plain or compressed; its first bytes decide, not its name.
//! Lines are bounded, since the file may come from anybody; a truncated last line is not an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::recording::bounds::{Beyond, LINE_BYTES, WINDOW_LOG};
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

    /// The next complete line; none: there is no more.
    ///
    /// # Errors
    /// It is beyond a bound.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Beyond> {
        if self.cut.is_some() {
            return Ok(None);
        }
        self.line.clear();
        let read = self.from.by_ref().take(LINE_BYTES).read_until(b'\n', &mut self.line);
        let cut = match read {
            Ok(_) if self.line.ends_with(b"\n") => return Ok(Some(&self.line)),
            Ok(0) => return Ok(None),
            Ok(_) if self.line.len() as u64 == LINE_BYTES => {
                return Err(Beyond::of("a line with more bytes", LINE_BYTES));
            }
            Ok(_) => "its last line is cut".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "its end is missing".to_owned()
            }
            Err(error) if error.to_string().contains(WINDOW_TOO_LARGE) => {
                return Err(Beyond::of("a zstd window with more bytes", 1_u64 << WINDOW_LOG));
            }
            Err(error) => format!("it cannot be read further: {error}"),
        };
        self.cut = Some(cut);
        Ok(None)
    }
}

//! The lines of one file of a recording, plain or compressed; its first bytes decide, not its name.
//! Lines are bounded, since the file may come from anybody; a truncated last line is not an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use zstd::stream::read::Decoder;

/// What each compressed file begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// No line of a recording is longer: the first one of a part, with 1,024 closed listeners
/// and as many that are open, is a tenth of this.
const LONGEST: u64 = 64 << 20;

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
            Box::new(BufReader::new(Decoder::new(all)?))
        } else {
            Box::new(BufReader::new(all))
        };
        Ok(Self { from, line: Vec::new(), cut: None })
    }

    /// The next complete line; none: there is no more.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.cut.is_some() {
            return None;
        }
        self.line.clear();
        let read = self.from.by_ref().take(LONGEST).read_until(b'\n', &mut self.line);
        match read {
            Ok(_) if self.line.ends_with(b"\n") => Some(&self.line),
            Ok(0) => None,
            Ok(_) if self.line.len() as u64 == LONGEST => {
                self.cut = Some(format!("a line is longer than {LONGEST} bytes"));
                None
            }
            Ok(_) => {
                self.cut = Some("its last line is cut".to_owned());
                None
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.cut = Some("its end is missing".to_owned());
                None
            }
            Err(error) => {
                self.cut = Some(format!("it cannot be read further: {error}"));
                None
            }
        }
    }
}

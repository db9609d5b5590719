//! The file that a recording goes to: plain, or compressed if its name ends in `.zst`. An existing
//! file is kept; a half-written one is still readable.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zstd::stream::write::Encoder;

/// Fast, and near to what slower levels give for lines that are much alike.
const LEVEL: i32 = 3;

/// One file, written to.
pub(super) struct Sink(Option<Out>);

enum Out {
    Plain(BufWriter<Counted>),
    Compressed(Encoder<'static, Counted>),
}

/// A file that knows how much was written to it.
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink {
    /// Creates a new file. An existing one is renamed to `NAME.old`; a pipe or a device is written
    /// to directly.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = match fs::metadata(path) {
            Ok(there) if !there.is_file() => OpenOptions::new().write(true).open(path)?,
            there => {
                if there.is_ok() {
                    fs::rename(path, with_end(path, ".old"))?;
                }
                // Never through a link that somebody has put there meanwhile.
                OpenOptions::new().write(true).create_new(true).open(path)?
            }
        };
        let file = Counted { file, bytes: 0 };
        let compressed = path.extension().is_some_and(|end| end == "zst");
        Ok(Self(Some(if compressed {
            Out::Compressed(Encoder::new(file, LEVEL)?)
        } else {
            Out::Plain(BufWriter::new(file))
        })))
    }

    /// Bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        match &self.0 {
            Some(Out::Plain(out)) => out.get_ref().bytes,
            Some(Out::Compressed(out)) => out.get_ref().bytes,
            None => 0,
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self.0.take() {
            Some(Out::Plain(mut out)) => out.flush(),
            Some(Out::Compressed(out)) => out.finish()?.flush(),
            None => Ok(()),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(Out::Plain(out)) => out.write(bytes),
            Some(Out::Compressed(out)) => out.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    /// A reader of the file finds everything written so far.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Some(Out::Plain(out)) => out.flush(),
            Some(Out::Compressed(out)) => out.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // A run that ends by an error has told it; its recording goes as far as it can.
        let _ = self.finish();
    }
}

/// The name of the file this many rotations back.
pub(crate) fn part(path: &Path, before: u32) -> PathBuf {
    if before == 0 { path.to_owned() } else { with_end(path, &format!(".{before}")) }
}

/// Makes room for a new file: each that is there becomes one older, and the oldest goes.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    for before in (0..keep).rev() {
        match fs::rename(part(path, before), part(path, before + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

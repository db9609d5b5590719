//! The file of a recording, compressed if its name ends in `.zst`. It is written under a temporary
//! name until the run begins; an existing file is then kept as `NAME.old`. Only its owner can read
//! it, since it contains clients and command lines. A truncated file is still readable.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Error, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use zstd::stream::write::Encoder;

use super::ring::Writer;
use crate::outlet::{OnStall, Outlet, Target};
use crate::output::folder::{Entry, is_same_name};
use crate::output::place::{Place, open_descriptor, open_special};
use crate::output::whole_file::beside;

/// A fast level that compresses similar lines almost as well as slower ones.
const LEVEL: i32 = 3;

/// The destination of a recording: a file, a pipe, or memory.
pub(super) struct Sink {
    out: Option<Out>,
    /// The temporary name of the file, until it is published.
    unpublished: Option<TempPath>,
    /// Its directory entry; None for a pipe or device.
    entry: Option<Entry>,
}

enum Out {
    Plain(Counted),
    Compressed(Encoder<'static, Counted>),
    Memory(Writer),
}

/// A file that counts the bytes written to it.
struct Counted {
    out: Outlet,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Sink {
    /// Creates a new file next to `path`, which stays unchanged until [`Self::publish`]. A pipe or
    /// device is written to directly.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match Place::of(path) {
            Place::Name => Self::beside(Entry::open(path)?),
            Place::Special => Self::write_to(path, open_special(path)?),
            Place::Descriptor => Self::write_to(path, open_descriptor(path)?),
            Place::Folder => Err(Error::other("it is a folder: name a file in it")),
        }
    }

    fn beside(entry: Entry) -> io::Result<Self> {
        let (file, name) = beside(&entry)?.into_parts();
        let mut sink = Self::write_to(entry.typed(), file)?;
        (sink.unpublished, sink.entry) = (Some(name), Some(entry));
        Ok(sink)
    }

    fn write_to(path: &Path, file: File) -> io::Result<Self> {
        let out = Outlet::open(Target::File(file), OnStall::Fail)?;
        let file = Counted { out, bytes: 0 };
        let compressed = path.extension().is_some_and(|end| end == "zst");
        let out =
            if compressed { Out::Compressed(Encoder::new(file, LEVEL)?) } else { Out::Plain(file) };
        Ok(Self { out: Some(out), unpublished: None, entry: None })
    }

    /// Writes to memory.
    pub(super) fn memory(writer: Writer) -> Self {
        Self { out: Some(Out::Memory(writer)), unpublished: None, entry: None }
    }

    /// For memory: has the part reached its maximum duration or size?
    pub(super) fn is_full(&self, time_ns: u64) -> bool {
        matches!(&self.out, Some(Out::Memory(writer)) if writer.is_full(time_ns))
    }

    /// For memory: begins another part.
    pub(super) fn next_part(&mut self, time_ns: u64) -> io::Result<()> {
        match &mut self.out {
            Some(Out::Memory(writer)) => writer.next(time_ns),
            _ => Ok(()),
        }
    }

    /// Gives the file its final name. An existing file is renamed to `NAME.old`.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        let (Some(file), Some(entry)) = (self.unpublished.take(), &self.entry) else {
            return Ok(());
        };
        let name = entry.path();
        match fs::rename(&name, with_end(&name, ".old")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(file.persist(&name)?)
    }

    /// Creates the next file of a rotation: each existing file gets the next number, and the oldest
    /// is deleted.
    pub(super) fn next(&self, keep: u32) -> io::Result<Self> {
        let Some(entry) = &self.entry else {
            return Err(Error::other("it cannot be renamed"));
        };
        let path = entry.path();
        for before in (0..keep).rev() {
            match fs::rename(part(&path, before), part(&path, before + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut next = Self::beside(entry.clone())?;
        next.publish()?;
        Ok(next)
    }

    /// The size of the file in bytes.
    pub(super) fn bytes(&self) -> u64 {
        match &self.out {
            Some(Out::Plain(out)) => out.bytes,
            Some(Out::Compressed(out)) => out.get_ref().bytes,
            Some(Out::Memory(_)) | None => 0,
        }
    }

    /// Closes the file: waits until everything is written, for as long as the reader or the disk
    /// takes data.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut file = match self.out.take() {
            Some(Out::Plain(file)) => file,
            Some(Out::Compressed(out)) => out.finish()?,
            Some(Out::Memory(_)) | None => return Ok(()),
        };
        file.out.finish().map(drop)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(Out::Plain(out)) => out.write(bytes),
            Some(Out::Compressed(out)) => out.write(bytes),
            Some(Out::Memory(out)) => out.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    /// Makes everything written so far readable.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Some(Out::Plain(out)) => out.flush(),
            Some(Out::Compressed(out)) => out.flush(),
            Some(Out::Memory(out)) => out.flush(),
            None => Ok(()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // A run that ends with an error has reported it; the recording is written as far as
        // possible.
        let _ = self.finish();
    }
}

/// The name of the file from this many rotations ago.
pub(crate) fn part(path: &Path, before: u32) -> PathBuf {
    if before == 0 { path.to_owned() } else { with_end(path, &format!(".{before}")) }
}

/// Does `name` belong to this recording: to its file, to the one kept as `.old`, or to one from up
/// to this many rotations ago? It need not exist yet.
pub(crate) fn is_name_of(recording: &Path, name: &Path, rotations: u32) -> bool {
    let (Some(own), Some(other)) = (recording.file_name(), name.file_name()) else { return false };
    let Some(end) = other.as_bytes().strip_prefix(own.as_bytes()) else { return false };
    let number = |end: &[u8]| str::from_utf8(end.strip_prefix(b".")?).ok()?.parse::<u32>().ok();
    let is_taken = matches!(end, b"" | b".old") || number(end).is_some_and(|end| end <= rotations);
    is_taken && is_same_name(recording, &name.with_file_name(own))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::is_name_of;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_names_of_a_recording_are_known_before_they_are_taken() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        symlink(&folder, root.path().join("link")).unwrap();
        for (name, rotations, is_taken) in [
            ("folder/run", 0, true),
            ("link/../folder/./run", 0, true),
            ("link/run.old", 0, true),
            ("folder/run.1", 0, false),
            ("folder/run.9", 9, true),
            ("folder/run.10", 9, false),
            ("folder/run.1.html", 9, false),
            ("folder/run1", 9, false),
            ("run", 9, false),
        ] {
            let name = root.path().join(name);
            assert_eq!(is_name_of(&folder.join("run"), &name, rotations), is_taken, "{name:?}");
        }
    }
}

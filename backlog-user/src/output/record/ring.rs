//! A recording in memory: the last minutes of a run, compressed, in parts that can each be read
//! without those before. Bounded in time and in bytes; a busy host has fewer minutes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use zstd::stream::write::Encoder;

/// A part ends after this time, or at this size.
const PART_NS: u64 = 60_000_000_000;
const PART_BYTES: usize = MOST_BYTES / 16;

/// It reaches back this far, and a part more.
pub(crate) const REACH_NS: u64 = 15 * 60_000_000_000;

/// Bytes of all parts.
const MOST_BYTES: usize = 16 << 20;

/// Fast, and with a small window: several parts are read at once, and one is always being written.
const LEVEL: i32 = 1;

/// See the module's head. The session writes, others read.
#[derive(Clone, Default)]
pub(crate) struct Ring(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    /// Those that are complete, with the times at which they begin.
    complete: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
    /// The one that is being written.
    begin_ns: u64,
    open: Vec<u8>,
}

/// A part, and when it begins.
pub(crate) type Part = (u64, Arc<[u8]>);

impl Ring {
    /// The parts from this time on: the last that begins before it, or else all. The oldest first.
    pub(crate) fn since(&self, time_ns: u64) -> Vec<Part> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let older = parts.complete.iter().rposition(|(begin_ns, _)| *begin_ns <= time_ns);
        let skipped =
            if parts.begin_ns <= time_ns { parts.complete.len() } else { older.unwrap_or(0) };
        let complete = parts.complete.iter().skip(skipped).cloned();
        complete.chain([(parts.begin_ns, parts.open.as_slice().into())]).collect()
    }

    /// Begins the first part.
    pub(super) fn begin(&self, time_ns: u64) -> io::Result<Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).begin_ns = time_ns;
        Ok(Writer { ring: self.clone(), begin_ns: time_ns, out: Some(self.encoder()?) })
    }

    fn encoder(&self) -> io::Result<Encoder<'static, Tail>> {
        Encoder::new(Tail { ring: self.clone(), bytes: 0 }, LEVEL)
    }

    /// The open part is complete, and the next one begins.
    fn next(&self, time_ns: u64) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = std::mem::take(&mut parts.open);
        parts.bytes += done.len();
        let begin_ns = std::mem::replace(&mut parts.begin_ns, time_ns);
        parts.complete.push_back((begin_ns, done.into()));
        let from_ns = time_ns.saturating_sub(REACH_NS);
        let is_over = |parts: &Parts| {
            // The next one reaches back far enough, or there are too many bytes.
            let next = parts.complete.get(1).map_or(time_ns, |(begin_ns, _)| *begin_ns);
            next <= from_ns || parts.bytes > MOST_BYTES - PART_BYTES
        };
        while is_over(&parts) {
            let Some((_, oldest)) = parts.complete.pop_front() else { break };
            parts.bytes -= oldest.len();
        }
    }
}

/// Writes to the open part.
pub(super) struct Writer {
    ring: Ring,
    begin_ns: u64,
    out: Option<Encoder<'static, Tail>>,
}

impl Writer {
    /// Is the part as long as it may be?
    pub(super) fn is_full(&self, time_ns: u64) -> bool {
        let bytes = self.out.as_ref().map_or(0, |out| out.get_ref().bytes);
        time_ns.saturating_sub(self.begin_ns) >= PART_NS || bytes >= PART_BYTES
    }

    /// Another part begins.
    pub(super) fn next(&mut self, time_ns: u64) -> io::Result<()> {
        if let Some(out) = self.out.take() {
            out.finish()?;
        }
        self.ring.next(time_ns);
        (self.begin_ns, self.out) = (time_ns, Some(self.ring.encoder()?));
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.as_mut().map_or(Ok(bytes.len()), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Compressed bytes go to the end of the open part.
struct Tail {
    ring: Ring,
    bytes: usize,
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut parts = self.ring.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.open.extend_from_slice(bytes);
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, REACH_NS, Ring};
    use std::io::Write as _;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn it_is_bounded_in_time_and_begins_where_it_is_wanted() {
        let ring = Ring::default();
        let mut writer = ring.begin(0).unwrap();
        for minute in 1..=40 {
            assert!(writer.is_full(minute * MINUTE));
            writeln!(writer, "part before {minute}").unwrap();
            writer.next(minute * MINUTE).unwrap();
        }
        writeln!(writer, "the last one").unwrap();
        writer.flush().unwrap();
        let all = ring.since(0);
        assert_eq!(all[0].0, 40 * MINUTE - REACH_NS);
        assert_eq!(ring.since(38 * MINUTE + 1)[0].0, 38 * MINUTE);
        let [(begin_ns, last)] = &ring.since(41 * MINUTE)[..] else { panic!() };
        let text = zstd::stream::read::Decoder::new(&last[..]).unwrap();
        let mut lines = String::new();
        // It is not complete.
        let _ = std::io::Read::read_to_string(&mut { text }, &mut lines);
        assert_eq!((*begin_ns, lines.as_str()), (40 * MINUTE, "the last one\n"));
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let ring = Ring::default();
        let mut writer = ring.begin(0).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        for second in 1..200 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1 << 18).collect();
            writer.write_all(&bytes).unwrap();
            if writer.is_full(second) {
                writer.next(second).unwrap();
            }
        }
        let all: usize = ring.since(0).iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(all <= MOST_BYTES && all > MOST_BYTES / 2, "{all}");
    }
}

//! A recording in memory: the last minutes of a run, compressed, in parts that can be read on their
//! own. Bounded in time and bytes; a busy host gets fewer minutes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use zstd::stream::write::Encoder;

/// The maximum duration and size of a part.
const PART_NS: u64 = 60_000_000_000;
const PART_BYTES: usize = MOST_BYTES / 16;

/// How far the recording reaches back, plus up to one part.
pub(crate) const REACH_NS: u64 = 15 * 60_000_000_000;

/// The maximum size of all parts in bytes.
const MOST_BYTES: usize = 16 << 20;

/// A fast level with a small window, since several parts are read at once and one is always being
/// written.
const LEVEL: i32 = 1;

/// A handle to the recording: the session writes, others read.
#[derive(Clone, Default)]
pub(crate) struct Ring(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    /// The complete parts, and when each begins.
    complete: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
    /// The part that is being written.
    begin_ns: u64,
    open: Vec<u8>,
}

/// When a part begins, and its bytes.
pub(crate) type Part = (u64, Arc<[u8]>);

impl Ring {
    /// The parts since this time, the oldest first. The first one begins before that time if there
    /// is such a part.
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

    /// Completes the open part and begins the next one.
    fn next(&self, time_ns: u64) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = std::mem::take(&mut parts.open);
        parts.bytes += done.len();
        let begin_ns = std::mem::replace(&mut parts.begin_ns, time_ns);
        parts.complete.push_back((begin_ns, done.into()));
        let from_ns = time_ns.saturating_sub(REACH_NS);
        let is_over = |parts: &Parts| {
            // Evict while the next part reaches back far enough, or there are too many bytes.
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
    /// Has the part reached its maximum duration or size?
    pub(super) fn is_full(&self, time_ns: u64) -> bool {
        let bytes = self.out.as_ref().map_or(0, |out| out.get_ref().bytes);
        time_ns.saturating_sub(self.begin_ns) >= PART_NS || bytes >= PART_BYTES
    }

    /// Begins another part.
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

/// Appends compressed bytes to the open part.
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
        // The open part is incomplete, so reading it ends with an error.
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

//! Bounds on every part of a recording: it may come from anyone, so memory and time are bounded
//! whatever it contains. No recording of a real run comes near them. docs/RECORDING.md has a row
//! for each.

use std::fmt;

use crate::event::{Count, Event, What};

/// Bytes of one line. The longest is `begin`, with about 3 kB for each known listener.
pub const LINE_BYTES: u64 = 64 << 20;
/// Bytes of the first line of a file. It has the command line, which the kernel limits to 6 MiB,
/// usually to 2 MiB.
pub const HEADER_BYTES: u64 = 8 << 20;
/// Bytes of one string, as escaped in JSON. The longest is an argument of the command line, which
/// the kernel limits to 128 KiB.
pub const STRING_BYTES: usize = 1 << 20;
/// Entries of one list or object: the list of listeners in `begin` is the longest.
pub const ENTRIES: usize = 65_536;
/// The nesting of lists and objects; a real line has 13 levels.
pub const NESTING: usize = 32;
/// Bytes of all lines, decompressed.
pub const TEXT_BYTES: u64 = 64 << 30;
/// Lines that cannot be read. A truncated or damaged recording has a few; 92 kB of zstd can contain
/// a billion empty ones.
pub const UNREADABLE: u64 = 65_536;
/// Listeners that are known at a time: open ones, and those kept after they closed.
pub const LISTENERS: usize = 32_768;
/// Network namespaces that are known at a time; the model itself keeps half as many quiet ones.
pub const NAMESPACES: usize = 32_768;
/// Events that one line `same` repeats.
pub const REPEATED: u64 = 4 * LISTENERS as u64;
/// Values that lines `same` may repeat: three of each listener, two of each namespace.
pub const REMEMBERED: usize = 3 * LISTENERS + 2 * NAMESPACES;
/// Comparisons of the clocks.
pub const CLOCK_MARKS: usize = 65_536;
/// CPUs: the kernel's own bound (`NR_CPUS` of x86).
pub const CPUS: u32 = 8192;
/// Steps of work: one for each event, one for each KiB of its value, and one for each listener and
/// namespace at the end of an interval. A thousand listeners need three weeks for it, at an
/// interval of a second.
pub const WORK: u64 = 1 << 33;
/// The binary logarithm of the window of zstd: 128 MiB, the default limit of `zstd -d`.
pub const WINDOW_LOG: u32 = 27;
/// Bytes of memory that a replay may use. A backstop: within the other bounds, only a crafted file
/// reaches it.
pub const MEMORY_BYTES: u64 = 3 << 30;

/// A recording exceeds a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// What there is too much of, and the bound.
    what: String,
    cure: &'static str,
}

impl Beyond {
    /// Something that no run records.
    pub fn of(what: impl fmt::Display, most: impl fmt::Display) -> Self {
        Self {
            what: format!("{what} than {most}"),
            cure: "it is damaged or was made up: record the run again",
        }
    }

    /// Something that a run of months could record.
    pub fn in_length(what: impl fmt::Display, most: impl fmt::Display) -> Self {
        Self { cure: "replay a copy of one of its files alone", ..Self::of(what, most) }
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, cure } = self;
        write!(to, "cannot show the recording: it has {what}; {cure}")
    }
}

impl std::error::Error for Beyond {}

/// Checks a count against its bound.
///
/// # Errors
/// The count is above the bound.
pub fn check<T: Copy + PartialOrd + fmt::Display>(
    what: &str,
    count: T,
    most: T,
) -> Result<(), Beyond> {
    if count > most { Err(Beyond::of(what, most)) } else { Ok(()) }
}

/// Checks the structure of a line before anything is allocated for its contents. Invalid JSON may
/// pass: the parser rejects it later.
///
/// # Errors
/// A string, a list or the nesting exceeds its bound.
pub fn form(line: &[u8]) -> Result<(), Beyond> {
    let openings = line.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if line.len() <= SHORT && openings <= NESTING {
        return Ok(());
    }
    let mut commas = [0_usize; NESTING + 1];
    let mut depth = 0;
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                let length = string(bytes.as_slice());
                check("a string with more bytes", length, STRING_BYTES)?;
                bytes = bytes.as_slice().get(length + 1..).unwrap_or_default().iter();
            }
            b'[' | b'{' => {
                depth += 1;
                check("more lists within each other", depth, NESTING)?;
                commas[depth] = 0;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => {
                commas[depth] += 1;
                check("a list with more entries", commas[depth] + 1, ENTRIES)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// In a line up to this length, no string and no list can exceed its bound. Most lines are shorter.
const SHORT: usize = 4096;

/// The length of a string, up to its closing quote.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    let is_end = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    text.iter().position(is_end).unwrap_or(text.len())
}

/// Checks a value of an event that would make something grow.
///
/// # Errors
/// It exceeds its bound.
pub fn event(event: &Event) -> Result<(), Beyond> {
    match &event.what {
        What::Drop(drop) => {
            check("more CPUs", drop.cpu, CPUS - 1).map_err(|_| Beyond::of("more CPUs", CPUS))
        }
        _ => Ok(()),
    }
}

/// Bytes of memory for a value that a line `same` may repeat: only counts have lists.
#[must_use]
pub fn size(what: &What) -> u64 {
    let What::Count { count, .. } = what else { return size_of::<What>() as u64 };
    let Count { waits, depths, accepts, .. } = &**count;
    let names: usize = accepts.iter().map(|one| one.process.comm.len()).sum();
    let lists = size_of_val(&waits[..]) + size_of_val(&depths[..]) + size_of_val(&accepts[..]);
    (size_of::<What>() + size_of::<Count>() + lists + names) as u64
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, NESTING, STRING_BYTES, form};

    fn ends(text: &str) -> Option<String> {
        form(text.as_bytes()).err().map(|beyond| beyond.to_string())
    }

    #[test]
    fn the_form_of_a_line_is_bounded_on_both_sides() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let list = |entries| format!("{{\"a\":[{}1]}}", "1,".repeat(entries - 1));
        let text = |length| format!("[\"{}\"]", "\\\"".repeat(length / 2));
        for (fits, beyond, why) in [
            (nested(NESTING), nested(NESTING + 1), "more lists within each other than 32"),
            (list(ENTRIES), list(ENTRIES + 1), "a list with more entries than 65536"),
            (text(STRING_BYTES), text(STRING_BYTES + 2), "a string with more bytes than 1048576"),
        ] {
            assert_eq!(ends(&fits), None);
            let told = ends(&beyond).unwrap();
            assert!(told.contains(why) && told.ends_with("record the run again"), "{told}");
        }
        // Brackets within a string do not count, nor do the entries of a list that has ended.
        assert_eq!(ends(&format!("[\"{}\"]", "[,".repeat(ENTRIES))), None);
        assert_eq!(ends(&format!("[{}1]", "[1],".repeat(ENTRIES / 2))), None);
        assert_eq!(ends("]]}}\"\\"), None);
    }
}

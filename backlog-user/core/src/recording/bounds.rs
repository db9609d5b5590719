//! How much of everything a recording may have: anybody may have written it, so memory and time are
//! bounded whatever it says. No recording of a real run comes near. docs/RECORDING.md has a row
//! for each.

use std::fmt;

use crate::event::{Count, Event, What};

/// Bytes of one line. The longest is `begin`, with some 3 kB for each known listener.
pub const LINE_BYTES: u64 = 64 << 20;
/// Bytes of the first line of a file. It has the command line, of which the kernel takes 6 MiB at
/// most and usually 2 MiB.
pub const HEADER_BYTES: u64 = 8 << 20;
/// Bytes of one string, as escaped in JSON. The longest is an argument of the command line, of
/// which the kernel takes 128 KiB.
pub const STRING_BYTES: usize = 1 << 20;
/// Entries of one list or object: those of `begin` are the listeners.
pub const ENTRIES: usize = 65_536;
/// Lists and objects within each other; a real line has 13.
pub const NESTING: usize = 32;
/// Bytes of all lines, decompressed.
pub const TEXT_BYTES: u64 = 64 << 30;
/// Lines that cannot be read. A recording that was cut or damaged has a few; 92 kB of zstd can be
/// a billion empty ones.
pub const UNREADABLE: u64 = 65_536;
/// Listeners that are known at a time: those that are open, and those kept after they closed.
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
/// Steps of work: one for an event and for each KiB of its value, and one for each listener and namespace at the end of an
/// interval. A thousand listeners take three weeks for it, at an interval of a second.
pub const WORK: u64 = 1 << 33;
/// The binary logarithm of the window of zstd: 128 MiB, as `zstd -d` takes without being asked.
pub const WINDOW_LOG: u32 = 27;
/// Bytes of memory that a replay may occupy. A backstop: only a file made for it comes here
/// within the other bounds.
pub const MEMORY_BYTES: u64 = 3 << 30;

/// A recording is beyond a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// What there is too much of, with the bound.
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

    /// Something that a run of months could have.
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

/// Nothing beyond its bound?
///
/// # Errors
/// More than the bound.
pub fn check<T: Copy + PartialOrd + fmt::Display>(
    what: &str,
    count: T,
    most: T,
) -> Result<(), Beyond> {
    if count > most { Err(Beyond::of(what, most)) } else { Ok(()) }
}

/// The form of a line, before anything is allocated for what is in it. Invalid JSON may pass:
/// the parser rejects it later.
///
/// # Errors
/// A string, a list or the nesting is beyond its bound.
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

/// No string and no list of a line up to this length is beyond its bound. Most lines are shorter.
const SHORT: usize = 4096;

/// The length of a string, up to its quote.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    let is_end = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    text.iter().position(is_end).unwrap_or(text.len())
}

/// A value of an event by which something would grow.
///
/// # Errors
/// It is beyond its bound.
pub fn event(event: &Event) -> Result<(), Beyond> {
    match &event.what {
        What::Drop(drop) => {
            check("more CPUs", drop.cpu, CPUS - 1).map_err(|_| Beyond::of("more CPUs", CPUS))
        }
        _ => Ok(()),
    }
}

/// Bytes of memory that a value takes which a line `same` may repeat: only counts have lists.
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

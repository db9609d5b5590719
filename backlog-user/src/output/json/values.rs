//! Values that several kinds of lines share, and how they are written.

use std::io::{self, Write};

use backlog_core::clock::Clock;
use backlog_core::event::{Caller, ListenerId, State};
use backlog_core::model::sizing::{Confidence, Cookies, Verdict};
use backlog_core::run::Backend;
use backlog_core::text::outside::is_active;
use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::record::Kind;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Writes one line.
pub(crate) fn write(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    line.serialize(&mut Serializer::with_formatter(&mut *out, Escaping))?;
    out.write_all(b"\n")
}

/// Escapes every character in external strings that controls a terminal; JSON itself requires this
/// only of C0. Readers get the original string.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_active) {
            let (before, after) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut after = after.chars();
            for unit in
                after.next().into_iter().flat_map(|char| char.encode_utf16(&mut [0; 2]).to_vec())
            {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// A moment, which is printed in UTC with nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(Timestamp);

impl Time {
    /// The wall-clock time of a monotonic one.
    pub(super) fn of(clock: &Clock, time_ns: u64) -> Self {
        Self(clock.wall(time_ns))
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:.9}", self.0))
    }
}

/// When an event of a run happened: what its line begins with.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct At {
    /// The moment of the event.
    time: Time,
    /// The same moment on `CLOCK_MONOTONIC`, nanoseconds, as the eBPF programs stamp it.
    mono_ns: u64,
}

impl At {
    /// A moment of both clocks.
    pub(super) fn of(clock: &Clock, time_ns: u64) -> Self {
        Self { time: Time::of(clock, time_ns), mono_ns: time_ns }
    }
}

/// The tool's own number of a listener.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Id(u32);

impl From<ListenerId> for Id {
    fn from(id: ListenerId) -> Self {
        Self(id.0)
    }
}

/// A value that is printed by its name.
pub(crate) trait Name: Copy + 'static {
    /// The name.
    fn name(self) -> &'static str;
}

/// Implements `Name` for types that have such a method.
macro_rules! names {
    ($($type:ty),+) => {
        $(impl Name for $type {
            fn name(self) -> &'static str {
                <$type>::name(self)
            }
        })+
    };
}

names!(Backend, Beside, Cause, Confidence, Cookies, Kind, State, Verdict);

/// The name of something, as a string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<T: Name> Serialize for Named<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

/// An object with a count for every row of a table.
#[derive(Debug)]
pub(crate) struct EveryCount<T>(Vec<(T, u64)>);

impl<T: Name> EveryCount<T> {
    /// Counts in the order of the table.
    pub(super) fn of(all: &[T], counts: &[u64]) -> Self {
        Self(all.iter().copied().zip(counts.iter().copied()).collect())
    }

    /// Counts in the order of the names.
    pub(super) fn by_name(all: &[T], counts: &[u64]) -> Self {
        let Self(mut counts) = Self::of(all, counts);
        counts.sort_by_key(|(row, _)| row.name());
        Self(counts)
    }
}

impl<T: Name> Serialize for EveryCount<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(row, count)| (row.name(), count)))
    }
}

/// An object with the counts of a table's rows that are not zero.
#[derive(Debug)]
pub(crate) struct NonZeroCounts<T>(EveryCount<T>);

impl<T: Name> NonZeroCounts<T> {
    /// Counts in the order of the names.
    pub(super) fn by_name(all: &[T], counts: &[u64]) -> Self {
        let EveryCount(mut counts) = EveryCount::by_name(all, counts);
        counts.retain(|(_, count)| *count > 0);
        Self(EveryCount(counts))
    }
}

impl<T: Name> Serialize for NonZeroCounts<T> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

/// An object with a field for each of the kernel's counters that there is something to report of.
#[derive(Debug)]
pub(crate) struct ByCounter<V>(pub(crate) Vec<(&'static str, V)>);

impl<V: Serialize> Serialize for ByCounter<V> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(counter, value)| (counter, value)))
    }
}

/// The family of an address.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
}

impl Family {
    /// The family of this address.
    pub(crate) fn of(addr: std::net::IpAddr) -> Self {
        if addr.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// A process.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Process<'a> {
    /// Its number.
    pub(crate) pid: u32,
    /// Its name, or that of the thread that was seen (`comm` in `/proc`).
    pub(crate) comm: &'a str,
}

impl<'a> From<&'a Caller> for Process<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self { pid: caller.pid, comm: &caller.comm }
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn characters_that_a_terminal_obeys_are_escaped_and_read_back() {
        let text = "a\u{1b}]0;x\u{7}\u{7f}\u{9b}2J\u{202e}\u{2028}\u{e0041}\"ü\n";
        let mut out = Vec::new();
        write(&mut out, &text).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line,
            "\"a\\u001b]0;x\\u0007\\u007f\\u009b2J\\u202e\\u2028\\udb40\\udc41\\\"ü\\n\"\n"
        );
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}

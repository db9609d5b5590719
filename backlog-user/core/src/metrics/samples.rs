//! The lines of a family's samples.

use std::fmt::{self, Display, Write as _};

/// A number, in the form of the exposition.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl Display for Value {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(to),
            Self::Number(number) if *number == f64::INFINITY => to.write_str("+Inf"),
            Self::Number(number) => number.fmt(to),
        }
    }
}

/// Writes the samples of one family.
pub(super) struct Samples<'a> {
    out: &'a mut String,
    name: &'a str,
    suffix: &'static str,
}

impl<'a> Samples<'a> {
    /// Those of this name, with what the type of the family adds to it.
    pub(super) fn of(out: &'a mut String, name: &'a str, suffix: &'static str) -> Self {
        Self { out, name, suffix }
    }

    /// A sample; empty labels: it has none.
    pub(super) fn add(&mut self, labels: &str, value: impl Into<Value>) {
        self.line(self.suffix, labels, None, value.into());
    }

    /// The same, if the value is known.
    pub(super) fn add_known(&mut self, labels: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// A sample with one more label, whose value needs no escape.
    pub(super) fn add_with(
        &mut self,
        labels: &str,
        (name, of): (&str, &str),
        value: impl Into<Value>,
    ) {
        self.line(self.suffix, labels, Some((name, of)), value.into());
    }

    /// A sample of a histogram.
    pub(super) fn add_part(
        &mut self,
        suffix: &str,
        labels: &str,
        le: Option<&str>,
        value: impl Into<Value>,
    ) {
        self.line(suffix, labels, le.map(|le| ("le", le)), value.into());
    }

    fn line(&mut self, suffix: &str, labels: &str, more: Option<(&str, &str)>, value: Value) {
        let Self { out, name, .. } = self;
        // Writing to a string cannot fail.
        let _ = match (labels, more) {
            ("", None) => writeln!(out, "{name}{suffix} {value}"),
            ("", Some((label, of))) => writeln!(out, "{name}{suffix}{{{label}=\"{of}\"}} {value}"),
            (_, None) => writeln!(out, "{name}{suffix}{{{labels}}} {value}"),
            (_, Some((label, of))) => {
                writeln!(out, "{name}{suffix}{{{labels},{label}=\"{of}\"}} {value}")
            }
        };
    }
}

//! The samples of a family, and their lines in the text forms.

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

/// One sample.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    /// The suffix of a histogram's sample; empty for other types.
    pub(super) part: &'static str,
    /// Labels in the form of the exposition; may be empty.
    pub(super) labels: &'a str,
    /// One more label, whose value needs no escape.
    pub(super) more: Option<(&'a str, &'a str)>,
    pub(super) value: Value,
}

impl Sample<'_> {
    /// Appends the line of this sample.
    pub(super) fn write(&self, name: &str, suffix: &str, out: &mut String) {
        let Self { part, labels, more, value } = self;
        // Writing to a string cannot fail.
        let _ = match (*labels, more) {
            ("", None) => writeln!(out, "{name}{suffix}{part} {value}"),
            ("", Some((label, of))) => {
                writeln!(out, "{name}{suffix}{part}{{{label}=\"{of}\"}} {value}")
            }
            (_, None) => writeln!(out, "{name}{suffix}{part}{{{labels}}} {value}"),
            (_, Some((label, of))) => {
                writeln!(out, "{name}{suffix}{part}{{{labels},{label}=\"{of}\"}} {value}")
            }
        };
    }
}

/// Takes the samples of one family, independent of the output form.
pub(super) struct Samples<'a>(&'a mut dyn FnMut(Sample<'_>));

impl<'a> Samples<'a> {
    /// Passes each sample to a function.
    pub(super) fn new(to: &'a mut dyn FnMut(Sample<'_>)) -> Self {
        Self(to)
    }

    /// Adds a sample; `labels` may be empty.
    pub(super) fn add(&mut self, labels: &str, value: impl Into<Value>) {
        (self.0)(Sample { part: "", labels, more: None, value: value.into() });
    }

    /// Adds a sample if its value is known.
    pub(super) fn add_known(&mut self, labels: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    /// Adds a sample with one more label, whose value needs no escape.
    pub(super) fn add_with(&mut self, labels: &str, more: (&str, &str), value: impl Into<Value>) {
        (self.0)(Sample { part: "", labels, more: Some(more), value: value.into() });
    }

    /// Adds a sample of a histogram.
    pub(super) fn add_part(
        &mut self,
        part: &'static str,
        labels: &str,
        le: Option<&str>,
        value: impl Into<Value>,
    ) {
        (self.0)(Sample { part, labels, more: le.map(|le| ("le", le)), value: value.into() });
    }
}

//! Columns of rows. One list defines the name, meaning and value of each column, for the header,
//! the rows and the docs.

/// A column; `F` computes its value.
pub(crate) struct Column<F> {
    /// The name in the header.
    pub(crate) name: &'static str,
    /// The meaning of the value, with its unit.
    pub(crate) meaning: &'static str,
    /// Computes the value for a row.
    pub(crate) value: F,
}

impl<F> Column<F> {
    pub(crate) const fn new(name: &'static str, meaning: &'static str, value: F) -> Self {
        Self { name, meaning, value }
    }

    /// Its name and meaning.
    pub(crate) fn doc(&self) -> ColumnDoc {
        (self.name, self.meaning.to_owned())
    }
}

/// The name and meaning of a column, for docs and `explain`.
pub(crate) type ColumnDoc = (&'static str, String);

/// A CSV value; empty if unknown.
pub(crate) fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

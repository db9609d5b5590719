//! Columns of rows. What a column is called, what it means and where its value comes from stand
//! in one list, which the header, the rows and the docs read.

/// A column. `F` gets its value.
pub(crate) struct Column<F> {
    /// As in the header.
    pub(crate) name: &'static str,
    /// What the value means, with its unit.
    pub(crate) meaning: &'static str,
    /// Gets the value of a row.
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

/// What docs and `explain` say of a column: its name and meaning.
pub(crate) type ColumnDoc = (&'static str, String);

/// A value of CSV; empty: not known.
pub(crate) fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

//! What a user sees. Each view renders the same state of listeners; none computes it.

pub(crate) mod about;
pub(crate) mod advice;
pub(crate) mod column;
mod cost;
pub(crate) mod csv;
pub(crate) mod folder;
pub(crate) mod histogram;
pub(crate) mod json;
pub(crate) mod outputs;
pub(crate) mod place;
pub(crate) mod playing;
pub(crate) mod reconciled;
pub(crate) mod record;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod schema;
pub(crate) mod sink;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod text_block;
pub(crate) mod told;
pub(crate) mod tui;
pub(crate) mod web;
pub(crate) mod whole_file;
pub(crate) mod workers;
mod wrap;

use playing::Play;

/// Whether a run continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It continues.
    On,
    /// It ends with its summary.
    End,
    /// Playback of a recording changes.
    Play(Play),
}

#[cfg(test)]
mod tests;

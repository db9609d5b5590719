//! The form of a recording: docs/RECORDING.md. Files are the business of who writes and reads
//! them.
//!
//! `line` is the form, `bounds` how much of it a reader takes, `options` what the header keeps of the command line, `memory` leaves out
//! what has not changed, `snapshot` is what a file after the first begins with.

pub mod bounds;
pub mod line;
pub mod memory;
pub mod options;
pub mod snapshot;
pub mod window;

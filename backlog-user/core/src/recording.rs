//! The recording format (docs/RECORDING.md). The caller handles the files.
//!
//! `line` has the format, `bounds` limits what a reader accepts, `options` is the part of the
//! command line that the header keeps, `memory` omits what has not changed, `snapshot` is the
//! beginning of each file after the first, and `window` reads the end of a run as a run of its own.

pub mod bounds;
pub mod line;
pub mod memory;
pub mod options;
pub mod snapshot;
pub mod window;

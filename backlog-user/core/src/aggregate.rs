//! Translates the programs' records and counts to events.

pub mod count;
pub mod decode;
pub mod registry;
pub mod translate;

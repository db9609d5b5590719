//! From what the programs have written and counted to events.

pub mod count;
pub mod decode;
pub mod registry;
pub mod translate;

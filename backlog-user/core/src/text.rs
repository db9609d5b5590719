//! Numbers, names and facts as text, shared by all outputs.

pub mod acceptor;
pub mod format;
pub mod outside;
pub mod owner_text;
pub mod shell;

//! Numbers, names and facts in words, the same in every view.

pub mod acceptor;
pub mod format;
pub mod outside;
pub mod owner_text;
pub mod shell;

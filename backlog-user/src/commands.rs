//! The subcommands, one module each. Without a subcommand, the program traces.

pub(crate) mod compare;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod listeners;
pub(crate) mod manual;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod trace;

//! The part of backlog-trace that does not need a kernel: events, the model that they build, the
//! conclusions from it, and the recording format.
//!
//! Pure: nothing here reads a file, a clock or an eBPF map; each event carries its time.
//! `clippy.toml` rejects calls that would.

pub mod aggregate;
pub mod clock;
pub mod compare;
pub mod counter;
pub mod event;
pub mod filter;
pub mod metrics;
pub mod model;
pub mod owner;
pub mod recording;
pub mod run;
pub mod settings;
pub mod text;

//! What backlog-trace knows, without a kernel: events, the model that they make, the conclusions
//! from it, and the form in which they are recorded.
//!
//! Pure: nothing here reads a file, a clock or a map. Time comes with the event. `clippy.toml`
//! beside it refuses what would.

pub mod aggregate;
pub mod clock;
pub mod counter;
pub mod event;
pub mod filter;
pub mod model;
pub mod owner;
pub mod recording;
pub mod run;
pub mod settings;
pub mod text;

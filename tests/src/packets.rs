//! Crafted packets through a tun device: handshakes left half open, final
//! ACKs sent when the queue is full, SYN cookies answered late. No ordinary
//! client can do these, and only they reach every cause of a drop.
//!
//! `tun` the device, `segment` one TCP packet, `stage` a listener with made-up
//! clients before it, `scenario` what to provoke and what must come of it,
//! `run` the whole with its comparison, `truth` the JSON.

mod options;
mod run;
mod scenario;
mod segment;
mod stage;
mod truth;
mod tun;

pub use options::{Options, Scenario};
pub use run::run;
pub use truth::{Hit, Truth};

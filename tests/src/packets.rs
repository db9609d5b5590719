//! Crafted packets through a tun device: handshakes left half open, final
//! ACKs sent when the queue is full, SYN cookies answered late or wrong, clients
//! without a route. No ordinary client can do these, and only they reach every
//! way in which a listener loses a connection, and those in which it only seems
//! to.
//!
//! `tun` the device, `segment` one TCP packet, `client` who sends it, `listen`
//! the listeners, `stage` both before each other; `scenario` what there is to
//! provoke, `plays` how, `done` what must come of it; `run` the whole with its
//! comparison, `truth` the JSON.

mod client;
mod done;
mod listen;
mod options;
mod plays;
mod run;
mod scenario;
mod segment;
mod stage;
mod truth;
mod tun;

pub use options::Options;
pub use run::{Told, run};
pub use scenario::Scenario;
pub(crate) use segment::Segment;
pub use truth::{Hit, Share, Truth};
pub(crate) use tun::Tun;

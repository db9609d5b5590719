//! Crafted packets through a tun device: half-open handshakes, final ACKs to a full queue, late or
//! wrong SYN cookies, clients without a route. Ordinary clients cannot do this, but it is needed to
//! cause every way in which a listener loses a connection, and those in which it only seems to.
//!
//! `tun` is the device, `segment` a TCP packet, `client` its sender, `listen` opens the listeners,
//! and `stage` combines them. `scenario` lists what can be provoked, `plays` does it, and `done`
//! holds the expected results. `run` runs a scenario and compares, and `truth` is the JSON.

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

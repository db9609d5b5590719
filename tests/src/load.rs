//! The load: a server with a chosen backlog and clients at a chosen rate in one process, which
//! therefore knows the truth about each connection.
//!
//! `options` is the command line, `listener` opens the sockets, `server` accepts, and `gate`
//! decides when. `pacer` decides when clients connect, `client` and `client_nonblocking` how, and
//! `hold` when they close. `judge` does the arithmetic, `truth` is the JSON, and `run` calls all of
//! these in order.

mod client;
mod client_nonblocking;
mod gate;
mod hold;
mod judge;
mod listener;
mod options;
mod pacer;
mod prefork;
mod run;
mod server;
mod truth;

pub use options::{Accept, Connect, Family, IpVersion, Options, Switch};
pub use run::run;
pub use truth::{Connects, Peer, Truth, Wait, Waits};

//! The load: a server with a chosen backlog and clients at a chosen rate,
//! both in one process, so that it knows the truth about each connection.
//!
//! `options`: the command line; `listener`: the sockets; `server`: the acceptors, and `gate` when
//! they accept; `pacer`: when clients connect, `client` and `client_nonblocking` how; `hold`: when
//! they close; `judge`: the arithmetic; `truth`: the JSON; `run`: all of it in order.

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

//! The handlers of kernel events. A handler knows sockets, packets and records, but not how its
//! program is attached.

pub(crate) mod accept;
pub(crate) mod ack;
pub(crate) mod cookie;
pub(crate) mod enqueue;
pub(crate) mod listener;
pub(crate) mod migrate;
pub(crate) mod packet_drop;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod syn;
pub(crate) mod tally;
pub(crate) mod tracepoint;

//! Delays packets on loopback with the kernel's `sch_netem`, to simulate distance.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use crate::netlink::request;

/// `TCA_OPTIONS`.
const OPTIONS: u16 = 2;
/// `TCA_NETEM_LATENCY64`, nanoseconds, since Linux 4.16.
const LATENCY: u16 = 10;
/// The maximum number of packets in transit.
const LIMIT: u32 = 100_000;

/// A delay of loopback in the namespace of the thread that created it, until it is dropped.
#[derive(Debug)]
#[must_use = "the delay ends when this is dropped"]
pub struct Delay {
    index: i32,
}

impl Delay {
    /// Makes a round trip over loopback take `round_trip`.
    ///
    /// # Errors
    /// When the kernel has no `sch_netem` or does not permit the change.
    pub fn of_loopback(round_trip: Duration) -> Result<Self> {
        // SAFETY: the name is a C string.
        let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        let Ok(index @ 1..) = i32::try_from(index) else { bail!("there is no loopback device") };
        let mut message = of_root(index);
        let options = options(round_trip / 2)?;
        message.attributes = vec![
            TcAttribute::Kind("netem".to_owned()),
            TcAttribute::Other(DefaultNla::new(OPTIONS, options)),
        ];
        request(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_EXCL)
            .context("cannot delay loopback by sch_netem")?;
        Ok(Self { index })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        // A failure does no harm, since the test's namespace is discarded.
        let _ = request(RouteNetlinkMessage::DelQueueDiscipline(of_root(self.index)), 0);
    }
}

fn of_root(index: i32) -> TcMessage {
    let mut message = TcMessage::with_index(index);
    message.header.parent = TcHandle::ROOT;
    message
}

/// `struct tc_netem_qopt` followed by an attribute.
fn options(one_way: Duration) -> Result<Vec<u8>> {
    let latency_ns = i64::try_from(one_way.as_nanos()).context("the delay is too long")?;
    let mut bytes = Vec::new();
    // latency (in ticks; the attribute below replaces it), limit, loss, gap, duplicate, jitter
    for word in [0, LIMIT, 0, 0, 0, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(12_u16.to_ne_bytes());
    bytes.extend(LATENCY.to_ne_bytes());
    bytes.extend(latency_ns.to_ne_bytes());
    Ok(bytes)
}

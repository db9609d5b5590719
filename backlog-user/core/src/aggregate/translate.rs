//! Translates the programs' output to events: decoded records, and counts by slot. It knows slots
//! but reads no kernel map, so that a benchmark can run it.

use std::collections::HashMap;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::Distributions;
use backlog_ebpf::record::{self, Leaving};
use backlog_ebpf::totals::Totals;

use crate::aggregate::count;
use crate::aggregate::decode::{DecodeError, Record, address, call};
use crate::aggregate::registry::Registry;
use crate::event::{
    Admitted, Closed, Count, Dequeued, DropEvent, Event, LastAccept, Limit, ListenerId, SoFar, What,
};

/// See the module's head.
#[derive(Default)]
pub struct Translator {
    /// Which listener has which slot.
    pub registry: Registry,
    /// By slot: its distributions at the last count, also of listeners before.
    distributions: HashMap<u32, Box<Distributions>>,
    decode_errors: u64,
}

impl Translator {
    /// Adds a record. `note` looks up the kernel's own information on a slot, for a listener whose
    /// open record was lost.
    pub fn record(
        &mut self,
        decoded: &Result<Record, DecodeError>,
        note: impl FnOnce(u32) -> Option<record::Listener>,
        events: &mut Vec<Event>,
    ) {
        let event = decoded.as_ref().ok().and_then(|record| self.event(record, note, events));
        match event {
            Some(event) => events.push(event),
            None => self.decode_errors += 1,
        }
    }

    fn event(
        &mut self,
        record: &Record,
        note: impl FnOnce(u32) -> Option<record::Listener>,
        events: &mut Vec<Event>,
    ) -> Option<Event> {
        let (header, what) = match record {
            Record::Opened(wire) => (wire.header, What::Listener(self.registry.opened(wire).ok()?)),
            Record::Closed(wire) => {
                let record::Listener { header, depth, syn_queue, .. } = *wire;
                // Its opening may have been lost.
                self.listener(header.slot, note, events);
                let listener = self.registry.closed(header.slot)?;
                (header, What::Closed(Closed { listener, depth, syn_queue }))
            }
            Record::Limit(wire) => {
                let record::Listener { header, limit: now, was, depth, .. } = *wire;
                let listener = self.listener(header.slot, note, events)?;
                let call = call(wire);
                (header, What::Limit(Limit { listener, now, was, depth, call, opens: false }))
            }
            Record::Drop(wire) => {
                let listener = self.listener(wire.header.slot, note, events)?;
                (wire.header, What::Drop(refusal(wire, listener)?))
            }
            Record::Admitted(wire) => {
                let record::Admitted {
                    header,
                    isn,
                    depth,
                    client,
                    trough,
                    free_ns,
                    paced_ns,
                    paced,
                    arrived,
                } = *wire;
                let listener = self.listener(header.slot, note, events)?;
                let client = address(&client).ok()?;
                let so_far = Some(SoFar { paced, paced_ns, arrived, ..SoFar::default() });
                let admitted = Admitted {
                    listener,
                    client,
                    isn,
                    depth,
                    trough,
                    free_ns,
                    so_far,
                    followed: true,
                };
                (header, What::Admitted(admitted))
            }
            Record::Dequeued(wire) => {
                let record::Dequeued { header, isn, leaving, client, .. } = *wire;
                let listener = self.listener(header.slot, note, events)?;
                let client = address(&client).ok()?;
                let leaving = Leaving::from_wire(leaving)?.into();
                (header, What::Dequeued(Dequeued { listener, client, isn, leaving }))
            }
        };
        Some(Event { time_ns: header.time_ns, what })
    }

    /// The listener of a slot; if its open record was lost, the kernel's information identifies it.
    pub fn listener(
        &mut self,
        slot: u32,
        note: impl FnOnce(u32) -> Option<record::Listener>,
        events: &mut Vec<Event>,
    ) -> Option<ListenerId> {
        if let Some(listener) = self.registry.at(slot) {
            return Some(listener);
        }
        let info = note(slot)?;
        let listener = self.registry.opened(&info).ok()?;
        let id = listener.id;
        events.push(Event { time_ns: info.header.time_ns, what: What::Listener(listener) });
        Some(id)
    }

    /// What each CPU has counted at a slot, and how far its distributions have moved since
    /// the last count; they are read only if they can have moved. `ended` is the epoch that
    /// has just ended.
    pub fn count<'a>(
        &mut self,
        slot: u32,
        cpus: impl Iterator<Item = &'a Totals>,
        ended: u32,
        distributions: impl FnOnce() -> Option<Distributions>,
    ) -> Box<Count> {
        let mut count = Box::new(count::sum(cpus, ended));
        if count.totals.enqueued + count.totals.accepted > 0
            && let Some(now) = distributions()
        {
            let last =
                self.distributions.entry(slot).or_insert_with(|| Box::new(Distributions::EMPTY));
            count.waits = count::moves(&last.waits, &now.waits);
            count.depths = count::moves(&last.depths, &now.depths);
            // Values that have not moved belong to the slot's previous listener.
            if now.noted_ns != last.noted_ns {
                count.last_accept = last_accept(&now);
            }
            count.paced = now.pace.count.wrapping_sub(last.pace.count);
            count.paced_ns = now.pace.sum_ns.wrapping_sub(last.pace.sum_ns);
            count.stalled_ns = now.pace.stalled_ns.wrapping_sub(last.pace.stalled_ns);
            count.filled_ns = now.filled_ns;
            count.idle_moved_ns = now.idle_ns.wrapping_sub(last.idle_ns);
            (count.free_ns, count.accepted_ns) = (now.free_ns, now.accepted_ns);
            **last = now;
        }
        count
    }

    /// Records that could not be read.
    #[must_use]
    pub fn decode_errors(&self) -> u64 {
        self.decode_errors
    }
}

/// The last accept in a listener's distributions.
#[must_use]
pub fn last_accept(now: &Distributions) -> Option<LastAccept> {
    let halves =
        |word: u64| (u32::try_from(word >> 32).ok(), u32::try_from(word & 0xffff_ffff).ok());
    let (pid, tid) = halves(now.acceptor);
    let (pid, tid) = pid.zip(tid)?;
    (now.noted_ns != 0).then_some(LastAccept { time_ns: now.noted_ns, pid, tid })
}

fn refusal(wire: &record::Drop, listener: ListenerId) -> Option<DropEvent> {
    Some(DropEvent {
        listener,
        cause: Cause::from_wire(wire.cause.into())?,
        client: address(&wire.client).ok()?,
        isn: wire.isn,
        depth: wire.depth,
        limit: wire.limit,
        syn_queue: wire.syn_queue,
        cpu: wire.header.cpu,
        trough: wire.trough,
        free_ns: wire.free_ns,
        accepted_ns: wire.accepted_ns,
        so_far: Some(SoFar {
            paced: wire.paced,
            paced_ns: wire.paced_ns,
            stalled_ns: wire.stalled_ns,
            arrived: wire.arrived,
            filled_ns: wire.filled_ns,
            records_suppressed: wire.records_suppressed,
        }),
        fin: wire.flags & record::FIN != 0,
    })
}

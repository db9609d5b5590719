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

/// Keeps what the translation needs from one record or count to the next.
#[derive(Default)]
pub struct Translator {
    /// Maps slots to listeners.
    pub registry: Registry,
    /// What the distributions of each slot have counted.
    distributions: HashMap<u32, Box<Counted>>,
    decode_errors: u64,
}

/// What the distributions of a slot have counted.
struct Counted {
    /// Their state at the last count, which includes the slot's earlier listeners.
    last: Distributions,
    /// Arrivals at the slot's current listener so far.
    enqueued: u64,
    /// Accepts at it so far.
    accepted: u64,
}

impl Counted {
    const NONE: Self = Self { last: Distributions::EMPTY, enqueued: 0, accepted: 0 };

    /// Adds the moves since the last count.
    fn add(&mut self, now: &Distributions, count: &mut Count) {
        let last = &self.last;
        count.waits = count::moves(&last.waits, &now.waits);
        count.depths = count::moves(&last.depths, &now.depths);
        self.enqueued += count::all(&count.depths);
        self.accepted += count::all(&count.waits);
        // Values that have not moved belong to the slot's previous listener.
        if now.noted_ns != last.noted_ns {
            count.last_accept = last_accept(now);
        }
        count.paced = now.pace.count.wrapping_sub(last.pace.count);
        count.paced_ns = now.pace.sum_ns.wrapping_sub(last.pace.sum_ns);
        count.stalled_ns = now.pace.stalled_ns.wrapping_sub(last.pace.stalled_ns);
        count.idle_moved_ns = now.idle_ns.wrapping_sub(last.idle_ns);
        self.last = *now;
    }
}

impl Translator {
    /// Translates a record. `note` looks up the kernel's own information on a slot, for a listener
    /// whose open record was lost.
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
                // The record of its opening may have been lost.
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

    /// The listener of a slot. If its open record was lost, the kernel's information identifies it.
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

    /// What each CPU has counted at a slot, and the moves of its distributions since the last
    /// count. `distributions` gets their last state, and returns the current one, or none if it has
    /// not moved. `ended` is the epoch that has just ended.
    pub fn count<'a>(
        &mut self,
        slot: u32,
        cpus: impl Iterator<Item = &'a Totals>,
        ended: u32,
        distributions: impl FnOnce(&Distributions) -> Option<Distributions>,
    ) -> Box<Count> {
        let mut count = Box::new(count::sum(cpus, ended));
        let known = self.distributions.get(&slot).map_or(&Distributions::EMPTY, |it| &it.last);
        if let Some(now) = distributions(known) {
            let counted = self.distributions.entry(slot);
            counted.or_insert_with(|| Box::new(Counted::NONE)).add(&now, &mut count);
        }
        if let Some(counted) = self.distributions.get(&slot) {
            count.totals.enqueued += counted.enqueued;
            count.totals.accepted += counted.accepted;
            if count.totals.enqueued + count.totals.accepted > 0 {
                let Distributions { filled_ns, free_ns, accepted_ns, .. } = counted.last;
                (count.filled_ns, count.free_ns, count.accepted_ns) =
                    (filled_ns, free_ns, accepted_ns);
            }
        }
        count
    }

    /// A slot is released: what its distributions count after `now` belongs to its next listener.
    pub fn release(&mut self, slot: u32, now: Option<Distributions>) {
        self.registry.release(slot);
        if let Some(counted) = self.distributions.get_mut(&slot) {
            (counted.enqueued, counted.accepted) = (0, 0);
            counted.last = now.unwrap_or(counted.last);
        }
    }

    /// Records that could not be decoded.
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
            suppressed_clients: wire.suppressed_clients,
            suppressed_retries: wire.suppressed_retries,
        }),
        fin: wire.flags & record::FIN != 0,
        retry: wire.flags & record::RETRY != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::Translator;
    use backlog_ebpf::distribution::Distributions;
    use backlog_ebpf::totals::Totals;

    /// The distributions after these arrivals and accepts.
    fn after(arrivals: u32, accepts: u32) -> Distributions {
        let mut now = Distributions::EMPTY;
        (now.depths[0], now.waits[7]) = (arrivals.wrapping_sub(9), accepts.wrapping_sub(9));
        now
    }

    fn count(
        translator: &mut Translator,
        totals: &Totals,
        now: Option<&Distributions>,
    ) -> [u64; 2] {
        let count = translator.count(1, [*totals].iter(), 1, |_| now.copied());
        [count.totals.enqueued, count.totals.accepted]
    }

    #[test]
    fn connections_are_those_of_the_distributions_and_those_beyond() {
        let mut translator = Translator::default();
        // The counts of an earlier listener.
        count(&mut translator, &Totals::default(), Some(&after(0, 0)));
        translator.release(1, None);
        let beyond = Totals { enqueued: 1, accepted: 2, enqueue_missed: 4, ..Totals::default() };
        assert_eq!(count(&mut translator, &beyond, None), [5, 6]);
        assert_eq!(count(&mut translator, &beyond, Some(&after(7, 6))), [12, 12]);
        // The buckets wrap around.
        assert_eq!(count(&mut translator, &beyond, Some(&after(12, 10))), [17, 16]);
        assert_eq!(count(&mut translator, &beyond, None), [17, 16]);
    }

    #[test]
    fn the_next_listener_of_a_slot_begins_at_zero() {
        let mut translator = Translator::default();
        count(&mut translator, &Totals::default(), Some(&after(12, 10)));
        // One connection arrived after the last count.
        translator.release(1, Some(after(13, 10)));
        assert_eq!(count(&mut translator, &Totals::default(), None), [0, 0]);
        assert_eq!(count(&mut translator, &Totals::default(), Some(&after(15, 11))), [2, 1]);
    }
}

//! Made-up streams: what the ring and the maps hold in a flood, while listeners come and
//! go, and at the end of an interval. They can be played again and again: time goes on.

use std::collections::VecDeque;
use std::ops::Range;

use backlog_ebpf::AF_INET;
use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{DEPTHS, Distributions, WAITS, bucket};
use backlog_ebpf::record::{Drop, Endpoint, Header, Kind, Listener, OPENED_NOW};
use backlog_ebpf::totals::{Epoch, Totals};
use backlog_user::bench::Counted;
use fastrand::Rng;

/// CPUs that count.
const CPUS: u32 = 2;
/// The time between two records, nanoseconds.
const APART_NS: u64 = 100_000;
const SECOND: u64 = 1_000_000_000;
const LIMIT: u32 = 128;

/// What the ring's records are made of.
///
/// # Safety
///
/// Every byte is initialised: integers, and no padding between or behind them.
unsafe trait Wire {}
// SAFETY: the layout asserts beside it say that its fields leave no gap.
unsafe impl Wire for Drop {}
// SAFETY: as above.
unsafe impl Wire for Listener {}

/// Records behind each other.
#[derive(Default)]
pub(crate) struct Stream {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// When the first of them happens.
    since_ns: u64,
}

impl Stream {
    /// The records.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many.
    pub(crate) fn len(&self) -> u64 {
        self.starts.len() as u64
    }

    /// From its first record to where it would begin again, nanoseconds.
    pub(crate) fn span_ns(&self) -> u64 {
        self.len() * APART_NS
    }

    /// Moves it behind itself in time.
    pub(crate) fn advance(&mut self) {
        let span_ns = self.span_ns();
        for start in &self.starts {
            if let Some(field) = self.bytes[start + 16..].first_chunk_mut::<8>() {
                *field = (u64::from_ne_bytes(*field) + span_ns).to_ne_bytes();
            }
        }
    }

    fn header<T>(&self, kind: Kind, slot: u32) -> Header {
        let size = u16::try_from(size_of::<T>()).unwrap_or(u16::MAX);
        let cpu = slot % CPUS;
        Header {
            kind: kind as u16,
            size,
            cpu,
            slot,
            pad: 0,
            time_ns: self.since_ns + self.span_ns(),
        }
    }

    fn push<T: Wire>(&mut self, record: &T) {
        let start = std::ptr::from_ref(record).cast::<u8>();
        // SAFETY: these are the bytes of one `T`, each initialised, as `Wire` says.
        let bytes = unsafe { std::slice::from_raw_parts(start, size_of::<T>()) };
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn refused(&mut self, slot: u32, client: &Client, cause: Cause) {
        self.push(&Drop {
            header: self.header::<Drop>(Kind::Drop, slot),
            cause: cause as u16,
            isn: client.isn,
            depth: LIMIT + 1,
            limit: LIMIT,
            syn_queue: 0,
            trough: 0,
            client: client.from,
            arrived: 0,
            filled_ns: 0,
            paced_ns: 0,
            stalled_ns: 0,
            paced: 0,
            records_suppressed: 0,
            suppressed_clients: 0,
            suppressed_retries: 0,
            flags: 0,
            free_ns: 0,
            accepted_ns: 0,
        });
    }

    fn listener(&mut self, kind: Kind, slot: u32, inode: u64) {
        let port = 1024 + u16::try_from(slot % 60_000).unwrap_or(0);
        self.push(&Listener {
            header: self.header::<Listener>(kind, slot),
            sk: inode,
            inode,
            netns: 1,
            limit: LIMIT,
            flags: OPENED_NOW,
            local: endpoint([127, 0, 0, 1], port),
            ..Listener::default()
        });
    }
}

/// One attempt to connect.
#[derive(Clone, Copy)]
struct Client {
    from: Endpoint,
    isn: u32,
}

impl Client {
    fn new(rng: &mut Rng) -> Self {
        let [_, b, c, d] = rng.u32(..).to_ne_bytes();
        Self { from: endpoint([10, b, c, d], rng.u16(1024..)), isn: rng.u32(..) }
    }
}

fn endpoint(ip: [u8; 4], port: u16) -> Endpoint {
    let mut addr = [0; 16];
    addr[..4].copy_from_slice(&ip);
    Endpoint { addr, port, family: AF_INET }
}

/// Opens this many listeners.
pub(crate) fn opened(listeners: u32) -> Stream {
    let mut stream = Stream::default();
    for slot in 0..listeners {
        stream.listener(Kind::Opened, slot, u64::from(slot) + 1);
    }
    stream
}

/// A flood at this many listeners: each client is refused, and again with its retries after one
/// second and three.
pub(crate) fn flood(listeners: u32, records: u64) -> Stream {
    let rng = &mut Rng::with_seed(1);
    let mut stream = Stream::default();
    // Who will come again, and when; the first retries and the second.
    let mut retries = [VecDeque::<(u64, u32, Client)>::new(), VecDeque::new()];
    for number in 0..records {
        let now_ns = stream.span_ns();
        let due = |retry: &(u64, u32, Client)| retry.0 <= now_ns;
        let place = retries.iter().position(|retries| retries.front().is_some_and(due));
        // One in three is new, however many want to come again.
        let retry = place.filter(|_| number % 3 != 0).and_then(|place| {
            let (_, slot, client) = retries[place].pop_front()?;
            Some((place + 1, slot, client))
        });
        let (times, slot, client) =
            retry.unwrap_or_else(|| (0, rng.u32(..listeners), Client::new(rng)));
        if let Some(again) = retries.get_mut(times) {
            again.push_back((now_ns + (SECOND << times), slot, client));
        }
        let full = Cause::AcceptQueueFullSyn;
        let cause = if rng.u8(..) < 16 { Cause::AcceptQueueFullAck } else { full };
        stream.refused(slot, &client, cause);
    }
    stream
}

/// Listeners that are opened, refuse one client each and are closed; this many are open at a time.
pub(crate) fn passing(open: u32, listeners: u32) -> Stream {
    let rng = &mut Rng::with_seed(2);
    let mut stream = Stream::default();
    for number in 0..listeners + open {
        if number >= open {
            let gone = number - open;
            stream.listener(Kind::Closed, gone, u64::from(gone) + 1);
        }
        if number < listeners {
            stream.listener(Kind::Opened, number, u64::from(number) + 1);
            stream.refused(number, &Client::new(rng), Cause::AcceptQueueFullSyn);
        }
    }
    stream
}

/// Another interval for the listeners in these slots: those of `old` are closed; those of `new` are
/// opened, and each refuses this many new clients.
pub(crate) fn relieved(
    number: u64,
    rng: &mut Rng,
    [old, new]: [&Range<u32>; 2],
    refusals: u32,
) -> Stream {
    let mut stream = Stream { since_ns: number * SECOND, ..Stream::default() };
    // A socket's name comes back with its slot at the earliest.
    let inode = |slot: u32| u64::from(slot) + 1;
    for slot in old.clone() {
        stream.listener(Kind::Closed, slot, inode(slot));
    }
    for slot in new.clone() {
        stream.listener(Kind::Opened, slot, inode(slot));
    }
    for _ in 0..refusals {
        for slot in new.clone() {
            stream.refused(slot, &Client::new(rng), Cause::AcceptQueueFullSyn);
        }
    }
    stream
}

/// The counts of this many listeners.
pub(crate) struct Counts {
    rng: Rng,
    /// The epoch that has just ended.
    pub(crate) ended: u32,
    /// By slot.
    pub(crate) all: Vec<Counted>,
}

impl Counts {
    /// Nothing so far.
    pub(crate) fn new(slots: Range<u32>) -> Self {
        let counted = |slot| Counted {
            slot,
            cpus: vec![Totals::default(); CPUS as usize],
            distributions: Box::new(Distributions::EMPTY),
        };
        Self { rng: Rng::with_seed(3), ended: 0, all: slots.map(counted).collect() }
    }

    /// Others have their slots now: the totals begin anew, the distributions go on.
    pub(crate) fn relieve(&mut self) {
        for counted in &mut self.all {
            counted.cpus.fill(Totals::default());
        }
    }

    /// An interval later: each listener has queued 50 connections, and refused one.
    pub(crate) fn advance(&mut self) {
        const CONNECTIONS: u32 = 50;
        self.ended += 1;
        let Self { rng, ended, all } = self;
        for Counted { cpus, distributions, .. } in all {
            let Distributions { waits, depths, .. } = distributions.as_mut();
            for _ in 0..CONNECTIONS {
                count(&mut waits[..], bucket(rng.u64(200..20_000), WAITS));
                count(&mut depths[..], bucket(rng.u64(0..8), DEPTHS));
            }
            for totals in cpus.iter_mut() {
                totals.enqueued += u64::from(CONNECTIONS / CPUS);
                totals.accepted += u64::from(CONNECTIONS / CPUS);
                totals.peak = 8;
                totals.longest_ns = 20_000_000;
                totals.epochs[(*ended & 1) as usize] =
                    Epoch { epoch: *ended, depth: 8, longest_ns: 20_000_000 };
            }
            cpus[0].drops[Cause::AcceptQueueFullSyn as usize] += 1;
        }
    }
}

fn count(buckets: &mut [u32], bucket: u32) {
    if let Some(count) = buckets.get_mut(bucket as usize) {
        *count += 1;
    }
}

//! The records of the ring buffer: rare events that are reported immediately. (Events of every
//! connection are only counted: [`crate::totals`], [`crate::distribution`].) A record starts with a
//! [`Header`], whose `kind` is its type and whose `size` is its length when written.
//!
//! Times are `CLOCK_MONOTONIC` nanoseconds, ports are in host order, addresses are the kernel's 16
//! bytes (an IPv4 address fills the first four).

use core::mem::{offset_of, size_of};

/// The type of the record that follows a [`Header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    /// A [`Drop`]: a packet was refused.
    Drop = 0,
    /// A [`Listener`] was seen for the first time or has just been opened.
    Opened = 1,
    /// A [`Listener`] was closed.
    Closed = 2,
    /// Another `listen()` was called on a [`Listener`], or its limit has changed.
    Limit = 3,
    /// An [`Admitted`]: a client that was refused has been queued.
    Admitted = 4,
    /// A [`Dequeued`]: such a client has left the queue.
    Dequeued = 5,
}

impl Kind {
    /// The number of kinds.
    pub const COUNT: usize = 6;

    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Drop, Self::Opened, Self::Closed, Self::Limit, Self::Admitted, Self::Dequeued];

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name in notices about lost records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Limit => "limit",
            Self::Admitted => "admitted",
            Self::Dequeued => "dequeued",
        }
    }
}

/// The start of each record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// A [`Kind`].
    pub kind: u16,
    /// Bytes of the whole record, this header included.
    pub size: u16,
    /// The CPU that wrote it.
    pub cpu: u32,
    /// The slot of the listener.
    pub slot: u32,
    /// Always zero.
    pub pad: u32,
    /// When it happened.
    pub time_ns: u64,
}

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The address in the kernel's form, see the module documentation.
    pub addr: [u8; 16],
    /// The port, host order.
    pub port: u16,
    /// [`AF_INET`](crate::AF_INET) or [`AF_INET6`](crate::AF_INET6).
    pub family: u16,
}

/// A packet that a listener refused ([`Kind::Drop`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drop {
    /// `time_ns` is right after the kernel's decision.
    pub header: Header,
    /// A [`Cause`](crate::cause::Cause).
    pub cause: u16,
    /// [`FIN`], [`RETRY`].
    pub flags: u16,
    /// The client's initial sequence number: with the address and port it identifies a connection
    /// attempt, and retries have the same.
    pub isn: u32,
    /// Depth of the accept queue at that moment.
    pub depth: u32,
    /// `sk_max_ack_backlog`.
    pub limit: u32,
    /// Requests in the SYN queue.
    pub syn_queue: u32,
    /// The smallest depth since the previous record
    /// ([`Distributions::trough`](crate::distribution::Distributions::trough)).
    pub trough: u32,
    /// The client.
    pub client: Endpoint,
    /// Arrivals so far ([`Distributions::arrived`](crate::distribution::Distributions::arrived)).
    pub arrived: u32,
    /// The acceptor's idle time so far
    /// ([`Distributions::free_ns`](crate::distribution::Distributions::free_ns)).
    pub free_ns: u64,
    /// When a connection was last accepted; zero: never.
    pub accepted_ns: u64,
    /// When an arrival last found the queue empty; zero: never.
    pub filled_ns: u64,
    /// The sum of the pauses between accepts so far ([`Pace`](crate::pace::Pace)).
    pub paced_ns: u64,
    /// The sum of the stalls so far.
    pub stalled_ns: u64,
    /// The number of these pauses.
    pub paced: u32,
    /// Drops that this CPU has counted so far without a record
    /// ([`Totals::records_suppressed`](crate::totals::Totals::records_suppressed)).
    pub records_suppressed: u32,
    /// How many of these were the first drop of their client.
    pub suppressed_clients: u32,
    /// How many of these were retries.
    pub suppressed_retries: u32,
}

/// A connection was queued whose client had been refused before ([`Kind::Admitted`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// `time_ns` is when it was queued.
    pub header: Header,
    /// The client's initial sequence number.
    pub isn: u32,
    /// Depth of the accept queue, this connection included.
    pub depth: u32,
    /// The client.
    pub client: Endpoint,
    /// As in [`Drop`].
    pub trough: u32,
    /// As in [`Drop`].
    pub free_ns: u64,
    /// As in [`Drop`].
    pub paced_ns: u64,
    /// As in [`Drop`].
    pub paced: u32,
    /// As in [`Drop`].
    pub arrived: u32,
}

/// [`Drop::flags`]: the packet carries a FIN, so the client has closed its end.
pub const FIN: u16 = 1;
/// [`Drop::flags`]: the attempt has been refused before.
pub const RETRY: u16 = 2;

/// A connection whose client had been refused before has left the queue ([`Kind::Dequeued`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dequeued {
    /// `time_ns` is when it left.
    pub header: Header,
    /// The client's initial sequence number.
    pub isn: u32,
    /// A [`Leaving`].
    pub leaving: u32,
    /// The client.
    pub client: Endpoint,
    /// Always zero.
    pub pad: u32,
}

/// How a connection leaves the accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Leaving {
    /// It is accepted. Its client has neither sent data nor closed its end.
    Accepted = 0,
    /// It is accepted, and its client has closed its end without ever sending data.
    Fin = 1,
    /// It is accepted, and its client has sent data and closed its end: it has left, or still waits
    /// for an answer.
    FinAfterData = 2,
    /// It is accepted after its client has reset it.
    Reset = 3,
    /// Its listener has closed or shut down.
    Killed = 4,
    /// No program saw its accept, only its end.
    Unseen = 5,
    /// It is accepted. Its client has sent data and has not closed its end.
    AcceptedWithData = 6,
}

impl Leaving {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Fin,
        Self::FinAfterData,
        Self::Reset,
        Self::Killed,
        Self::Unseen,
        Self::AcceptedWithData,
    ];

    /// The one with this number, if there is one.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// The identity and state of a listener ([`Kind::Opened`], [`Kind::Closed`], [`Kind::Limit`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// `time_ns` is when it was opened, first seen, or closed.
    pub header: Header,
    /// Its address in the kernel, which distinguishes it from a stale slot.
    pub sk: u64,
    /// The inode number of its socket, as in `/proc/PID/fd`; zero if it has none.
    pub inode: u64,
    /// `skc_cookie`; zero until it is first requested from the kernel.
    pub cookie: u64,
    /// The inode number of its network namespace.
    pub netns: u32,
    /// Depth of its accept queue.
    pub depth: u32,
    /// `sk_max_ack_backlog`.
    pub limit: u32,
    /// [`OPENED_NOW`], [`REUSEPORT`], [`V6_ONLY`], [`CLOSING`], [`ASKED`], [`LISTENING`], [`TOLD`],
    /// [`NEW_NETNS`].
    pub flags: u32,
    /// Its local address.
    pub local: Endpoint,
    /// `sk_drops`.
    pub sk_drops: u32,
    /// Requests in its SYN queue.
    pub syn_queue: u32,
    /// [`Kind::Limit`]: the previous limit; else zero.
    pub was: u32,
    /// The id of its socket's cgroup; zero: unknown.
    pub cgroup: u64,
    /// With [`OPENED_NOW`] and in [`Kind::Limit`]: the name of the thread that called `listen()`.
    pub comm: [u8; 16],
    /// And the id of its process; zero: unknown.
    pub caller: u32,
    /// With [`ASKED`]: the backlog that it passed.
    pub asked: i32,
    /// `net.core.somaxconn` of its network namespace; zero: unknown.
    pub somaxconn: u32,
    /// Distinguishes its network namespace from others with that inode number: the lower half of
    /// its cookie, or if it has none, a random number that the kernel assigns.
    pub identity: u32,
}

/// [`Listener::flags`]: the tool saw the listen call, so nothing was missed before.
pub const OPENED_NOW: u32 = 1;
/// [`Listener::flags`]: `SO_REUSEPORT` is set.
pub const REUSEPORT: u32 = 2;
/// [`Listener::flags`]: `IPV6_V6ONLY` is set.
pub const V6_ONLY: u32 = 4;
/// [`Listener::flags`], in the kernel only: its close has been reported.
pub const CLOSING: u32 = 8;
/// [`Listener::flags`]: `asked` is known.
pub const ASKED: u32 = 16;
/// [`Listener::flags`], in the kernel only: the listen call that opened it has not returned yet.
pub const LISTENING: u32 = 32;
/// [`Listener::flags`]: its network namespace was created during the run.
pub const NEW_NETNS: u32 = 128;
/// [`Listener::flags`], in the kernel only: a listen call was reported by its inner function.
pub const TOLD: u32 = 64;

// The ring buffer aligns memory to 8 bytes. The layout is a contract between two compilers, so
// every offset is asserted.
const _: () = {
    assert!(offset_of!(Header, cpu) == 4);
    assert!(offset_of!(Header, slot) == 8);
    assert!(offset_of!(Header, time_ns) == 16);
    assert!(size_of::<Header>() == 24);

    assert!(offset_of!(Endpoint, port) == 16);
    assert!(offset_of!(Endpoint, family) == 18);
    assert!(size_of::<Endpoint>() == 20);

    assert!(offset_of!(Drop, cause) == 24);
    assert!(offset_of!(Drop, flags) == 26);
    assert!(offset_of!(Drop, isn) == 28);
    assert!(offset_of!(Drop, depth) == 32);
    assert!(offset_of!(Drop, limit) == 36);
    assert!(offset_of!(Drop, syn_queue) == 40);
    assert!(offset_of!(Drop, trough) == 44);
    assert!(offset_of!(Drop, client) == 48);
    assert!(offset_of!(Drop, free_ns) == 72);
    assert!(offset_of!(Drop, accepted_ns) == 80);
    assert!(offset_of!(Drop, arrived) == 68);
    assert!(offset_of!(Drop, filled_ns) == 88);
    assert!(offset_of!(Drop, paced) == 112);
    assert!(size_of::<Drop>() == 128);

    assert!(offset_of!(Admitted, isn) == 24);
    assert!(offset_of!(Admitted, depth) == 28);
    assert!(offset_of!(Admitted, client) == 32);
    assert!(offset_of!(Admitted, trough) == 52);
    assert!(offset_of!(Admitted, free_ns) == 56);
    assert!(offset_of!(Admitted, paced_ns) == 64);
    assert!(size_of::<Admitted>() == 80);

    assert!(offset_of!(Dequeued, isn) == 24);
    assert!(offset_of!(Dequeued, leaving) == 28);
    assert!(offset_of!(Dequeued, client) == 32);
    assert!(size_of::<Dequeued>() == 56);

    assert!(offset_of!(Listener, sk) == 24);
    assert!(offset_of!(Listener, inode) == 32);
    assert!(offset_of!(Listener, cookie) == 40);
    assert!(offset_of!(Listener, netns) == 48);
    assert!(offset_of!(Listener, depth) == 52);
    assert!(offset_of!(Listener, limit) == 56);
    assert!(offset_of!(Listener, flags) == 60);
    assert!(offset_of!(Listener, local) == 64);
    assert!(offset_of!(Listener, sk_drops) == 84);
    assert!(offset_of!(Listener, syn_queue) == 88);
    assert!(offset_of!(Listener, was) == 92);
    assert!(offset_of!(Listener, cgroup) == 96);
    assert!(offset_of!(Listener, comm) == 104);
    assert!(offset_of!(Listener, caller) == 120);
    assert!(offset_of!(Listener, asked) == 124);
    assert!(offset_of!(Listener, somaxconn) == 128);
    assert!(offset_of!(Listener, identity) == 132);
    assert!(size_of::<Listener>() == 136);
};

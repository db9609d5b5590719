//! What happened, owned and typed: the form that the model reads and that a
//! recording keeps. Times are `CLOCK_MONOTONIC` nanoseconds.

pub mod form;
mod netns;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use backlog_ebpf::cause::Cause;
use backlog_ebpf::record;
use backlog_ebpf::totals::Totals;
use serde::{Deserialize, Serialize};

use crate::counter::{Range, Reading};
use crate::owner::Owner;
use crate::settings::Settings;
pub use netns::{Netns, low};

/// The tool's own number of a listener: one socket in LISTEN, from its first
/// sight to its close.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ListenerId(pub u32);

/// Who a listener is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// What it is bound to.
    pub local: SocketAddr,
    /// An IPv6 socket that takes no IPv4.
    pub v6_only: bool,
    /// Its network namespace.
    pub netns: Netns,
    /// The inode number of its socket, if it has one.
    pub inode: Option<u64>,
    /// Its socket cookie, if somebody has asked for it.
    pub cookie: Option<u64>,
    /// The granted backlog.
    pub limit: u32,
    /// The depth of its queue when it was found.
    pub depth: u32,
    /// `SO_REUSEPORT`; none where the source does not tell.
    pub reuseport: Option<bool>,
    /// It was opened under our eyes: nothing was missed before.
    pub opened_now: bool,
    /// Its `sk_drops` when it was found, if the source tells.
    pub sk_drops: Option<u32>,
    /// The last listen call on it, if it was seen.
    pub call: Option<Call>,
    /// The number of the cgroup in which its socket was made, if the source tells.
    pub cgroup: Option<u64>,
    /// What the programs cannot tell: it is looked up elsewhere.
    pub identity: Identity,
}

/// Whose a listener is, and what its numbers are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Who holds its socket; none: not known, or nobody any more.
    pub owner: Option<Box<Owner>>,
    /// The path of the cgroup in which its socket was made.
    pub cgroup: Option<String>,
    /// The name of its network namespace.
    pub netns: Option<String>,
}

/// A listen call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The backlog that was asked for; none: it came by a way that does not tell.
    pub asked: Option<i32>,
    /// `net.core.somaxconn` of the namespace at that moment.
    pub somaxconn: Option<u32>,
    /// Who called.
    pub caller: Option<Caller>,
}

/// A process as the kernel names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Its number.
    pub pid: u32,
    /// The name of the thread.
    pub comm: String,
}

impl fmt::Display for Caller {
    /// `nginx[812]`, with the name as it is.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}[{}]", self.comm, self.pid)
    }
}

impl Call {
    /// Was less granted than asked for? (Of a negative number the kernel makes the largest.)
    #[must_use]
    pub fn is_cut(&self, granted: u32) -> bool {
        self.asked.is_some_and(|asked| asked.cast_unsigned() > granted)
    }
}

/// What the kernel had counted at a listener when something happened: since any moment on, so
/// only differences say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// Accepts of connections that were waiting already when the one before was accepted.
    pub paced: u32,
    /// The pauses before them, without stalls.
    pub paced_ns: u64,
    /// The stalls.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub stalled_ns: u64,
    /// Connections that were queued, about.
    pub arrived: u32,
    /// When an arrival had last found the queue empty; zero: not known.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub filled_ns: u64,
    /// Drops without a record that the CPU of this one had counted.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub unrecorded: u32,
}

/// A packet that a listener refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropEvent {
    /// Its listener.
    pub listener: ListenerId,
    /// Why.
    #[serde(with = "form::cause")]
    pub cause: Cause,
    /// Who sent it.
    pub client: SocketAddr,
    /// The client's initial sequence number: retries carry the same.
    pub isn: u32,
    /// The depth of the accept queue at that moment.
    pub depth: u32,
    /// The limit at that moment.
    pub limit: u32,
    /// The length of the SYN queue at that moment.
    pub syn_queue: u32,
    /// The CPU that refused it.
    pub cpu: u32,
    /// The least depth that arrivals have found since the drop or [`Admitted`] before, if
    /// any came in between; else [`NO_TROUGH`](backlog_ebpf::distribution::NO_TROUGH).
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// How long the acceptor had had nothing to do until then, from any moment on.
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// When a connection had been accepted last; zero: none was.
    #[serde(default)]
    pub accepted_ns: u64,
    /// None in earlier recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// The packet carries a FIN: the client has closed its end.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub fin: bool,
}

/// A client that had been refused has been queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Where.
    pub listener: ListenerId,
    /// Who.
    pub client: SocketAddr,
    /// The client's initial sequence number: that of the attempts which were refused.
    pub isn: u32,
    /// The depth of the accept queue, itself included.
    pub depth: u32,
    /// As in [`Drop`].
    #[serde(default = "form::no_trough", skip_serializing_if = "form::is_no_trough")]
    pub trough: u32,
    /// As in [`Drop`].
    #[serde(default, alias = "idle_ns")]
    pub free_ns: u64,
    /// As in [`Drop`]; of this the record knows the pace and the arrivals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// A [`Dequeued`] says how it leaves the queue. Recordings before that event have none.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub followed: bool,
}

/// A connection has left the queue whose client had been refused before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dequeued {
    /// Where.
    pub listener: ListenerId,
    /// Who.
    pub client: SocketAddr,
    /// The client's initial sequence number, as in [`Admitted`].
    pub isn: u32,
    /// How.
    pub leaving: Leaving,
}

/// How a connection leaves the accept queue: [`record::Leaving`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// Its client was there, and had sent nothing.
    Accepted,
    /// Its client was there, and had sent data.
    AcceptedWithData,
    /// Its client had ended it without a word.
    Fin,
    /// Its client had sent data and ended it.
    FinAfterData,
    /// Its client had reset it.
    Reset,
    /// Its listener closed.
    Killed,
    /// It was accepted in a way that no program saw.
    Unseen,
}

impl From<record::Leaving> for Leaving {
    fn from(wire: record::Leaving) -> Self {
        match wire {
            record::Leaving::Accepted => Self::Accepted,
            record::Leaving::AcceptedWithData => Self::AcceptedWithData,
            record::Leaving::Fin => Self::Fin,
            record::Leaving::FinAfterData => Self::FinAfterData,
            record::Leaving::Reset => Self::Reset,
            record::Leaving::Killed => Self::Killed,
            record::Leaving::Unseen => Self::Unseen,
        }
    }
}

/// The kernel's totals of one listener, all CPUs added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The sums; `accepted` includes the untimed ones, `enqueued` and `accepted` the unseen;
    /// `peak` is the largest, with its time.
    #[serde(with = "form::Sums")]
    pub totals: Totals,
    /// The deepest queue since the last count.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub recent_peak: u32,
    /// The longest wait of those accepted since.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub recent_longest_ns: u64,
    /// Accepts since, by the bucket of their wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::waits")]
    pub waits: Moves,
    /// Arrivals since, by the bucket of the depth that they made.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::depths")]
    pub depths: Moves,
    /// The last accept whose thread was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accept: Option<LastAccept>,
    /// How long the acceptor has had nothing to do before arrivals, from any moment on,
    /// nanoseconds.
    #[serde(default, alias = "idle_ns", skip_serializing_if = "form::is_zero")]
    pub free_ns: u64,
    /// How long the queue has been empty before arrivals since the last count.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle_moved_ns: u64,
    /// When a connection was accepted last; zero: none was.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub accepted_ns: u64,
    /// Accepts with work before them since the last count.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub paced: u64,
    /// The pauses before them, nanoseconds.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub paced_ns: u64,
    /// The stalls among these, nanoseconds.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub stalled_ns: u64,
    /// When an arrival last found the queue empty; zero: not known.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub filled_ns: u64,
    /// Accepts since the last count, by thread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Accepts>,
    /// Those of threads that found no place in the kernel's table.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub other_accepts: u64,
}

/// Accepts of one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepts {
    /// Its process, with the name of the thread.
    pub process: Caller,
    /// The thread.
    pub tid: u32,
    /// How many.
    pub count: u64,
}

/// An accept, and who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAccept {
    /// When.
    pub time_ns: u64,
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
}

/// Bytes of the kernel's memory that a queued connection takes, without the data that its
/// client has sent; none: could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// At a listener of IPv4.
    pub ipv4: Option<u64>,
    /// At one of IPv6.
    pub ipv6: Option<u64>,
}

/// Failed calls of `accept()` at a listener since the last such event, counted while a probe on
/// them was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptErrors {
    /// Whose.
    pub listener: ListenerId,
    /// How long the probe was attached for this listener, nanoseconds.
    pub watched_ns: u64,
    /// By process and error; empty: no call has failed.
    pub errors: Vec<AcceptError>,
    /// Failed calls, of whichever listener, that the probe had no room for.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub left_out: u64,
}

/// The failed calls of one process with one error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptError {
    /// The process, with the name of the thread that failed first.
    pub process: Caller,
    /// The error.
    pub errno: i32,
    /// How often.
    pub count: u64,
    /// The first and the last time.
    pub first_ns: u64,
    /// See there.
    pub last_ns: u64,
    /// For EMFILE: how many descriptors the process may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// The socket is not known: the process holds this listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub by_holder: bool,
}

/// What those who accept at a listener were doing when it began to refuse packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// Whose acceptors.
    pub listener: ListenerId,
    /// The process that had accepted last; of one that nobody has accepted from the main one
    /// of those that hold it.
    pub process: Caller,
    /// How long after the first drop was looked, nanoseconds.
    pub looked_after_ns: u64,
    /// How long before the first drop the last accept was; none: none was seen, or there was
    /// another one since.
    pub last_accept_ns: Option<u64>,
    /// How long after the first drop the last accept was.
    pub accepted_since_ns: Option<u64>,
    /// The thread that did it.
    pub tid: Option<u32>,
    /// Processes that hold the listener and were looked at.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// What these were doing, the most first.
    pub doing: Vec<Doing>,
    /// CPU time of these processes, nanoseconds, in so many nanoseconds before the look.
    pub cpu_ns: Option<u64>,
    /// See there.
    pub cpu_over_ns: Option<u64>,
    /// The processes that were looked at were seen accepting; else they only hold the listener.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub seen_accepting: bool,
    /// `process`, which accepted last, has ended.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub gone: bool,
    /// No packet was refused, but nobody had accepted for long: the moment is that of the look.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub idle: bool,
    /// Who holds the listener, where none of those that were seen accepting is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Caller>,
}

/// What some threads were doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doing {
    /// The kernel's state.
    pub state: State,
    /// The function of the kernel that they sleep in, if that may be known.
    pub wchan: Option<String>,
    /// How many.
    pub threads: u32,
}

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On a CPU, or waiting for one.
    Running,
    /// Until something happens.
    Asleep,
    /// The same, and nothing can interrupt it: mostly a disk.
    Blocked,
    /// By a signal or a debugger.
    Stopped,
    /// Something else, or it is ending.
    Other,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A listener was found, or opened, or its limit has changed.
    Listener(Listener),
    /// A listener was closed, with so many connections in its queue.
    Closed(Closed),
    /// Another `listen()` was called, or a limit has changed.
    Limit(Limit),
    /// Whose a listener is was looked up.
    Identity {
        /// Which.
        listener: ListenerId,
        /// What was found.
        identity: Identity,
    },
    /// A packet was refused.
    Drop(DropEvent),
    /// A client that had been refused has been queued.
    Admitted(Admitted),
    /// It has left the queue.
    Dequeued(Dequeued),
    /// What the acceptors were doing when packets began to be refused.
    Acceptor(Box<Acceptor>),
    /// Calls of `accept()` have failed, or none has while a probe watched for that.
    AcceptErrors(Box<AcceptErrors>),
    /// What a queued connection takes of the kernel's memory was read.
    Memory(Memory),
    /// The totals of one listener were read.
    Count {
        /// Which.
        listener: ListenerId,
        /// What was read.
        count: Box<Count>,
    },
    /// The kernel was asked how deep a queue is.
    Level {
        /// Whose.
        listener: ListenerId,
        /// How deep.
        depth: u32,
        /// The granted backlog.
        limit: u32,
    },
    /// The settings of a network namespace were read.
    Namespace {
        /// Which.
        netns: Netns,
        /// What is set.
        settings: Settings,
    },
    /// A network namespace is compared from here on only: what was before is not known.
    Baseline {
        /// Which.
        netns: Netns,
    },
    /// A network namespace has ended, or nobody lives in it any more: it is not compared again.
    Ended {
        /// Which.
        netns: Netns,
    },
    /// The kernel's own counters of a network namespace were read.
    Counters {
        /// Which.
        netns: Netns,
        /// How far each has moved since the start.
        #[serde(with = "form::reading")]
        moved: Box<Reading>,
    },
    /// Those that were still queued at the end were looked up in the kernel's tables.
    Queued {
        /// Where.
        listener: ListenerId,
        /// Since when the oldest of them has been queued.
        since_ns: u64,
        /// It was queued before the run began: `since_ns` is when that was.
        #[serde(default, skip_serializing_if = "form::is_zero")]
        at_least: bool,
    },
    /// A listener's `sk_drops` was read.
    SkDrops {
        /// Which.
        listener: ListenerId,
        /// How far it has moved since the start.
        moved: Range,
    },
}

/// The end of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Which.
    pub listener: ListenerId,
    /// Connections that were still queued.
    pub depth: u32,
    /// Requests that were still in the SYN queue.
    pub syn_queue: u32,
}

/// Another listen call, or another limit of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Whose.
    pub listener: ListenerId,
    /// What it is now.
    pub now: u32,
    /// What it was.
    pub was: u32,
    /// How deep the queue was.
    pub depth: u32,
    /// The call, if it was seen.
    pub call: Option<Call>,
    /// It is the call that opened it, told late: a packet had met it before it was through.
    #[serde(default)]
    pub opens: bool,
}

/// What moved in the buckets: which, and by how much.
pub type Moves = Vec<(u32, u32)>;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// What.
    pub what: What,
}

/// An address as people know it: an IPv4 client of a `[::]` listener is IPv4.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(any(test, feature = "fixtures"))]
impl DropEvent {
    /// A SYN that a full queue of 16 refused, for tests.
    #[must_use]
    pub fn made_up(client: SocketAddr, isn: u32) -> Self {
        Self {
            listener: ListenerId(1),
            cause: Cause::AcceptQueueFullSyn,
            client,
            isn,
            depth: 17,
            limit: 16,
            syn_queue: 0,
            cpu: 0,
            trough: 0,
            free_ns: 0,
            accepted_ns: 0,
            so_far: None,
            fin: false,
        }
    }
}

impl Listener {
    /// `ipv4` or `ipv6`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        if self.local.is_ipv4() { "ipv4" } else { "ipv6" }
    }

    /// Its main process: of those that hold it, or who called `listen()`.
    #[must_use]
    pub fn process(&self) -> Option<Caller> {
        if let Some(owner) = &self.identity.owner {
            return Some(Caller { pid: owner.main.pid, comm: owner.main.comm.clone() });
        }
        self.call.as_ref()?.caller.clone()
    }

    /// Was less granted than asked for? None: it is not known what was asked for.
    #[must_use]
    pub fn is_cut(&self) -> Option<bool> {
        let call = self.call.as_ref()?;
        call.asked.map(|_| call.is_cut(self.limit))
    }
}

//! Reads the kernel's own counters, so that the model can reconcile its totals with them.
//!
//! The programs' totals and the kernel's counters cannot be read at the same instant. So the
//! kernel's counters are read before and after the totals: a total between the two values agrees.

mod answers;
mod names;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::Range;
use backlog_core::counter::{Counter, Reading, Values};
use backlog_core::event::{Event, Listener, ListenerId, Netns, What};

use crate::host::namespaces::Namespaces;
use crate::host::namespaces::identity::Identify;
use answers::Answer;
pub(crate) use answers::{Answers, Ask};
use names::LOOKS_FOR_NAMES;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct KernelCounters {
    namespaces: Namespaces,
    identify: Identify,
    /// Namespaces that were created during the run, so their counters began at zero.
    new: BTreeSet<Netns>,
    /// The namespace that each inode number's name belongs to.
    named: BTreeMap<u32, Netns>,
    /// How often this interval may still search for names.
    looks_left: u32,
    /// The counters right before and right after the programs started.
    start: BTreeMap<Netns, (Values, Values)>,
    /// The same for the `sk_drops` of the listeners that existed then, by namespace and inode.
    start_drops: HashMap<(Netns, u64), (u32, u32)>,
    /// The counters at the last reading after the programs' totals.
    last: BTreeMap<Netns, Values>,
    /// Namespaces that could not be reached.
    lost: BTreeSet<Netns>,
    /// Where the next turn begins, and the next turn of namespaces without a listener.
    next: u32,
    next_quiet: Netns,
    /// Namespaces that the model has evicted but that may still exist.
    forgotten: BTreeSet<Netns>,
}

impl KernelCounters {
    /// Finds the namespaces of the host.
    pub(crate) fn find() -> Self {
        Self {
            namespaces: Namespaces::find(Path::new("/proc")),
            identify: Identify::default(),
            new: BTreeSet::new(),
            named: BTreeMap::new(),
            looks_left: LOOKS_FOR_NAMES,
            start: BTreeMap::new(),
            start_drops: HashMap::new(),
            last: BTreeMap::new(),
            lost: BTreeSet::new(),
            next: 0,
            next_quiet: Netns::default(),
            forgotten: BTreeSet::new(),
        }
    }

    /// The known namespaces.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Sets how to distinguish namespaces that reuse an inode number.
    pub(crate) fn identify_by(&mut self, identify: Identify) {
        self.identify = identify;
    }

    /// Marks namespaces that were created during the run.
    pub(crate) fn are_new(&mut self, namespaces: impl IntoIterator<Item = Netns>) {
        let known = |netns: &Netns| !self.forgotten.contains(netns);
        self.new.extend(namespaces.into_iter().filter(known));
    }

    /// Searches for namespaces again.
    pub(crate) fn find_again(&mut self) {
        self.namespaces.add(Namespaces::find(Path::new("/proc")));
    }

    /// Sets the counters right before and right after the programs started.
    pub(crate) fn begin(&mut self, before: &Answers, after: &Answers) {
        for (netns, then) in &before.by_netns {
            let now = after.by_netns.get(netns).and_then(|answer| answer.counters);
            if let (Some(first), Some(second)) = (then.counters, now) {
                self.start.insert(*netns, (first, second));
            }
        }
    }

    /// Sets the `sk_drops` of the listeners, before and after the same moment.
    pub(crate) fn begin_listeners(&mut self, before: &Answers, after: &Answers) {
        let first: HashMap<_, _> = before.listed().filter_map(drops_of).collect();
        for (socket, second) in after.listed().filter_map(drops_of) {
            // A listener that did not exist a moment before began at zero.
            let first = first.get(&socket).copied().unwrap_or(0);
            self.start_drops.insert(socket, (first, second));
        }
    }

    /// A listener was opened after the start, so its `sk_drops` begins here. (Its inode number may
    /// have been in use before.)
    pub(crate) fn opened(&mut self, listener: &Listener) {
        if let (true, Some(inode), Some(drops)) =
            (listener.opened_now, listener.inode, listener.sk_drops)
        {
            self.start_drops.insert((listener.netns, inode), (drops, drops));
        }
    }

    /// A listener was closed.
    pub(crate) fn closed(&mut self, listener: &Listener) {
        if let Some(inode) = listener.inode {
            self.start_drops.remove(&(listener.netns, inode));
        }
    }

    /// Adds the changes since the start, from the two readings before and after the totals;
    /// `of_socket` maps an inode to its listener.
    pub(crate) fn events(
        &mut self,
        before: &Answers,
        after: &Answers,
        time_ns: u64,
        of_socket: impl Fn(Netns, u64) -> Option<ListenerId>,
        events: &mut Vec<Event>,
    ) {
        let mut push = |what| events.push(Event { time_ns, what });
        for (netns, answer) in &after.by_netns {
            let netns = *netns;
            push(What::Namespace { netns, settings: answer.settings });
            let then = before.by_netns.get(&netns).and_then(|answer| answer.counters);
            if let (Some(first), Some(last)) = (then, answer.counters) {
                let (start, known) = self.start_of(netns, first);
                if !known {
                    push(What::Baseline { netns });
                }
                let moved = Box::new(moved(&start, &(first, last)));
                self.last.insert(netns, last);
                push(What::Counters { netns, moved });
            }
        }
        for listed in after.listed() {
            if let Some(listener) = of_socket(listed.netns, listed.inode) {
                push(What::DepthSample { listener, depth: listed.depth, limit: listed.limit });
            }
        }
        let first: HashMap<_, _> = before.listed().filter_map(drops_of).collect();
        for (socket, last) in after.listed().filter_map(drops_of) {
            let (netns, inode) = socket;
            let Some(listener) = of_socket(netns, inode) else { continue };
            // Without a start value there is nothing to compare.
            let Some(start) = self.start_drops.get(&socket).copied() else { continue };
            let first = first.get(&socket).copied().unwrap_or(start.1);
            let moved = Range {
                low: first.wrapping_sub(start.1).into(),
                high: last.wrapping_sub(start.0).into(),
            };
            push(What::SkDrops { listener, moved });
        }
    }

    /// Completes the `before` values of namespaces that were only read after the counting had
    /// stopped: their counters had reached at least the values of the last reading. Returns the
    /// number of these namespaces.
    pub(crate) fn fall_back(&self, before: &mut Answers, after: &Answers) -> usize {
        let silent = |netns: &&Netns| !before.by_netns.contains_key(netns);
        let late: Vec<Netns> = after.by_netns.keys().filter(silent).copied().collect();
        for netns in &late {
            let began = self.start.get(netns).map(|(_, second)| *second);
            let zeros = self.new.contains(netns).then_some([Some(0); Counter::COUNT]);
            let counters = self.last.get(netns).copied().or(began).or(zeros);
            if let Some(answer) = after.by_netns.get(netns) {
                let answer = Answer { counters, listed: None, ..answer.clone() };
                before.by_netns.insert(*netns, answer);
            }
        }
        late.len()
    }

    /// The baseline of a namespace's counters, and whether it is known. A namespace created during
    /// the run begins at zero. Any other one that could not be read at the start, and one whose
    /// counters fell because its inode number was reused, begins with this reading.
    fn start_of(&mut self, netns: Netns, now: Values) -> ((Values, Values), bool) {
        let fell = |start: &Values| start.iter().zip(&now).any(|(start, now)| now < start);
        match self.start.get(&netns) {
            Some((first, second)) if !fell(second) => return ((*first, *second), true),
            None if self.new.contains(&netns) => {
                let zeros = [Some(0); Counter::COUNT];
                self.start.insert(netns, (zeros, zeros));
                return ((zeros, zeros), true);
            }
            Some(_) | None => {}
        }
        self.start.insert(netns, (now, now));
        ((now, now), false)
    }
}

fn drops_of(listed: &SockDiagListener) -> Option<((Netns, u64), u32)> {
    Some(((listed.netns, listed.inode), listed.sk_drops?))
}

/// The change of each counter: at least from after the start to before the end, at most from before
/// the start to after the end.
fn moved(start: &(Values, Values), end: &(Values, Values)) -> Reading {
    std::array::from_fn(|index| {
        Some(Range {
            low: end.0[index]?.wrapping_sub(start.1[index]?),
            high: end.1[index]?.wrapping_sub(start.0[index]?),
        })
    })
}

#[cfg(test)]
mod tests;

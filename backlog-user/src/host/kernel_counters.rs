//! Reads the kernel's own counters, so that the model can reconcile.
//!
//! The programs' totals and the kernel's numbers cannot be read in one moment. So the
//! kernel is asked before and after: what lies between the two answers agrees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;

use backlog_core::aggregate::registry::Listed;
use backlog_core::counter::Range;
use backlog_core::counter::{Counter, Reading, Values};
use backlog_core::event::{Event, Listener, ListenerId, Netns, What};
use backlog_core::settings::{Settings, Spread};

use crate::host::kernel::counters;
use crate::host::namespaces::Namespaces;
use crate::host::namespaces::identity::Identify;
use crate::host::sock_diag;

/// Namespaces that are asked at the end of an interval; where there are more, they
/// take turns. At the end of the run all are.
const AT_ONCE: usize = 32;

/// How often an interval searches for names of namespaces because of a new one.
const LOOKS_FOR_NAMES: u32 = 4;

/// The answers of some namespaces at one moment.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_netns: BTreeMap<Netns, Answer>,
    /// Namespaces that could not be asked, in words.
    pub(crate) failures: Vec<String>,
}

/// The answer of one.
#[derive(Clone, Debug)]
struct Answer {
    counters: Option<Values>,
    settings: Settings,
    /// None where only the counters were asked for, or where it failed.
    listed: Option<Vec<Listed>>,
}

/// The namespaces to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The counters alone: quick.
    Counters,
    /// The listeners as well.
    All,
}

impl Answers {
    /// All listeners.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.by_netns.values().flat_map(|answer| answer.listed.iter().flatten())
    }

    /// The settings of the selected namespace, else of those in which something listens.
    pub(crate) fn settings(&self, selected: Option<u32>) -> Option<Spread> {
        if let Some(netns) = selected {
            let mut answers = self.by_netns.iter();
            let answer =
                answers.find(|(other, _)| other.inode() == netns).map(|(_, answer)| answer);
            return Some(answer.map(|answer| answer.settings).unwrap_or_default().into());
        }
        let listens = |answer: &&Answer| answer.listed.as_ref().is_some_and(|all| !all.is_empty());
        Spread::of(self.by_netns.values().filter(listens).map(|answer| answer.settings))
    }

    /// Takes over the counters of other answers, given at a better moment.
    pub(crate) fn update(&mut self, counters: Self) {
        for (netns, other) in counters.by_netns {
            if let Some(answer) = self.by_netns.get_mut(&netns) {
                answer.counters = other.counters;
            }
        }
    }

    /// Leaves out the listeners that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Listed) -> bool) {
        for answer in self.by_netns.values_mut() {
            if let Some(listed) = &mut answer.listed {
                listed.retain(&wanted);
            }
        }
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct KernelCounters {
    namespaces: Namespaces,
    identify: Identify,
    /// Those that were made during the run: their counters began with zeros.
    new: BTreeSet<Netns>,
    /// The namespace behind each inode number, as far as names are concerned.
    named: BTreeMap<u32, Netns>,
    /// How often names may still be looked for in this interval.
    looks_left: u32,
    /// The counters right before and right after the programs began.
    start: BTreeMap<Netns, (Values, Values)>,
    /// Likewise the `sk_drops` of the listeners that were there, by namespace and inode.
    start_drops: HashMap<(Netns, u64), (u32, u32)>,
    /// Namespaces to which no way was found.
    lost: BTreeSet<Netns>,
    /// Where the next turn begins.
    next: u32,
}

impl KernelCounters {
    /// Looks for the namespaces.
    pub(crate) fn find() -> Self {
        Self {
            namespaces: Namespaces::find(Path::new("/proc")),
            identify: Identify::default(),
            new: BTreeSet::new(),
            named: BTreeMap::new(),
            looks_left: LOOKS_FOR_NAMES,
            start: BTreeMap::new(),
            start_drops: HashMap::new(),
            lost: BTreeSet::new(),
            next: 0,
        }
    }

    /// Those that are known.
    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// From here on this distinguishes namespaces with the same inode number.
    pub(crate) fn identify_by(&mut self, identify: Identify) {
        self.identify = identify;
    }

    /// Distinguishes a network namespace from later ones with its inode number; `held` is the same
    /// namespace, open since it was named. None: unknown.
    pub(crate) fn identity_of(&self, netns: u32, held: Option<File>) -> Option<u32> {
        let identify = self.identify.clone();
        let look = move || Ok(identify.here());
        let found = match held {
            Some(file) => self.namespaces.inside_open(netns, file, look),
            None => self.namespaces.inside(netns, look),
        };
        found.ok().flatten()
    }

    /// These were made during the run.
    pub(crate) fn are_new(&mut self, namespaces: impl IntoIterator<Item = Netns>) {
        self.new.extend(namespaces);
    }

    /// The name of a namespace. Names are found by inode number: if another namespace had that
    /// number before, the search is repeated.
    pub(crate) fn name(&mut self, netns: Netns) -> Option<String> {
        let known = self.named.get(&netns.inode()).copied();
        if known != Some(netns) && (known.is_some() || self.new.contains(&netns)) {
            if self.looks_left == 0 {
                return None;
            }
            self.looks_left -= 1;
            self.find_again();
        }
        self.named.insert(netns.inode(), netns);
        self.known_name(netns)
    }

    /// The same without a look.
    pub(crate) fn known_name(&self, netns: Netns) -> Option<String> {
        let inode = netns.inode();
        let known = self.named.get(&inode).is_none_or(|known| *known == netns);
        known.then(|| self.namespaces.name_of(inode)).flatten()
    }

    /// Looks for namespaces once more.
    pub(crate) fn find_again(&mut self) {
        self.namespaces.add(Namespaces::find(Path::new("/proc")));
    }

    /// Asks every namespace.
    pub(crate) fn ask_all(&self, what: Ask) -> Answers {
        self.ask(self.namespaces.inodes().map(Netns::from), what)
    }

    /// Asks some. Another one may have the inode number by now: then that one answers.
    pub(crate) fn ask(&self, namespaces: impl IntoIterator<Item = Netns>, what: Ask) -> Answers {
        let mut answers = Answers::default();
        let inodes: BTreeSet<u32> = namespaces.into_iter().map(Netns::inode).collect();
        for inode in inodes {
            let (answer, failure) = self.ask_one(inode, what);
            answers.by_netns.extend(answer);
            let words = |why| format!("network namespace {inode} is not inspected: {why}");
            answers.failures.extend(failure.map(words));
        }
        answers
    }

    fn ask_one(&self, inode: u32, what: Ask) -> (Option<(Netns, Answer)>, Option<String>) {
        let identify = self.identify.clone();
        let asked = self.namespaces.inside(inode, move || {
            let netns = Netns::new(inode, identify.here().unwrap_or(0));
            let counters = counters::read(Path::new("/proc/thread-self/net"));
            let settings = crate::host::kernel::settings::read(Path::new("/"));
            let listed = (what == Ask::All).then(|| sock_diag::dump(netns)).transpose();
            Ok((netns, counters, settings, listed))
        });
        let words = |error| format!("{error:#}");
        match asked {
            Ok((netns, counters, settings, Ok(listed))) => {
                (Some((netns, Answer { counters, settings, listed })), None)
            }
            Ok((netns, counters, settings, Err(error))) => {
                let answer = Answer { counters, settings, listed: None };
                (Some((netns, answer)), Some(words(error)))
            }
            Err(error) => (None, Some(words(error))),
        }
    }

    /// Takes the counters of right before and right after the programs began.
    pub(crate) fn begin(&mut self, before: &Answers, after: &Answers) {
        for (netns, then) in &before.by_netns {
            let now = after.by_netns.get(netns).and_then(|answer| answer.counters);
            if let (Some(first), Some(second)) = (then.counters, now) {
                self.start.insert(*netns, (first, second));
            }
        }
    }

    /// Takes the `sk_drops` of the listeners, of before and after the same moment.
    pub(crate) fn begin_listeners(&mut self, before: &Answers, after: &Answers) {
        let first: HashMap<_, _> = before.listed().filter_map(drops_of).collect();
        for (socket, second) in after.listed().filter_map(drops_of) {
            // One that was not there a moment before began with zero.
            let first = first.get(&socket).copied().unwrap_or(0);
            self.start_drops.insert(socket, (first, second));
        }
    }

    /// A listener was opened after the start: that is where its `sk_drops` begins. (Its
    /// inode number may have been another's before.)
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

    /// Those of `wanted` (sorted) whose turn it is; if one of them is unknown, searches for a path
    /// to it.
    pub(crate) fn turn(&mut self, wanted: &[Netns]) -> Vec<Netns> {
        self.looks_left = LOOKS_FOR_NAMES;
        self.look_for(wanted);
        let reaches = |netns: &&Netns| self.namespaces.reaches(netns.inode());
        // Those that are gone do not answer, and need no turn for that.
        let (here, mut turn): (Vec<Netns>, Vec<Netns>) = wanted.iter().partition(reaches);
        turn.extend(self.turn_of(&here));
        turn
    }

    /// The same for existing ones: all whose inode numbers have their turn.
    fn turn_of(&mut self, here: &[Netns]) -> Vec<Netns> {
        let inodes: BTreeSet<u32> = here.iter().map(|netns| netns.inode()).collect();
        if inodes.len() <= AT_ONCE {
            return here.to_vec();
        }
        let fresh = here.iter().filter(|netns| !self.start.contains_key(netns));
        let fresh: BTreeSet<u32> = fresh.map(|netns| netns.inode()).collect();
        let mut turn: Vec<u32> = inodes.range(self.next..).copied().collect();
        turn.extend(inodes.range(..self.next));
        // Those that have not been compared may be over soon.
        turn.sort_by_key(|inode| !fresh.contains(inode));
        turn.truncate(AT_ONCE);
        // Behind the last one that has its turn now.
        self.next = turn.last().map_or(0, |last| last + 1);
        here.iter().filter(|netns| turn.contains(&netns.inode())).copied().collect()
    }

    /// All of these; searches for them once more.
    pub(crate) fn turn_of_all(&mut self, wanted: &[Netns]) -> Vec<Netns> {
        self.lost.clear();
        self.look_for(wanted);
        wanted.to_vec()
    }

    /// Makes sure that there is a way to each of these, if there can be one.
    fn look_for(&mut self, wanted: &[Netns]) {
        let reaches = |kernel_counters: &Self, netns: &Netns| {
            kernel_counters.namespaces.reaches(netns.inode())
        };
        let astray = |netns: &&Netns| !reaches(self, netns) && !self.lost.contains(netns);
        let astray: Vec<Netns> = wanted.iter().filter(astray).copied().collect();
        if astray.is_empty() {
            return;
        }
        self.find_again();
        // Not again at each interval.
        let lost: Vec<Netns> = astray.into_iter().filter(|netns| !reaches(self, netns)).collect();
        self.lost.extend(lost);
    }

    /// Those without an open listener that did not answer because they have ended. They are
    /// removed.
    pub(crate) fn ended(&mut self, quiet: &[Netns], answers: &Answers) -> Vec<Netns> {
        let silent = |netns: &&Netns| !answers.by_netns.contains_key(netns);
        let silent: Vec<Netns> = quiet.iter().filter(silent).copied().collect();
        if silent.is_empty() {
            return silent;
        }
        // The process by which it was entered may have ended, and others live in it.
        self.find_again();
        let over = |netns: &Netns| {
            let inode = netns.inode();
            let succeeded = answers.by_netns.keys().any(|other| other.inode() == inode);
            succeeded || (!self.namespaces.reaches(inode) && self.namespaces.may_enter(inode))
        };
        let ended: Vec<Netns> = silent.into_iter().filter(over).collect();
        for netns in &ended {
            self.start.remove(netns);
            self.new.remove(netns);
            self.lost.remove(netns);
            if self.named.get(&netns.inode()) == Some(netns) {
                self.named.remove(&netns.inode());
            }
        }
        ended
    }

    /// The change since the start, from the two readings before and after the totals; `of_socket`
    /// maps an inode to its listener.
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
                push(What::Counters { netns, moved });
            }
        }
        for listed in after.listed() {
            if let Some(listener) = of_socket(listed.netns, listed.inode) {
                push(What::Level { listener, depth: listed.depth, limit: listed.limit });
            }
        }
        let first: HashMap<_, _> = before.listed().filter_map(drops_of).collect();
        for (socket, last) in after.listed().filter_map(drops_of) {
            let (netns, inode) = socket;
            let Some(listener) = of_socket(netns, inode) else { continue };
            // Without a beginning there is nothing to compare with.
            let Some(start) = self.start_drops.get(&socket).copied() else { continue };
            let first = first.get(&socket).copied().unwrap_or(start.1);
            let moved = Range {
                low: first.wrapping_sub(start.1).into(),
                high: last.wrapping_sub(start.0).into(),
            };
            push(What::SkDrops { listener, moved });
        }
    }

    /// The baseline of a namespace's counters, and whether it is known. A namespace created during
    /// the run begins with zeros. Any other one that could not be read at the start, and one whose
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

fn drops_of(listed: &Listed) -> Option<((Netns, u64), u32)> {
    Some(((listed.netns, listed.inode), listed.sk_drops?))
}

/// How far each counter has moved: at least from after the start to before the end, at
/// most from before the start to after the end.
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

//! Asks the kernel what it has counted itself, so that the book can compare.
//!
//! The programs' totals and the kernel's numbers cannot be read in one moment. So the
//! kernel is asked before and after: what lies between the two answers agrees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::counter::{Counter, Reading, Values};
use crate::event::{Event, Listener, ListenerId, Range, What};
use crate::kernel::counters;
use crate::kernel::settings::{Settings, Spread};
use crate::listeners;
use crate::namespaces::Namespaces;
use crate::registry::Listed;

/// Namespaces that are asked at the end of an interval; where there are more, they
/// take turns. At the end of the run all are.
const AT_ONCE: usize = 32;

/// The answers of some namespaces at one moment.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_netns: BTreeMap<u32, Answer>,
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

/// What is asked.
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
            let answer = self.by_netns.get(&netns);
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
pub(crate) struct Judge {
    namespaces: Namespaces,
    /// The counters right before and right after the programs began.
    start: BTreeMap<u32, (Values, Values)>,
    /// Likewise the `sk_drops` of the listeners that were there, by namespace and inode.
    start_drops: HashMap<(u32, u64), (u32, u32)>,
    /// Namespaces to which no way was found.
    lost: BTreeSet<u32>,
    /// Where the next turn begins.
    next: u32,
}

impl Judge {
    /// Looks for the namespaces.
    pub(crate) fn find() -> Self {
        Self {
            namespaces: Namespaces::find(Path::new("/proc")),
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

    /// Looks for namespaces once more.
    pub(crate) fn find_again(&mut self) {
        self.namespaces.add(Namespaces::find(Path::new("/proc")));
    }

    /// Asks every namespace.
    pub(crate) fn ask_all(&self, what: Ask) -> Answers {
        self.ask(self.namespaces.inodes(), what)
    }

    /// Asks some.
    pub(crate) fn ask(&self, namespaces: impl IntoIterator<Item = u32>, what: Ask) -> Answers {
        let mut answers = Answers::default();
        for netns in namespaces {
            let (answer, failure) = self.ask_one(netns, what);
            answers.by_netns.extend(answer.map(|answer| (netns, answer)));
            let words = |why| format!("network namespace {netns} is not looked into: {why}");
            answers.failures.extend(failure.map(words));
        }
        answers
    }

    fn ask_one(&self, netns: u32, what: Ask) -> (Option<Answer>, Option<String>) {
        let asked = self.namespaces.inside(netns, move || {
            let counters = counters::read(Path::new("/proc/thread-self/net"));
            let settings = Settings::read(Path::new("/"));
            let listed = (what == Ask::All).then(|| listeners::dump(netns)).transpose();
            Ok((counters, settings, listed))
        });
        let words = |error| format!("{error:#}");
        match asked {
            Ok((counters, settings, Ok(listed))) => {
                (Some(Answer { counters, settings, listed }), None)
            }
            Ok((counters, settings, Err(error))) => {
                (Some(Answer { counters, settings, listed: None }), Some(words(error)))
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

    /// Those of `wanted` (sorted) whose turn it is; if one of them is not known yet, the
    /// way to it is looked for.
    pub(crate) fn turn(&mut self, wanted: &[u32]) -> Vec<u32> {
        let mut turn: Vec<u32> = wanted.to_vec();
        if turn.len() > AT_ONCE {
            let first = turn.partition_point(|netns| *netns < self.next);
            turn.rotate_left(first);
            turn.truncate(AT_ONCE);
            self.next = turn.last().map_or(0, |last| last.wrapping_add(1));
        }
        self.look_for(&turn);
        turn
    }

    /// All of these; they are looked for once more.
    pub(crate) fn turn_of_all(&mut self, wanted: &[u32]) -> Vec<u32> {
        self.lost.clear();
        self.look_for(wanted);
        wanted.to_vec()
    }

    /// Makes sure that there is a way to each of these, if there can be one.
    fn look_for(&mut self, wanted: &[u32]) {
        let astray = |netns: &&u32| !self.namespaces.reaches(**netns) && !self.lost.contains(netns);
        let astray: Vec<u32> = wanted.iter().filter(astray).copied().collect();
        if astray.is_empty() {
            return;
        }
        self.find_again();
        // Not again at each interval.
        self.lost.extend(astray.iter().filter(|netns| !self.namespaces.reaches(**netns)));
    }

    /// What the two answers, before and after the totals were read, say of the time
    /// since the start; `of_socket` tells which listener has an inode.
    pub(crate) fn events(
        &mut self,
        before: &Answers,
        after: &Answers,
        time_ns: u64,
        of_socket: impl Fn(u32, u64) -> Option<ListenerId>,
        events: &mut Vec<Event>,
    ) {
        let mut push = |what| events.push(Event { time_ns, what });
        for (netns, answer) in &after.by_netns {
            let netns = *netns;
            push(What::Namespace { netns, settings: answer.settings });
            let then = before.by_netns.get(&netns).and_then(|answer| answer.counters);
            if let (Some(first), Some(last)) = (then, answer.counters) {
                let (start, known) = self.start_of(netns, answer, first);
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

    /// Where the counters of a namespace began, and whether that is known. A namespace
    /// that was not there at the start began with zeros if we have seen each of its
    /// listeners being opened; else, and where the number is another namespace's by now
    /// (its counters fell), it begins with this reading.
    fn start_of(&mut self, netns: u32, answer: &Answer, now: Values) -> ((Values, Values), bool) {
        let fell = |start: &Values| start.iter().zip(&now).any(|(start, now)| now < start);
        match self.start.get(&netns) {
            Some((first, second)) if !fell(second) => return ((*first, *second), true),
            Some(_) => {}
            None => {
                let mut listed = answer.listed.iter().flatten().filter_map(drops_of);
                if listed.all(|(socket, _)| self.start_drops.contains_key(&socket)) {
                    let zeros = [Some(0); Counter::COUNT];
                    self.start.insert(netns, (zeros, zeros));
                    return ((zeros, zeros), true);
                }
            }
        }
        self.start.insert(netns, (now, now));
        ((now, now), false)
    }
}

fn drops_of(listed: &Listed) -> Option<((u32, u64), u32)> {
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

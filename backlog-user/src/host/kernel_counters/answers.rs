//! Queries the kernel in network namespaces, and holds its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::Values;
use backlog_core::event::Netns;
use backlog_core::settings::{Settings, Spread};

use super::KernelCounters;
use crate::clock::monotonic_ns;
use crate::host::kernel::{counters, settings};
use crate::host::sock_diag;

/// The answers of some namespaces at one time.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(super) by_netns: BTreeMap<Netns, Answer>,
    /// Namespaces that could not be queried, as text.
    pub(crate) failures: Vec<String>,
}

/// The answer of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) counters: Option<Values>,
    pub(super) settings: Settings,
    /// None if only the counters were requested, or if it failed.
    pub(super) listed: Option<Vec<SockDiagListener>>,
    /// When all of this had been read.
    pub(super) read_ns: u64,
}

/// What to read in the namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Only the counters, which is fast.
    Counters,
    /// The listeners as well.
    All,
}

impl Answers {
    /// All listeners.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &SockDiagListener> {
        self.by_netns.values().flat_map(|answer| answer.listed.iter().flatten())
    }

    /// The settings of the selected namespace, or else of those with listeners.
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

    /// Replaces the counters by those of other answers, read at a better time.
    pub(crate) fn update(&mut self, counters: Self) {
        for (netns, other) in counters.by_netns {
            if let Some(answer) = self.by_netns.get_mut(&netns) {
                answer.counters = other.counters;
            }
        }
    }

    /// Removes the answers that were read after this time.
    pub(crate) fn given_by(mut self, time_ns: u64) -> Self {
        self.by_netns.retain(|_, answer| answer.read_ns <= time_ns);
        self
    }

    /// Removes the listeners that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&SockDiagListener) -> bool) {
        for answer in self.by_netns.values_mut() {
            if let Some(listed) = &mut answer.listed {
                listed.retain(&wanted);
            }
        }
    }
}

impl KernelCounters {
    /// Queries every namespace.
    pub(crate) fn ask_all(&self, what: Ask) -> Answers {
        self.ask(self.namespaces.inodes().map(Netns::from), what)
    }

    /// Queries some namespaces. If another one has reused the inode number, it answers instead.
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
            let settings = settings::read(Path::new("/"));
            let listed = (what == Ask::All).then(|| sock_diag::dump(netns)).transpose();
            Ok((netns, counters, settings, listed, monotonic_ns()))
        });
        let words = |error| format!("{error:#}");
        match asked {
            Ok((netns, counters, settings, Ok(listed), read_ns)) => {
                (Some((netns, Answer { counters, settings, listed, read_ns })), None)
            }
            Ok((netns, counters, settings, Err(error), read_ns)) => {
                let answer = Answer { counters, settings, listed: None, read_ns };
                (Some((netns, answer)), Some(words(error)))
            }
            Err(error) => (None, Some(words(error))),
        }
    }
}

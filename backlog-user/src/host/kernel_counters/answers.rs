//! What the kernel answers in a network namespace, and how it is asked.

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

/// The answers of some namespaces at one moment.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(super) by_netns: BTreeMap<Netns, Answer>,
    /// Namespaces that could not be asked, in words.
    pub(crate) failures: Vec<String>,
}

/// The answer of one.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) counters: Option<Values>,
    pub(super) settings: Settings,
    /// None where only the counters were asked for, or where it failed.
    pub(super) listed: Option<Vec<SockDiagListener>>,
    /// When all of this had been read.
    pub(super) read_ns: u64,
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
    pub(crate) fn listed(&self) -> impl Iterator<Item = &SockDiagListener> {
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

    /// Leaves out the answers given after this moment.
    pub(crate) fn given_by(mut self, time_ns: u64) -> Self {
        self.by_netns.retain(|_, answer| answer.read_ns <= time_ns);
        self
    }

    /// Leaves out the listeners that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&SockDiagListener) -> bool) {
        for answer in self.by_netns.values_mut() {
            if let Some(listed) = &mut answer.listed {
                listed.retain(&wanted);
            }
        }
    }
}

impl KernelCounters {
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

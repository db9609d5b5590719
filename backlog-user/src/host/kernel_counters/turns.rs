//! Chooses the network namespaces to query in an interval, and finds those that have ended.

use std::collections::BTreeSet;

use backlog_core::event::Netns;

use super::answers::{Answers, Ask};
use super::{KernelCounters, LOOKS_FOR_NAMES};

/// The maximum number of namespaces to query at the end of an interval; if there are more, they
/// take turns. At the end of the run all are queried.
pub(super) const AT_ONCE: usize = 32;

/// Namespaces without a listener are only checked for their end: this many per interval.
const QUIET_AT_ONCE: usize = 8;

impl KernelCounters {
    /// The namespaces of `wanted` (sorted) whose turn it is. Searches for a path to those that are
    /// unknown.
    pub(crate) fn turn(&mut self, wanted: &[Netns]) -> Vec<Netns> {
        self.looks_left = LOOKS_FOR_NAMES;
        self.look_for(wanted);
        let reaches = |netns: &&Netns| self.namespaces.reaches(netns.inode());
        // Those that are gone do not answer, so they need no turn.
        let (here, mut turn): (Vec<Netns>, Vec<Netns>) = wanted.iter().partition(reaches);
        turn.extend(self.turn_of(&here));
        turn
    }

    /// The namespaces whose inode number has its turn; all of them exist.
    pub(super) fn turn_of(&mut self, here: &[Netns]) -> Vec<Netns> {
        let inodes: BTreeSet<u32> = here.iter().map(|netns| netns.inode()).collect();
        if inodes.len() <= AT_ONCE {
            return here.to_vec();
        }
        let fresh = here.iter().filter(|netns| !self.start.contains_key(netns));
        let fresh: BTreeSet<u32> = fresh.map(|netns| netns.inode()).collect();
        let mut turn: Vec<u32> = inodes.range(self.next..).copied().collect();
        turn.extend(inodes.range(..self.next));
        // Those that were never compared come first, since they may be short-lived.
        turn.sort_by_key(|inode| !fresh.contains(inode));
        turn.truncate(AT_ONCE);
        // Continue after the last one that has its turn now.
        self.next = turn.last().map_or(0, |last| last + 1);
        here.iter().filter(|netns| turn.contains(&netns.inode())).copied().collect()
    }

    /// All of these, after another search for paths to them.
    pub(crate) fn turn_of_all(&mut self, wanted: &[Netns]) -> Vec<Netns> {
        self.lost.clear();
        self.look_for(wanted);
        wanted.to_vec()
    }

    /// Searches for a path to those namespaces that cannot be reached.
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
        // Do not repeat the search at each interval.
        let lost: Vec<Netns> = astray.into_iter().filter(|netns| !reaches(self, netns)).collect();
        self.lost.extend(lost);
    }

    /// Finds those without an open listener that did not answer because they have ended, and
    /// removes them.
    pub(crate) fn ended(&mut self, quiet: &[Netns], answers: &Answers) -> Vec<Netns> {
        let silent = |netns: &&Netns| !answers.by_netns.contains_key(netns);
        let silent: Vec<Netns> = quiet.iter().filter(silent).copied().collect();
        if silent.is_empty() {
            return silent;
        }
        // The process that gave access may have ended, while others live in the namespace.
        self.find_again();
        let over = |netns: &Netns| {
            let inode = netns.inode();
            let succeeded = answers.by_netns.keys().any(|other| other.inode() == inode);
            succeeded || (!self.namespaces.reaches(inode) && self.namespaces.may_enter(inode))
        };
        let ended: Vec<Netns> = silent.into_iter().filter(over).collect();
        for netns in &ended {
            self.forget(*netns);
            self.forgotten.remove(netns);
        }
        ended
    }

    /// Finds ended namespaces among those without a listener; each interval checks a few of them.
    pub(crate) fn quiet_ended(&mut self, quiet: &[Netns]) -> Vec<Netns> {
        let all: BTreeSet<Netns> = quiet.iter().chain(&self.forgotten).copied().collect();
        let may_enter = |netns: &&Netns| self.namespaces.may_enter(netns.inode());
        let next = self.next_quiet;
        let behind = all.range(next..).chain(all.range(..next));
        let turn: Vec<Netns> = behind.filter(may_enter).take(QUIET_AT_ONCE).copied().collect();
        let Some(last) = turn.last() else { return Vec::new() };
        self.next_quiet = last.next();
        let answers = self.ask(turn.iter().copied(), Ask::Counters);
        self.ended(&turn, &answers)
    }

    /// The model has evicted these, although they may still exist. If a listener opens there again,
    /// the next reading is the start value, even for a namespace that was created during the run.
    pub(crate) fn forget_quiet(&mut self, namespaces: &[Netns]) {
        for netns in namespaces {
            self.forget(*netns);
            // Namespaces that cannot be entered are never compared.
            if self.namespaces.may_enter(netns.inode()) {
                self.forgotten.insert(*netns);
            }
        }
    }

    fn forget(&mut self, netns: Netns) {
        self.start.remove(&netns);
        self.last.remove(&netns);
        self.new.remove(&netns);
        self.lost.remove(&netns);
        if self.named.get(&netns.inode()) == Some(&netns) {
            self.named.remove(&netns.inode());
        }
    }
}

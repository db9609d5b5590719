//! Which network namespaces are asked in an interval, and which of them have ended.

use std::collections::BTreeSet;

use backlog_core::event::Netns;

use super::answers::{Answers, Ask};
use super::{KernelCounters, LOOKS_FOR_NAMES};

/// Namespaces that are asked at the end of an interval; where there are more, they
/// take turns. At the end of the run all are.
pub(super) const AT_ONCE: usize = 32;

/// Namespaces without a listener are only checked for their end: this many per interval.
const QUIET_AT_ONCE: usize = 8;

impl KernelCounters {
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
    pub(super) fn turn_of(&mut self, here: &[Netns]) -> Vec<Netns> {
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
            self.forget(*netns);
            self.forgotten.remove(netns);
        }
        ended
    }

    /// Which of these namespaces without a listener have ended: a few are checked in each interval.
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

    /// The model has forgotten these, though they may still be there. If a listener opens there
    /// again, its namespace is compared from the next reading on, even one that was made during
    /// the run.
    pub(crate) fn forget_quiet(&mut self, namespaces: &[Netns]) {
        for netns in namespaces {
            self.forget(*netns);
            // Others are never compared.
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

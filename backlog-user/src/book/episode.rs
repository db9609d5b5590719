//! Episodes: the drops of a listener with no gap of a second between two of them, and what
//! the acceptor was doing when each began.

use serde::{Deserialize, Serialize};

use crate::event::Acceptor;

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episode {
    /// When the first and the last packet were refused.
    pub(crate) begin_ns: u64,
    pub(crate) last_ns: u64,
    /// Refused packets, those that are only counted included.
    pub(crate) packets: u64,
    /// Clients that were refused for the first time, as far as they were told.
    pub(crate) clients: u64,
    /// What the acceptor was doing when it began.
    pub(crate) acceptor: Option<Box<Acceptor>>,
}

/// All of a listener, in order of time. Of too many the first and the last are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episodes {
    kept: Vec<Episode>,
    /// How many there have been.
    count: u64,
}

/// A longer gap ends an episode, and a run of drops of one cause.
pub(crate) const GAP_NS: u64 = 1_000_000_000;

/// Episodes of a listener that are kept.
const MOST: usize = 128;

impl Episodes {
    /// Those that are kept.
    pub(crate) fn kept(&self) -> &[Episode] {
        &self.kept
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// A packet was refused. True: it begins an episode.
    pub(crate) fn refused(&mut self, time_ns: u64, new_client: bool) -> bool {
        let begins = self.add(time_ns, 1);
        if let Some(last) = self.kept.last_mut() {
            last.clients += u64::from(new_client);
        }
        begins
    }

    /// So many were counted since the last time that have no record.
    pub(crate) fn counted(&mut self, time_ns: u64, untold: u64) {
        if untold > 0 {
            self.add(time_ns, untold);
        }
    }

    /// What the acceptor was doing at the beginning of the last one.
    pub(crate) fn explain(&mut self, acceptor: &Acceptor) {
        if let Some(last) = self.kept.last_mut()
            && last.acceptor.is_none()
        {
            last.acceptor = Some(Box::new(acceptor.clone()));
        }
    }

    fn add(&mut self, time_ns: u64, packets: u64) -> bool {
        match self.kept.last_mut() {
            Some(last) if time_ns.saturating_sub(last.last_ns) <= GAP_NS => {
                last.last_ns = last.last_ns.max(time_ns);
                last.packets += packets;
                false
            }
            _ => {
                self.count += 1;
                if self.kept.len() >= MOST {
                    self.kept.remove(MOST / 2);
                }
                self.kept.push(Episode {
                    begin_ns: time_ns,
                    last_ns: time_ns,
                    packets,
                    clients: 0,
                    acceptor: None,
                });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Episodes, GAP_NS, MOST};

    #[test]
    fn a_gap_ends_an_episode_and_what_is_only_counted_keeps_it_alive() {
        let mut episodes = Episodes::default();
        assert!(episodes.refused(GAP_NS, true));
        assert!(!episodes.refused(2 * GAP_NS, false));
        episodes.counted(2 * GAP_NS + 10, 3);
        assert!(!episodes.refused(3 * GAP_NS + 10, true));
        assert!(episodes.refused(4 * GAP_NS + 11, true));
        let found: Vec<_> =
            episodes.kept().iter().map(|one| (one.begin_ns, one.packets, one.clients)).collect();
        assert_eq!(found, [(GAP_NS, 6, 2), (4 * GAP_NS + 11, 1, 1)]);
    }

    #[test]
    fn of_too_many_the_first_and_the_last_are_kept() {
        let mut episodes = Episodes::default();
        for index in 0..1000 {
            episodes.refused(index * 3 * GAP_NS, true);
        }
        assert_eq!((episodes.count(), episodes.kept().len()), (1000, MOST));
        assert_eq!(episodes.kept()[0].begin_ns, 0);
        assert_eq!(episodes.kept()[MOST - 1].begin_ns, 999 * 3 * GAP_NS);
    }
}

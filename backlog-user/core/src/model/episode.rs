//! Episodes: runs of drops at a listener without a gap of a second, with the state of the acceptor
//! when each began. A client that is refused for the first time begins an episode; retries alone do
//! not, since they follow from an earlier one.

use serde::{Deserialize, Serialize};

use crate::event::Acceptor;

/// One episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When the first packet was refused.
    pub begin_ns: u64,
    /// When the last one was.
    pub last_ns: u64,
    /// Refused packets, including those that were only counted.
    pub packets: u64,
    /// How many of `packets` were only counted, so that their clients are unknown.
    #[serde(default)]
    pub without_record: u64,
    /// Clients refused for the first time, as far as their drops were recorded.
    pub clients: u64,
    /// The state of the acceptor when the episode began.
    pub acceptor: Option<Box<Acceptor>>,
}

/// How many clients an episode refused for the first time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NewClients {
    /// Every drop has a record.
    Exactly(u64),
    /// Some drops are only counted.
    AtLeast(u64),
    /// No drop has a record.
    Unknown,
}

impl Episode {
    /// How many clients it refused for the first time, as far as that is known.
    #[must_use]
    pub fn new_clients(&self) -> NewClients {
        match (self.clients, self.without_record) {
            (clients, 0) => NewClients::Exactly(clients),
            (0, _) => NewClients::Unknown,
            (clients, _) => NewClients::AtLeast(clients),
        }
    }
}

/// The episodes of a listener in order of time. If there are too many, the first and the last ones
/// are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Episodes {
    kept: Vec<Episode>,
    /// The number of all episodes.
    count: u64,
    /// How many of these have no record of a new client. They may consist only of retries.
    #[serde(default)]
    unconfirmed: u64,
}

/// A longer gap ends an episode, and a run of drops of one cause.
pub const GAP_NS: u64 = 1_000_000_000;

/// The most episodes of a listener that are kept.
const MOST: usize = 128;

impl Episodes {
    /// The episodes that are kept.
    #[must_use]
    pub fn kept(&self) -> &[Episode] {
        &self.kept
    }

    /// The number of all episodes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of episodes that refused a client for the first time.
    #[must_use]
    pub fn independent(&self) -> u64 {
        self.count.saturating_sub(self.unconfirmed)
    }

    /// Adds a refused packet. Returns true if it begins an episode.
    pub fn refused(&mut self, time_ns: u64, new_client: bool) -> bool {
        let goes_on = self.goes_on(time_ns, GAP_NS);
        if !goes_on && !new_client {
            return false;
        }
        self.add(time_ns, 1, goes_on);
        if let Some(last) = self.kept.last_mut()
            && new_client
        {
            if goes_on && last.clients == 0 {
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
            }
            last.clients += 1;
        }
        !goes_on
    }

    /// Adds drops without a record, counted in an interval that ends now. Their clients are
    /// unknown.
    pub fn counted(&mut self, time_ns: u64, elapsed_ns: u64, without_record: u64) {
        if without_record == 0 {
            return;
        }
        let goes_on = self.goes_on(time_ns, elapsed_ns.max(GAP_NS));
        self.unconfirmed += u64::from(!goes_on);
        self.add(time_ns, without_record, goes_on);
        if let Some(last) = self.kept.last_mut() {
            last.without_record = last.without_record.saturating_add(without_record);
        }
    }

    /// Adds the state of the acceptor when the last episode began.
    pub fn explain(&mut self, acceptor: &Acceptor) {
        if let Some(last) = self.kept.last_mut()
            && last.acceptor.is_none()
        {
            last.acceptor = Some(Box::new(acceptor.clone()));
        }
    }

    /// Enforces the bound: a recording may have more.
    pub(super) fn bound(&mut self) {
        let surplus = self.kept.len().saturating_sub(MOST);
        if surplus > 0 {
            self.kept.drain(MOST / 2..MOST / 2 + surplus);
        }
    }

    /// Whether the last episode ended at most `gap_ns` ago.
    fn goes_on(&self, time_ns: u64, gap_ns: u64) -> bool {
        self.kept.last().is_some_and(|last| time_ns.saturating_sub(last.last_ns) <= gap_ns)
    }

    fn add(&mut self, time_ns: u64, packets: u64, goes_on: bool) {
        if let Some(last) = self.kept.last_mut().filter(|_| goes_on) {
            last.last_ns = last.last_ns.max(time_ns);
            last.packets = last.packets.saturating_add(packets);
            return;
        }
        self.count += 1;
        if self.kept.len() >= MOST {
            self.kept.remove(MOST / 2);
        }
        let (begin_ns, last_ns) = (time_ns, time_ns);
        self.kept.push(Episode {
            begin_ns,
            last_ns,
            packets,
            without_record: 0,
            clients: 0,
            acceptor: None,
        });
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
        episodes.counted(2 * GAP_NS + 10, GAP_NS, 3);
        assert!(!episodes.refused(3 * GAP_NS + 10, true));
        assert!(episodes.refused(4 * GAP_NS + 11, true));
        let found: Vec<_> =
            episodes.kept().iter().map(|one| (one.begin_ns, one.packets, one.clients)).collect();
        assert_eq!(found, [(GAP_NS, 6, 2), (4 * GAP_NS + 11, 1, 1)]);
    }

    #[test]
    fn clients_of_drops_without_a_record_are_unknown() {
        let mut episodes = Episodes::default();
        episodes.refused(GAP_NS, true);
        episodes.counted(GAP_NS + 10, GAP_NS, 3);
        episodes.counted(9 * GAP_NS, GAP_NS, 5);
        let without_record: Vec<_> = episodes
            .kept()
            .iter()
            .map(|one| (one.packets, one.without_record, one.clients))
            .collect();
        assert_eq!(without_record, [(4, 3, 1), (5, 5, 0)]);
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

    #[test]
    fn retries_alone_begin_no_episode() {
        let mut episodes = Episodes::default();
        // A burst at listen(0) and its retries at 1, 3 and 7 s.
        for (second, new_client) in [(0, true), (1, false), (3, false), (7, false)] {
            for client in 0..11 {
                let begins = episodes.refused(second * GAP_NS + client, new_client);
                assert_eq!(begins, second == 0 && client == 0);
            }
        }
        assert_eq!((episodes.count(), episodes.independent()), (1, 1));
        assert_eq!((episodes.kept()[0].clients, episodes.kept()[0].packets), (11, 22));
    }

    #[test]
    fn drops_without_a_record_confirm_no_episode() {
        let mut episodes = Episodes::default();
        episodes.counted(GAP_NS, GAP_NS, 5);
        assert_eq!((episodes.count(), episodes.independent()), (1, 0));
        assert!(!episodes.refused(2 * GAP_NS, false));
        assert!(!episodes.refused(2 * GAP_NS, true));
        assert_eq!((episodes.count(), episodes.independent()), (1, 1));
        // An interval of ten seconds began before the last drop that has a record.
        episodes.counted(11 * GAP_NS, 10 * GAP_NS, 7);
        assert_eq!((episodes.count(), episodes.independent()), (1, 1));
    }
}

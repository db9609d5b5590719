//! Network namespaces: the kernel's counts in each, and which of them have ended.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Model;
use super::page::Page;
use super::reconcile::Sums;
use crate::counter::Reading;
use crate::event::{Netns, form};
use crate::settings::Settings;

/// What is known of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The sysctls that bound its queues.
    pub settings: Settings,
    /// The change of the kernel's counters at the last reading.
    pub moved: Reading,
    /// Its listeners' counts at that time.
    pub seen: Sums,
    /// The part of these counts from before its reconciliation began.
    pub before: Sums,
    /// It was compared.
    pub compared: bool,
    /// It was read once, and that is where its counters begin: the next reading compares.
    pub begins: bool,
    /// It has ended.
    pub ended: bool,
}

/// Network namespaces that have ended and have no other state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespacesEnded {
    /// The tool's counts equal the kernel's at the last reading.
    pub equal: u64,
    /// It was not.
    pub different: u64,
    /// They ended before the kernel could be asked.
    pub uncompared: u64,
    /// Those of the equal ones with further counts after the last reading.
    #[serde(default)]
    pub unread: u64,
    /// Packets refused in these after it was asked last.
    #[serde(default)]
    pub unread_drops: u64,
    /// Refused packets of them.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub dropped: u64,
}

impl NamespacesEnded {
    /// Adds a namespace that has ended; `sums` are the tool's counts until then.
    pub(super) fn add(&mut self, namespace: &Namespace, sums: &Sums) {
        match (namespace.compared, namespace.agrees()) {
            (true, false) => self.different += 1,
            (true, true) => {
                self.equal += 1;
                self.unread += u64::from(!namespace.is_read_to(sums));
                self.unread_drops += namespace.unread_drops(sums);
            }
            (false, _) => self.uncompared += 1,
        }
    }
}

/// The number of ended namespaces whose difference is kept.
const DIFFERENT_KEPT: usize = 64;

impl Model {
    /// Namespaces come and go likewise.
    pub(super) fn forget_namespaces(&mut self) {
        let over = |namespace: &Namespace| namespace.ended;
        if !self.namespaces.values().any(over) {
            return;
        }
        let here: BTreeSet<Netns> = self.pages.values().map(|page| page.listener.netns).collect();
        let mut different = 0;
        let leave: Vec<Netns> = self
            .namespaces
            .iter()
            .filter(|(netns, namespace)| over(namespace) && !here.contains(netns))
            .filter(|(_, namespace)| {
                let differs = namespace.compared && !namespace.agrees();
                different += usize::from(differs);
                !differs || different > DIFFERENT_KEPT
            })
            .map(|(netns, _)| *netns)
            .collect();
        for netns in leave {
            let Some(namespace) = self.namespaces.remove(&netns) else { continue };
            let sums = self.gone_sums.remove(&netns).unwrap_or_default();
            self.ended.dropped += sums.dropped();
            self.ended.add(&namespace, &sums);
        }
    }

    /// The reconciliation of network namespaces that ended during the run.
    #[must_use]
    pub fn ended(&self) -> NamespacesEnded {
        let mut all = NamespacesEnded { dropped: 0, ..self.ended };
        for (netns, namespace) in self.namespaces.iter().filter(|(_, known)| known.ended) {
            all.add(namespace, &self.sums_of(*netns));
        }
        all
    }

    /// Did it end before the kernel could be asked?
    #[must_use]
    pub fn is_uncompared(&self, netns: Netns) -> bool {
        self.namespaces.get(&netns).is_some_and(|known| known.ended && !known.compared)
    }

    /// Packets refused in a network namespace that has ended, after the kernel was asked last.
    #[must_use]
    pub fn unread_drops(&self, netns: Netns) -> u64 {
        let ended = self.namespaces.get(&netns).filter(|known| known.ended);
        ended.map_or(0, |known| known.unread_drops(&self.sums_of(netns)))
    }

    /// The network namespaces that could be read: their settings, the change of the kernel's
    /// counters at the last reading, and whether this is only their baseline.
    pub fn known_namespaces(&self) -> impl Iterator<Item = (Netns, Settings, Reading, bool)> {
        let asked = |known: &Namespace| known.moved != Reading::default();
        let all = self.namespaces.iter().filter(move |(_, namespace)| asked(namespace));
        all.map(|(netns, known)| (*netns, known.settings, known.moved, !known.compared))
    }

    /// The counts of all listeners of a network namespace, including those that are gone.
    pub(super) fn sums_of(&self, netns: Netns) -> Sums {
        let mut sums = self.gone_sums.get(&netns).copied().unwrap_or_default();
        for page in self.pages.values().filter(|page| page.listener.netns == netns) {
            sums.add(&page.totals);
        }
        sums
    }

    /// The network namespaces that have, or had, a listener of ours.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Netns> {
        let of_pages = self.pages.values().map(|page| page.listener.netns);
        let mut all: Vec<Netns> = of_pages.chain(self.gone_sums.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Those whose counters may still move: with a listener that is open, or was open recently.
    #[must_use]
    pub fn moving_namespaces(&self) -> Vec<Netns> {
        let [_, since_ns] = self.ticks_ns;
        let moves = |page: &&Page| page.closed.is_none_or(|(closed_ns, _)| closed_ns >= since_ns);
        let mut all: Vec<Netns> =
            self.pages.values().filter(moves).map(|page| page.listener.netns).collect();
        all.retain(|netns| self.namespaces.get(netns).is_none_or(|known| !known.ended));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The sysctls of a network namespace, if they could be read.
    #[must_use]
    pub fn settings_of(&self, netns: Netns) -> Option<&Settings> {
        self.namespaces.get(&netns).map(|namespace| &namespace.settings)
    }
}

//! Network namespaces: the kernel's counters in each, the sums of its listeners' counts, and
//! whether it has ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Model;
use super::page::Page;
use super::sums::Sums;
use crate::counter::Reading;
use crate::event::{Netns, form};
use crate::model::saturating::saturating;
use crate::settings::Settings;

/// The kernel's counters of a network namespace, and the tool's counts at that time.
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
    /// It has been compared.
    pub compared: bool,
    /// Its first reading was its baseline: the next one compares.
    pub begins: bool,
    /// It has ended.
    pub ended: bool,
}

/// Network namespaces that have ended and have no other state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespacesEnded {
    /// The tool's counts equal the kernel's at the last reading.
    pub equal: u64,
    /// The counts differed.
    pub different: u64,
    /// They ended before the kernel's counters could be read.
    pub uncompared: u64,
    /// How many of the equal ones have further counts after the last reading.
    #[serde(default)]
    pub unread: u64,
    /// Packets refused in these after the last reading.
    #[serde(default)]
    pub unread_drops: u64,
    /// Packets refused in all of these.
    #[serde(default, skip_serializing_if = "form::is_zero")]
    pub dropped: u64,
}

impl NamespacesEnded {
    /// Adds a namespace that has ended; `sums` are the tool's counts until then.
    fn add(&mut self, namespace: &Namespace, sums: &Sums) {
        match (namespace.compared, namespace.agrees()) {
            (true, false) => self.different += 1,
            (true, true) => {
                self.equal += 1;
                self.unread += u64::from(!namespace.is_read_to(sums));
                self.unread_drops = self.unread_drops.saturating_add(namespace.unread_drops(sums));
            }
            (false, _) => self.uncompared += 1,
        }
    }
}

/// All namespaces of a run.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    all: BTreeMap<Netns, Entry>,
    /// The namespaces that have ended and whose pages are evicted.
    pub(super) ended: NamespacesEnded,
    /// Namespaces that were evicted at the end of the last interval although they may still exist.
    forgotten: Vec<Netns>,
}

/// One namespace. It is evicted when it has ended and has no page.
#[derive(Debug, Default)]
struct Entry {
    /// The number of its listeners' pages, and how many of these listeners are open.
    pages: usize,
    open: usize,
    /// When a listener last closed.
    closed_ns: Option<u64>,
    /// Pages of active listeners were evicted.
    evicted: bool,
    /// The counts of all listeners, including those whose pages were evicted.
    sums: Sums,
    /// The kernel's last reading.
    told: Option<Namespace>,
}

impl Entry {
    fn has_ended(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.ended)
    }

    /// Whether it has a page, or had one of an active listener.
    fn has_listeners(&self) -> bool {
        self.pages > 0 || self.evicted
    }

    /// Whether its counters may still move: a listener is open, or was open at this time.
    fn moves(&self, since_ns: u64) -> bool {
        self.open > 0 || self.closed_ns.is_some_and(|closed_ns| closed_ns >= since_ns)
    }
}

/// How many ended namespaces with a difference are kept.
const DIFFERENT_KEPT: usize = 64;

impl Namespaces {
    /// Adds a listener.
    pub(super) fn opened(&mut self, netns: Netns) {
        let entry = self.all.entry(netns).or_default();
        entry.pages += 1;
        entry.open += 1;
    }

    /// Records that an open listener has closed.
    pub(super) fn closed(&mut self, netns: Netns, time_ns: u64) {
        if let Some(entry) = self.all.get_mut(&netns) {
            entry.open = entry.open.saturating_sub(1);
            entry.closed_ns = entry.closed_ns.max(Some(time_ns));
        }
    }

    /// Replaces a listener's previous counts by the current ones.
    pub(super) fn counted(&mut self, netns: Netns, was: &Sums, now: &Sums) {
        let sums = &mut self.all.entry(netns).or_default().sums;
        sums.subtract(was);
        sums.add(now);
    }

    /// Removes the page of a listener; its counts stay.
    pub(super) fn evicted(&mut self, page: &Page, active: bool) {
        if let Some(entry) = self.all.get_mut(&page.listener.netns) {
            entry.pages = entry.pages.saturating_sub(1);
            entry.evicted |= active;
        }
    }

    /// Adds the counts of listeners whose pages were evicted before the resumed recording starts.
    pub(super) fn had_counted(&mut self, netns: Netns, sums: &Sums) {
        let entry = self.all.entry(netns).or_default();
        entry.evicted = true;
        entry.sums.add(sums);
    }

    /// The reading of a namespace, to be updated.
    pub(super) fn told(&mut self, netns: Netns) -> &mut Namespace {
        self.all.entry(netns).or_default().told.get_or_insert_default()
    }

    /// The number of known namespaces.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The last reading of a namespace.
    pub(super) fn get(&self, netns: Netns) -> Option<&Namespace> {
        self.all.get(&netns)?.told.as_ref()
    }

    /// All namespaces with a reading.
    pub(super) fn all_told(&self) -> impl Iterator<Item = (Netns, &Namespace)> {
        self.all.iter().filter_map(|(netns, entry)| Some((*netns, entry.told.as_ref()?)))
    }

    /// The counts of all listeners of a namespace, including evicted ones.
    pub(super) fn sums_of(&self, netns: Netns) -> Sums {
        self.all.get(&netns).map(|entry| entry.sums).unwrap_or_default()
    }

    /// Takes the counts until now as those at the last reading of each namespace.
    pub(super) fn all_seen(&mut self) {
        for Entry { sums, told, .. } in self.all.values_mut() {
            if let Some(told) = told {
                told.seen = *sums;
            }
        }
    }

    /// Marks a namespace as ended, unless it still has an open listener.
    pub(super) fn end(&mut self, netns: Netns) {
        let entry = self.all.entry(netns).or_default();
        if entry.open == 0 {
            entry.told.get_or_insert_default().ended = true;
        }
    }

    /// The counts of evicted listeners, by namespace.
    pub(super) fn evicted_sums<'a>(
        &self,
        pages: impl Iterator<Item = &'a Page>,
    ) -> BTreeMap<Netns, Sums> {
        let evicted = self.all.iter().filter(|(_, entry)| entry.evicted);
        let mut sums: BTreeMap<Netns, Sums> =
            evicted.map(|(netns, entry)| (*netns, entry.sums)).collect();
        for page in pages {
            if let Some(sums) = sums.get_mut(&page.listener.netns) {
                sums.subtract(&Sums::of_listener(&page.totals));
            }
        }
        sums
    }

    /// Refused packets, including those of ended namespaces.
    pub(super) fn dropped(&self) -> u64 {
        let present = self.all.values().map(|entry| entry.sums.dropped());
        saturating(present.chain([self.ended.dropped]))
    }

    /// Evicts ended namespaces. If more than `most` are quiet, without a page but possibly
    /// existing, those that have been quiet for longest are taken as ended.
    pub(super) fn evict(&mut self, most: usize) {
        let Self { all, ended, .. } = self;
        let mut different = 0;
        all.retain(|_, entry| {
            let Entry { pages: 0, evicted, sums, told, .. } = entry else { return true };
            let Some(told) = told else { return *evicted };
            let differs = told.compared && !told.agrees();
            different += usize::from(told.ended && differs);
            let stays = !told.ended || (differs && different <= DIFFERENT_KEPT);
            if !stays {
                ended.dropped = ended.dropped.saturating_add(sums.dropped());
                ended.add(told, sums);
            }
            stays
        });
        self.forget_quiet(most);
    }

    fn forget_quiet(&mut self, most: usize) {
        self.forgotten.clear();
        let is_quiet = |entry: &Entry| entry.pages == 0 && !entry.has_ended();
        let quiet = self.all.iter().filter(|(_, entry)| is_quiet(entry));
        let mut quiet: Vec<(Option<u64>, Netns)> =
            quiet.map(|(netns, entry)| (entry.closed_ns, *netns)).collect();
        let surplus = quiet.len().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        quiet.sort_unstable();
        for (_, netns) in quiet.into_iter().take(surplus) {
            let Some(Entry { sums, told, .. }) = self.all.remove(&netns) else { continue };
            self.ended.dropped = self.ended.dropped.saturating_add(sums.dropped());
            self.ended.add(&told.unwrap_or_default(), &sums);
            self.forgotten.push(netns);
        }
    }
}

impl Model {
    /// The reconciliation of network namespaces that ended during the run.
    #[must_use]
    pub fn ended(&self) -> NamespacesEnded {
        let mut all = NamespacesEnded { dropped: 0, ..self.namespaces.ended };
        for Entry { sums, told, .. } in self.namespaces.all.values() {
            if let Some(told) = told.as_ref().filter(|told| told.ended) {
                all.add(told, sums);
            }
        }
        all
    }

    /// Whether it ended before the kernel's counters could be read.
    #[must_use]
    pub fn is_uncompared(&self, netns: Netns) -> bool {
        self.namespaces.get(netns).is_some_and(|told| told.ended && !told.compared)
    }

    /// Packets refused in an ended network namespace after the last reading.
    #[must_use]
    pub fn unread_drops(&self, netns: Netns) -> u64 {
        let ended = self.namespaces.get(netns).filter(|told| told.ended);
        ended.map_or(0, |told| told.unread_drops(&self.namespaces.sums_of(netns)))
    }

    /// The network namespaces that could be read: their settings, the change of the kernel's
    /// counters at the last reading, and whether this is only their baseline.
    pub fn known_namespaces(&self) -> impl Iterator<Item = (Netns, Settings, Reading, bool)> {
        let asked = self.namespaces.all_told().filter(|(_, told)| told.moved != Reading::default());
        asked.map(|(netns, told)| (netns, told.settings, told.moved, !told.compared))
    }

    /// The network namespaces that have, or had, a traced listener.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Netns> {
        self.namespaces_with(Entry::has_listeners)
    }

    /// The namespaces whose counters may still move: with a listener that is open, or was open
    /// recently.
    #[must_use]
    pub fn moving_namespaces(&self) -> Vec<Netns> {
        let [_, since_ns] = self.ticks_ns;
        self.namespaces_with(|entry| entry.moves(since_ns) && !entry.has_ended())
    }

    /// The other namespaces that are not known to have ended: they may end without any event.
    #[must_use]
    pub fn quiet_namespaces(&self) -> Vec<Netns> {
        let [_, since_ns] = self.ticks_ns;
        self.namespaces_with(|entry| !entry.moves(since_ns) && !entry.has_ended())
    }

    fn namespaces_with(&self, is_one: impl Fn(&Entry) -> bool) -> Vec<Netns> {
        let some = self.namespaces.all.iter().filter(|(_, entry)| is_one(entry));
        some.map(|(netns, _)| *netns).collect()
    }

    /// Whether the model still keeps it. An output then keeps what it has reported about it.
    #[must_use]
    pub fn knows_namespace(&self, netns: Netns) -> bool {
        self.namespaces.all.contains_key(&netns)
    }

    /// Namespaces that were evicted at the end of the last interval although they may still exist.
    /// If a listener opens in one of them again, it is compared from its next reading on, so its
    /// baseline must be forgotten as well.
    #[must_use]
    pub fn forgotten_namespaces(&self) -> &[Netns] {
        &self.namespaces.forgotten
    }

    /// The sysctls of a network namespace, if they could be read.
    #[must_use]
    pub fn settings_of(&self, netns: Netns) -> Option<&Settings> {
        self.namespaces.get(netns).map(|told| &told.settings)
    }
}

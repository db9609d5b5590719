//! Counts of network namespaces, and of the host as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::counts::Counts;
use super::identity::{labels, netns};
use crate::event::{Listener, Netns};
use crate::model::Model;
use crate::model::reconcile::Account;
use crate::run::Health;
use crate::settings::Settings;

/// A namespace as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) netns: Netns,
    pub(super) name: Arc<str>,
    /// It is the host's, or mounted under a name.
    pub(super) lasts: bool,
}

/// The kernel's value of one counter, and the tool's count of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Both {
    pub(super) kernel: u64,
    pub(super) seen: u64,
}

/// The state of the host's metrics.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// The counts of all listeners, whether or not they were ever shown.
    pub(super) counts: Counts,
    /// The state of the tool itself.
    pub(super) health: Health,
    /// Refused attempts that the model has evicted.
    pub(super) clients_forgotten: u64,
    names: HashMap<Netns, Named>,
    /// The last reading of a namespace, by counter.
    last: HashMap<(Netns, &'static str), Both>,
    /// By counter and by the name of a namespace, which an earlier one may have had.
    sums: BTreeMap<(Arc<str>, &'static str), Both>,
}

impl Host {
    /// Takes the name of a namespace from a listener that is shown.
    pub(super) fn named(&mut self, listener: &Listener) {
        let known = self.names.get(&listener.netns);
        if known.is_some_and(|known| known.lasts || !has_lasting_name(listener)) {
            return;
        }
        let (name, lasts) = netns(listener);
        let named = Named { netns: listener.netns, name: name.into(), lasts };
        self.names.insert(listener.netns, named);
    }

    /// Forgets what the model has forgotten, and namespaces without a lasting name when their last
    /// series goes.
    pub(super) fn namespaces(&mut self, model: &Model, of_series: &HashSet<&str>) {
        self.clients_forgotten = model.clients_forgotten();
        self.names.retain(|netns, named| {
            model.knows_namespace(*netns) && (named.lasts || of_series.contains(&*named.name))
        });
        self.last.retain(|(netns, _), _| model.knows_namespace(*netns));
        let shown: HashSet<&str> = self.names.values().map(|named| &*named.name).collect();
        self.sums.retain(|(name, _), _| shown.contains(&**name));
    }

    /// Adds a comparison with the kernel's counters.
    pub(super) fn reconciled(&mut self, accounts: &[Account]) {
        for account in accounts {
            let Some(named) = self.names.get(&account.netns) else { continue };
            for check in &account.verdicts {
                let now = Both { kernel: check.kernel, seen: check.seen };
                let key = (account.netns, check.counter);
                let last = self.last.insert(key, now).unwrap_or_default();
                let sum = self.sums.entry((Arc::clone(&named.name), check.counter)).or_default();
                sum.kernel += since(now.kernel, last.kernel);
                sum.seen += since(now.seen, last.seen);
            }
        }
    }

    /// The labels of each counter, and its values.
    pub(super) fn counters(&self) -> Vec<(String, Both)> {
        let of = |((name, counter), sums): (&(Arc<str>, &'static str), &Both)| {
            (labels([("netns", &**name), ("counter", *counter)]), *sums)
        };
        self.sums.iter().map(of).collect()
    }

    /// The settings of each namespace, if known, once for each name.
    pub(super) fn settings(&self, model: &Model) -> Vec<(String, Settings)> {
        let known = self.names.values().filter_map(|named| {
            let settings = model.settings_of(named.netns).copied()?;
            let is_known = settings != Settings::default();
            is_known.then(|| (labels([("netns", &*named.name)]), settings))
        });
        let by_name: BTreeMap<String, Settings> = known.collect();
        by_name.into_iter().collect()
    }
}

fn has_lasting_name(listener: &Listener) -> bool {
    netns(listener).1
}

/// The move of a number that may restart from zero.
fn since(now: u64, last: u64) -> u64 {
    now.checked_sub(last).unwrap_or(now)
}

//! What is counted of network namespaces, and of the host as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::counts::Counts;
use super::identity::{labels, netns};
use crate::event::{Listener, Netns};
use crate::model::Model;
use crate::model::reconcile::Account;
use crate::run::Health;
use crate::settings::Settings;

/// A namespace, as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) netns: Netns,
    pub(super) name: Arc<str>,
    /// It is the host's, or mounted by a name.
    pub(super) lasts: bool,
}

/// The kernel's count of one counter, and what was seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Both {
    pub(super) kernel: u64,
    pub(super) seen: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// What all listeners have counted, whether or not they were ever shown.
    pub(super) counts: Counts,
    /// What is known of the tool itself.
    pub(super) health: Health,
    /// Refused attempts that the model has evicted.
    pub(super) clients_forgotten: u64,
    names: HashMap<Netns, Named>,
    /// What was read of a namespace last, by counter.
    last: HashMap<(Netns, &'static str), Both>,
    /// By the name of a namespace, which another one may have had before, and by counter.
    sums: BTreeMap<(Arc<str>, &'static str), Both>,
}

impl Host {
    /// A listener that is shown names its namespace.
    pub(super) fn named(&mut self, listener: &Listener) {
        let known = self.names.get(&listener.netns);
        if known.is_some_and(|known| known.lasts || !has_lasting_name(listener)) {
            return;
        }
        let (name, lasts) = netns(listener);
        let named = Named { netns: listener.netns, name: name.into(), lasts };
        self.names.insert(listener.netns, named);
    }

    /// Forgets with the model, and a namespace without a lasting name with its last series.
    pub(super) fn namespaces(&mut self, model: &Model, of_series: &HashSet<&str>) {
        self.clients_forgotten = model.clients_forgotten();
        self.names.retain(|netns, named| {
            model.knows_namespace(*netns) && (named.lasts || of_series.contains(&*named.name))
        });
        self.last.retain(|(netns, _), _| model.knows_namespace(*netns));
        let shown: HashSet<&str> = self.names.values().map(|named| &*named.name).collect();
        self.sums.retain(|(name, _), _| shown.contains(&**name));
    }

    /// The kernel's counters were compared.
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

    /// The labels of each counter, and its sums.
    pub(super) fn counters(&self) -> Vec<(String, Both)> {
        let of = |((name, counter), sums): (&(Arc<str>, &'static str), &Both)| {
            (labels([("netns", &**name), ("counter", *counter)]), *sums)
        };
        self.sums.iter().map(of).collect()
    }

    /// The settings of each namespace that has any, once for each name.
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

/// How far a number has moved that begins anew at times.
fn since(now: u64, last: u64) -> u64 {
    now.checked_sub(last).unwrap_or(now)
}

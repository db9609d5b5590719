//! The sysctls that bound the queues.

use serde::{Deserialize, Serialize};

/// The settings; none if they could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `net.core.somaxconn`
    pub somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`
    pub tcp_max_syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syncookies`
    pub syncookies: Option<u8>,
    /// `net.ipv4.tcp_abort_on_overflow`
    pub abort_on_overflow: Option<u8>,
    /// `net.ipv4.tcp_migrate_req`, of 5.14 and later
    #[serde(default)]
    pub migrate_req: Option<u8>,
}

/// The range of the settings of several network namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The number of namespaces.
    pub namespaces: u32,
    /// The smallest value of each setting.
    pub least: Settings,
    /// The largest value of each setting.
    pub most: Settings,
}

impl From<Settings> for Spread {
    /// The range of one namespace.
    fn from(settings: Settings) -> Self {
        Self { namespaces: 1, least: settings, most: settings }
    }
}

impl Spread {
    /// The range of all of these; none if there are none.
    pub fn of(all: impl IntoIterator<Item = Settings>) -> Option<Self> {
        all.into_iter().map(Self::from).reduce(|one, other| Self {
            namespaces: one.namespaces.saturating_add(other.namespaces),
            least: one.least.join(&other.least, |a, b| Some(a.min(b)), |a, b| Some(a.min(b))),
            most: one.most.join(&other.most, |a, b| Some(a.max(b)), |a, b| Some(a.max(b))),
        })
    }

    /// The settings that all namespaces have in common; none if they differ.
    #[must_use]
    pub fn common(&self) -> Settings {
        let Self { least, most, namespaces: _ } = self;
        least.join(most, |a, b| (a == b).then_some(a), |a, b| (a == b).then_some(a))
    }
}

impl Settings {
    /// Combines each setting of two; an unknown value is ignored.
    fn join(
        &self,
        other: &Self,
        wide: fn(u32, u32) -> Option<u32>,
        narrow: fn(u8, u8) -> Option<u8>,
    ) -> Self {
        fn pick<T>(one: Option<T>, other: Option<T>, pick: fn(T, T) -> Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => pick(one, other),
                (one, other) => one.or(other),
            }
        }
        Self {
            somaxconn: pick(self.somaxconn, other.somaxconn, wide),
            tcp_max_syn_backlog: pick(self.tcp_max_syn_backlog, other.tcp_max_syn_backlog, wide),
            syncookies: pick(self.syncookies, other.syncookies, narrow),
            abort_on_overflow: pick(self.abort_on_overflow, other.abort_on_overflow, narrow),
            migrate_req: pick(self.migrate_req, other.migrate_req, narrow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, Spread};

    #[test]
    fn settings_of_several_namespaces_go_from_the_least_to_the_most() {
        let set = |somaxconn, syncookies| Settings { somaxconn, syncookies, ..Settings::default() };
        assert_eq!(Spread::of([]), None);
        let pods = [set(Some(4096), Some(1)), set(Some(128), Some(1)), set(None, Some(1))];
        let spread = Spread::of(pods).unwrap();
        assert_eq!(spread.namespaces, 3);
        assert_eq!(
            (spread.least, spread.most),
            (set(Some(128), Some(1)), set(Some(4096), Some(1)))
        );
        assert_eq!(spread.common(), set(None, Some(1)));
        assert_eq!(Spread::from(pods[1]).common(), pods[1]);
    }
}

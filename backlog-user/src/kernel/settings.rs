//! The sysctls that bound the queues, of the calling thread's network namespace.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is set; none where it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// `net.core.somaxconn`
    pub(crate) somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`
    pub(crate) tcp_max_syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syncookies`
    pub(crate) syncookies: Option<u8>,
    /// `net.ipv4.tcp_abort_on_overflow`
    pub(crate) abort_on_overflow: Option<u8>,
    /// `net.ipv4.tcp_migrate_req`, of 5.14 and later
    #[serde(default)]
    pub(crate) migrate_req: Option<u8>,
}

impl Settings {
    /// Reads them below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let folder = root.join("proc/sys/net");
        Self {
            somaxconn: number(&folder.join("core/somaxconn")),
            tcp_max_syn_backlog: number(&folder.join("ipv4/tcp_max_syn_backlog")),
            syncookies: number(&folder.join("ipv4/tcp_syncookies")),
            abort_on_overflow: number(&folder.join("ipv4/tcp_abort_on_overflow")),
            migrate_req: number(&folder.join("ipv4/tcp_migrate_req")),
        }
    }
}

/// The settings of several network namespaces: each from its least to its most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// How many namespaces.
    pub(crate) namespaces: u32,
    /// The least of each setting.
    pub(crate) least: Settings,
    /// The most of each.
    pub(crate) most: Settings,
}

impl From<Settings> for Spread {
    /// Those of one namespace.
    fn from(settings: Settings) -> Self {
        Self { namespaces: 1, least: settings, most: settings }
    }
}

impl Spread {
    /// Of all of these; none: there is no namespace.
    pub(crate) fn of(all: impl IntoIterator<Item = Settings>) -> Option<Self> {
        all.into_iter().map(Self::from).reduce(|one, other| Self {
            namespaces: one.namespaces.saturating_add(other.namespaces),
            least: one.least.join(&other.least, |a, b| Some(a.min(b)), |a, b| Some(a.min(b))),
            most: one.most.join(&other.most, |a, b| Some(a.max(b)), |a, b| Some(a.max(b))),
        })
    }

    /// The settings that all namespaces have in common; none where they differ.
    pub(crate) fn common(&self) -> Settings {
        let Self { least, most, namespaces: _ } = self;
        least.join(most, |a, b| (a == b).then_some(a), |a, b| (a == b).then_some(a))
    }
}

impl Settings {
    /// Makes one value of two of each setting; one that is not known gives way.
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

fn number<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Settings, Spread};
    use std::fs;

    #[test]
    fn reads_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let core = root.path().join("proc/sys/net/core");
        fs::create_dir_all(&core).unwrap();
        fs::write(core.join("somaxconn"), "4096\n").unwrap();
        let settings = Settings::read(root.path());
        assert_eq!(settings.somaxconn, Some(4096));
        assert_eq!(settings.syncookies, None);
    }

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

//! Selects the packages of a kernel from the lines of the index, by Debian's naming of kernel
//! packages. Pure.

use std::collections::BTreeMap;

use super::version;

/// A package as a suite lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) suite: String,
}

/// The kernel chosen for a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The release, as `uname -r` prints it.
    pub(crate) release: String,
    pub(crate) version: String,
    pub(crate) suite: String,
    /// First the package with the bootable image, then its config and modules if they are in
    /// separate packages.
    pub(crate) packages: Vec<String>,
}

const FLAVOUR: &str = "-cloud-amd64";

/// Prefixes and suffixes of packages that may contain vmlinuz, the best first. Since 6.19 it is in
/// `linux-binary-`, and `linux-image-` is a small package that depends on it; if both exist, the
/// first must win. Signed ones come before unsigned ones, since users run those.
const IMAGES: [(&str, &str); 4] = [
    ("linux-binary-", ""),
    ("linux-image-", ""),
    ("linux-binary-unsigned-", ""),
    ("linux-image-", "-unsigned"),
];

/// The packages with the config and modules that `linux-binary-` lacks.
const COMPANIONS: [&str; 2] = ["linux-base-", "linux-modules-"];

/// Must the index contain this package?
pub(crate) fn is_relevant(package: &str) -> bool {
    image(package).is_some()
        || COMPANIONS.iter().any(|prefix| release(package, prefix, "").is_some())
}

/// The newest kernel of a series, a version (`6.1.192`, `6.1.192-2`) or a
/// release (`6.1.0-56-cloud-amd64`).
pub(crate) fn choose(entries: &[Entry], wanted: &str) -> Option<Choice> {
    let matches = |release: &str, entry: &Entry| {
        version::in_series(version::upstream(&entry.version), wanted)
            || entry.version == wanted
            || release == wanted
            || release.strip_suffix(FLAVOUR) == Some(wanted)
    };
    let (_, release, best) = entries
        .iter()
        .filter_map(|entry| image(&entry.package).map(|(rank, release)| (rank, release, entry)))
        .filter(|(_, release, entry)| matches(release, entry))
        .max_by(|(rank_a, _, a), (rank_b, _, b)| {
            version::compare(&a.version, &b.version).then_with(|| rank_b.cmp(rank_a))
        })?;
    let mut packages = vec![best.package.clone()];
    // If several suites list it, the first in our order wins.
    let mut companions = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.version == best.version) {
        for prefix in COMPANIONS {
            if entry.package.strip_prefix(prefix) == Some(&release) {
                companions.insert(prefix, entry.package.clone());
            }
        }
    }
    packages.extend(companions.into_values());
    let suite = entries
        .iter()
        .find(|entry| entry.package == best.package && entry.version == best.version)
        .map_or_else(|| best.suite.clone(), |entry| entry.suite.clone());
    Some(Choice { release, version: best.version.clone(), suite, packages })
}

/// The packages with a kernel's headers: its own, and the common ones of all flavours.
pub(crate) fn headers(release: &str) -> [String; 2] {
    let number = release.strip_suffix(FLAVOUR).unwrap_or(release);
    [format!("linux-headers-{release}"), format!("linux-headers-{number}-common")]
}

/// The rank (0 is best) and the kernel release of a package with a vmlinuz.
fn image(package: &str) -> Option<(usize, String)> {
    IMAGES.iter().enumerate().find_map(|(rank, (prefix, suffix))| {
        release(package, prefix, suffix).map(|release| (rank, release))
    })
}

/// The kernel release in a package name. It must have three numbers: `linux-image-6.1-cloud-amd64`
/// names a series instead of a kernel.
fn release(package: &str, prefix: &str, suffix: &str) -> Option<String> {
    let release = package.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let number = release.strip_suffix(FLAVOUR)?;
    let mut parts = number.splitn(3, '.');
    let all_start_with_digits = (0..3)
        .all(|_| parts.next().is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit())));
    all_start_with_digits.then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(lines: &[&str]) -> Vec<Entry> {
        lines
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                Entry {
                    package: words[0].to_owned(),
                    version: words[1].to_owned(),
                    suite: words[2].to_owned(),
                }
            })
            .collect()
    }

    #[test]
    fn takes_the_newest_signed_kernel_of_the_series() {
        let entries = index(&[
            "linux-image-6.1.0-50-cloud-amd64 6.1.176-1 bookworm",
            "linux-image-6.1.0-56-cloud-amd64-unsigned 6.1.192-2 bookworm-security",
            "linux-image-6.1.0-56-cloud-amd64 6.1.192-2 bookworm-security",
            "linux-image-6.1-cloud-amd64 6.1.300-1 bookworm-security",
            "linux-image-6.1.0-57-cloud-amd64-dbg 6.1.301-1 bookworm-security",
            "linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1 bookworm-security",
            "linux-image-6.12.117+deb13-cloud-amd64 6.12.117-1 trixie-security",
        ]);
        let choice = choose(&entries, "6.1").unwrap();
        assert_eq!(choice.packages, ["linux-image-6.1.0-56-cloud-amd64"]);
        assert_eq!(choice.release, "6.1.0-56-cloud-amd64");
        assert_eq!(choose(&entries, "6.1.176").unwrap().version, "6.1.176-1");
        assert_eq!(choose(&entries, "6.1.0-50").unwrap().version, "6.1.176-1");
        assert_eq!(choose(&entries, "6.12").unwrap().suite, "trixie-security");
        assert_eq!(choose(&entries, "newest").unwrap().version, "6.12.117-1");
        assert_eq!(choose(&entries, "6.18"), None);
    }

    #[test]
    fn a_split_kernel_brings_config_and_modules() {
        let entries = index(&[
            "linux-image-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 trixie-backports",
            "linux-binary-unsigned-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 trixie-backports",
            "linux-binary-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 trixie-backports",
            "linux-base-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 trixie-backports",
            "linux-modules-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1 trixie-backports",
            "linux-modules-7.2.13+deb14-cloud-amd64 7.2.13-1 sid",
        ]);
        assert_eq!(
            choose(&entries, "7.x").unwrap().packages,
            [
                "linux-binary-7.3.4+deb13-cloud-amd64",
                "linux-base-7.3.4+deb13-cloud-amd64",
                "linux-modules-7.3.4+deb13-cloud-amd64"
            ]
        );
    }

    #[test]
    fn headers_come_in_two_packages() {
        assert_eq!(
            headers("6.1.0-56-cloud-amd64"),
            ["linux-headers-6.1.0-56-cloud-amd64", "linux-headers-6.1.0-56-common"]
        );
    }

    #[test]
    fn other_packages_are_left_out() {
        assert!(is_relevant("linux-modules-7.3.4+deb13-cloud-amd64"));
        assert!(!is_relevant("linux-image-cloud-amd64"));
        assert!(!is_relevant("linux-image-6.1.0-56-amd64"));
        assert!(!is_relevant("linux-headers-6.1.0-56-cloud-amd64"));
        assert!(!is_relevant("linux-image-6.1.0-56-cloud-amd64-dbg"));
    }
}

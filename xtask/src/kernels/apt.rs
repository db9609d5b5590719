//! A private apt with the machine's archive, proxy and keyring, but other suites. Its state is in
//! the kernels folder, so that the machine's package lists do not change. This module knows apt's
//! options; others decide which packages are wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::select::Entry;
use crate::process;

/// The suites to search for kernels. The security suites matter, since available hooks differ
/// within a series (docs: 6.1.192 against 6.1.176).
pub(crate) const SUITES: &[&str] = &[
    "bullseye",
    "bullseye-security",
    "bookworm",
    "bookworm-updates",
    "bookworm-security",
    "trixie",
    "trixie-updates",
    "trixie-security",
    "trixie-backports",
    "forky",
    "sid",
];

/// Debian 12's keyring verifies all of `SUITES` (its point releases contain the keys of trixie,
/// which sign forky and sid too), so no newer one is needed. apt rejects a suite that it cannot
/// verify, and its kernels are then shown as missing.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A single Debian release with its updates, for packages that must work together.
pub(crate) const STABLE: &[&str] = &["trixie", "trixie-updates", "trixie-security"];

/// A private apt whose configuration is written.
pub(crate) struct Apt {
    dir: PathBuf,
    suites: &'static [&'static str],
}

impl Apt {
    /// Writes the configuration below `folder` for these suites.
    pub(crate) fn new(folder: &Path, suites: &'static [&'static str]) -> Result<Self> {
        let dir = folder.join("apt");
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("cannot create {}", part.display()))?;
        }
        let apt = Self { dir, suites };
        apt.write("status", "")?;
        apt.write("apt.conf", &configuration(&apt.dir))?;
        Ok(apt)
    }

    /// Downloads the package lists. An unavailable suite is only reported, since the others work
    /// without it.
    pub(crate) fn update(&self) -> Result<()> {
        let signed_by = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let archive = Archive::of_this_machine()?;
        let sources: Vec<String> = self
            .suites
            .iter()
            .map(|suite| format!("deb {signed_by}{} {suite} main\n", archive.site(suite)))
            .collect();
        self.write("sources.list", &sources.concat())?;
        let mut command = self.command("apt-get");
        command.args(["-q", "update"]);
        if let Err(error) = process::run(&mut command) {
            process::say(&format!("some package lists could not be fetched: {error:#}"));
        }
        Ok(())
    }

    /// Every package for which `is_relevant` holds, with its suites.
    pub(crate) fn packages(&self, is_relevant: fn(&str) -> bool) -> Result<Vec<Entry>> {
        let mut command = self.command("apt-cache");
        let names = process::capture(command.args(["pkgnames", "linux-"]))?;
        let mut relevant: Vec<&str> = names.lines().filter(|name| is_relevant(name)).collect();
        if relevant.is_empty() {
            bail!("no package list names a kernel: {}", process::line(&command));
        }
        relevant.sort_unstable();
        let mut command = self.command("apt-cache");
        let table = process::capture(command.arg("madison").args(relevant))?;
        Ok(table.lines().filter_map(madison_line).collect())
    }

    /// Downloads packages into `dir`; apt verifies them against the signed lists.
    pub(crate) fn download(&self, packages: &[(&str, &str)], dir: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.current_dir(dir).args(["-q", "download"]);
        for (package, version) in packages {
            command.arg(format!("{package}={version}"));
        }
        process::run(&mut command)
    }

    /// Downloads packages with all their dependencies, and returns the folder of the files. Nothing
    /// is installed, and nothing counts as installed.
    pub(crate) fn download_closure(&self, packages: &[&str]) -> Result<PathBuf> {
        // Remove files of other versions from earlier runs.
        process::run(self.command("apt-get").arg("clean"))?;
        let mut command = self.command("apt-get");
        command.args(["-q", "-y", "--no-install-recommends", "--download-only", "install"]);
        process::run(command.args(packages))?;
        Ok(self.dir.join("cache/archives"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // -c is read after the machine's configuration, unlike APT_CONFIG.
        command.arg("-c").arg(self.dir.join("apt.conf"));
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"Dir::State "{dir}/state";
Dir::State::lists "{dir}/state/lists";
Dir::State::status "{dir}/status";
Dir::Cache "{dir}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures {{ "amd64"; }};
// The download user _apt may not reach this folder.
APT::Sandbox::User "root";
// Hooks of the machine are about the machine's own lists.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
"#
    )
}

/// The addresses from which this machine gets Debian.
struct Archive {
    main: String,
    security: String,
}

impl Archive {
    fn of_this_machine() -> Result<Self> {
        let mut command = Command::new("apt-get");
        command.args(["indextargets", "--format", "$(RELEASE) $(SITE)"]);
        command.arg("Created-By: Packages");
        Self::from_targets(&process::capture(&mut command)?).with_context(|| {
            format!("no Debian suite among apt's sources: {}", process::line(&command))
        })
    }

    /// Parses lines of release name and address. A machine without a security source uses the
    /// sibling folder, as Debian's mirrors have it.
    fn from_targets(targets: &str) -> Option<Self> {
        let mut debian = targets.lines().filter_map(|line| line.split_once(' '));
        let known = |release: &str, site: &str, security: bool| {
            let name = release.split(['-', '/']).next().unwrap_or(release);
            let suites = ["stable", "oldstable", "oldoldstable", "testing", "unstable"];
            let ours = SUITES.contains(&name) || suites.contains(&name);
            let is_security = release.ends_with("-security") || release.ends_with("/updates");
            ours && is_security == security && !site.is_empty()
        };
        let mut debian_too = debian.clone();
        let main = debian.find(|(release, site)| known(release, site, false));
        let main = main?.1.trim_end_matches('/').to_owned();
        let security = debian_too.find(|(release, site)| known(release, site, true)).map_or_else(
            || format!("{main}-security"),
            |(_, site)| site.trim_end_matches('/').to_owned(),
        );
        Some(Self { main, security })
    }

    fn site(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.main }
    }
}

/// Parses `package | version | address suite/component architecture Packages`.
fn madison_line(line: &str) -> Option<Entry> {
    let mut fields = line.split('|').map(str::trim);
    let (package, version, source) = (fields.next()?, fields.next()?, fields.next()?);
    let suite = source.split_whitespace().nth(1)?.split('/').next()?;
    Some(Entry {
        package: package.to_owned(),
        version: version.to_owned(),
        suite: suite.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_madison_line() {
        let line = "linux-image-6.1.0-50-cloud-amd64 |  6.1.176-1 | \
                    http://mirror/debian bookworm-updates/main amd64 Packages";
        let entry = madison_line(line).unwrap();
        assert_eq!(entry.version, "6.1.176-1");
        assert_eq!(entry.suite, "bookworm-updates");
        assert_eq!(madison_line("N: no such package"), None);
    }

    #[test]
    fn the_archive_comes_from_the_machine() {
        let targets = "nodistro http://other/node\n\
                       bookworm-security http://mirror/sec\n\
                       bookworm http://mirror/debian/\n";
        let archive = Archive::from_targets(targets).unwrap();
        assert_eq!(archive.site("trixie-backports"), "http://mirror/debian");
        assert_eq!(archive.site("bullseye-security"), "http://mirror/sec");
        let archive = Archive::from_targets("stable http://mirror/debian").unwrap();
        assert_eq!(archive.site("trixie-security"), "http://mirror/debian-security");
        assert!(Archive::from_targets("jammy http://mirror/ubuntu").is_none());
    }
}

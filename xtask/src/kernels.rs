//! Kernels to boot: resolves a name like `6.1` to files on disk. Keeps the index of Debian's
//! kernels (for a day) and the unpacked ones under one lock, so that several xtasks can share a
//! folder. The modules below query apt, and select and unpack packages.

pub(crate) mod apt;
mod modules;
mod select;
pub(crate) mod unpack;
mod version;

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use apt::Apt;
pub(crate) use select::Choice;
use select::Entry;
use tempfile::TempDir;

use crate::{paths, process};

/// The kernels to test: those of Debian's stable releases, the backports, and the newest one.
pub(crate) const MATRIX: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.x"];

/// The kernel for slow measurements of what does not depend on the kernel: that of the newest
/// stable release.
pub(crate) const ONE: &str = "6.12";

const A_DAY: Duration = Duration::from_hours(24);

/// A kernel on disk, ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// For messages: the Debian version, or the path that was given.
    pub(crate) name: String,
    pub(crate) vmlinuz: PathBuf,
    pub(crate) config: Option<PathBuf>,
    /// Module files in load order.
    pub(crate) modules: Vec<PathBuf>,
}

/// The folder of kernels and the index of available ones.
pub(crate) struct Kernels {
    dir: PathBuf,
    index: OnceCell<Vec<Entry>>,
}

impl Kernels {
    /// Creates the folder if it does not exist.
    pub(crate) fn open() -> Result<Self> {
        let dir = paths::kernels();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { dir, index: OnceCell::new() })
    }

    /// What a series, version or release resolves to; None if no suite lists it.
    pub(crate) fn choose(&self, wanted: &str) -> Result<Option<Choice>> {
        Ok(select::choose(self.index()?, wanted))
    }

    /// Is this kernel on disk already?
    pub(crate) fn is_here(&self, choice: &Choice) -> bool {
        self.load(choice).is_some()
    }

    /// Returns the kernel's files, after downloading and unpacking them if necessary.
    pub(crate) fn obtain(&self, wanted: &str) -> Result<Kernel> {
        let kernel = self.find(wanted)?;
        kernel.with_context(|| {
            format!("kernel {wanted}: no suite lists it (see: cargo xtask vm --list)")
        })
    }

    /// Like `obtain`, but None if no suite lists it.
    pub(crate) fn find(&self, wanted: &str) -> Result<Option<Kernel>> {
        if wanted.contains('/') || Path::new(wanted).is_file() {
            return from_file(Path::new(wanted)).map(Some);
        }
        let choice = self.choose(wanted)?;
        choice.map(|choice| self.obtain_choice(&choice)).transpose()
    }

    /// Like `obtain`, for the result of `choose`.
    pub(crate) fn obtain_choice(&self, choice: &Choice) -> Result<Kernel> {
        if let Some(kernel) = self.load(choice) {
            return Ok(kernel);
        }
        let _lock = self.lock()?;
        let debs = self.download(choice)?;
        unpack::unpack(&debs, &self.folder(choice))?;
        self.load(choice)
            .with_context(|| format!("{} is incomplete", self.folder(choice).display()))
    }

    /// Returns a folder with the headers of a kernel (`src`) and the links to them (`modules`), as
    /// Debian has them below /usr and /usr/lib.
    pub(crate) fn headers(&self, version: &str) -> Result<PathBuf> {
        let folder = self.dir.join("headers").join(version);
        if folder.is_dir() {
            return Ok(folder);
        }
        let choice = self.choose(version)?.context("no suite lists this kernel any more")?;
        let _lock = self.lock()?;
        let scratch = self.scratch()?;
        let packages = select::headers(&choice.release);
        let versions = packages.each_ref().map(|name| (name.as_str(), version));
        Apt::new(&self.dir, apt::SUITES)?.download(&versions, scratch.path())?;
        unpack::headers(scratch.path(), &choice.release, &packages, &folder)?;
        Ok(folder)
    }

    /// Creates a temporary folder to download into.
    fn scratch(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(".download-")
            .tempdir_in(&self.dir)
            .with_context(|| format!("cannot create a folder in {}", self.dir.display()))
    }

    /// Reads the index, which is renewed after a day. Without network, an older one is used.
    fn index(&self) -> Result<&[Entry]> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let path = self.dir.join("index.tsv");
        let _lock = self.lock()?;
        if !is_fresh(&path) {
            process::say("reading which kernels Debian has (once a day, some 50 MB)");
            if let Err(error) = self.refresh(&path) {
                if !path.exists() {
                    return Err(error);
                }
                process::say(&format!("using an older list of kernels: {error:#}"));
            }
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(self.index.get_or_init(|| text.lines().filter_map(read_entry).collect()))
    }

    fn refresh(&self, path: &Path) -> Result<()> {
        if paths::on_path("apt-get").is_none() {
            bail!(
                "Debian's kernels are fetched with apt-get, which is not here; \
                 give a vmlinuz file (--kernel ./vmlinuz) instead"
            );
        }
        let apt = Apt::new(&self.dir, apt::SUITES)?;
        apt.update()?;
        let lines: Vec<String> = apt
            .packages(select::is_relevant)?
            .iter()
            .map(|Entry { package, version, suite }| format!("{package}\t{version}\t{suite}\n"))
            .collect();
        fs::write(path, lines.concat()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Downloads the packages of a choice, each once.
    fn download(&self, choice: &Choice) -> Result<Vec<PathBuf>> {
        let folder = self.dir.join("debs").join(&choice.version);
        if !folder.exists() {
            process::say(&format!("downloading kernel {} from {}", choice.version, choice.suite));
            let scratch = self.scratch()?;
            let packages: Vec<(&str, &str)> = choice
                .packages
                .iter()
                .map(|package| (package.as_str(), choice.version.as_str()))
                .collect();
            Apt::new(&self.dir, apt::SUITES)?.download(&packages, scratch.path()).with_context(
                || {
                    let index = self.dir.join("index.tsv");
                    // The archive removes a version when a newer one is published.
                    let _ = fs::remove_file(index);
                    format!("kernel {} (run again to look for a newer one)", choice.version)
                },
            )?;
            fs::create_dir_all(self.dir.join("debs"))
                .with_context(|| format!("cannot create {}", self.dir.join("debs").display()))?;
            fs::rename(scratch.keep(), &folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut debs = Vec::new();
        for entry in entries {
            debs.push(entry.with_context(|| format!("cannot read {}", folder.display()))?.path());
        }
        debs.sort();
        Ok(debs)
    }

    fn folder(&self, choice: &Choice) -> PathBuf {
        self.dir.join("unpacked").join(&choice.version)
    }

    fn load(&self, choice: &Choice) -> Option<Kernel> {
        let folder = self.folder(choice);
        // It may have been unpacked for another list of modules, perhaps by another clone.
        let wanted = fs::read_to_string(folder.join(unpack::WANTED)).ok()?;
        if wanted != modules::WANTED.join(" ") {
            return None;
        }
        let mut kernel = from_file(&folder.join("vmlinuz")).ok()?;
        kernel.name.clone_from(&choice.version);
        Some(kernel)
    }

    fn lock(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if file.try_lock().is_err() {
            process::say(&format!("waiting for another xtask that holds {}", path.display()));
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// Uses a given vmlinuz, with the modules in a folder `modules` next to it if there is one.
fn from_file(path: &Path) -> Result<Kernel> {
    if !path.is_file() {
        bail!("kernel {}: no such file", path.display());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let order = fs::read_to_string(folder.join(unpack::ORDER)).unwrap_or_default();
    let config = folder.join("config");
    Ok(Kernel {
        name: path.display().to_string(),
        vmlinuz: path.to_path_buf(),
        config: config.exists().then_some(config),
        modules: order.lines().map(|name| folder.join(format!("modules/{name}.ko"))).collect(),
    })
}

fn is_fresh(path: &Path) -> bool {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < A_DAY))
}

fn read_entry(line: &str) -> Option<Entry> {
    let mut fields = line.split('\t').map(str::to_owned);
    Some(Entry { package: fields.next()?, version: fields.next()?, suite: fields.next()? })
}

//! A cgroup for a test program, below our own, which is removed after its last process has ended:
//! of version 2, or of version 1 if that has the CPU controller.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::wait_until;

/// The time limit until the kernel counts no process in it any more.
const LIMIT: Duration = Duration::from_secs(10);

/// A cgroup that is removed when this is dropped.
#[derive(Debug)]
#[must_use = "it is removed when this is dropped"]
pub struct Cgroup {
    /// Its path, as in /proc/PID/cgroup.
    pub path: String,
    /// The created folders, the outermost first.
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// Creates a cgroup for each of these names, each below the one before.
    ///
    /// # Errors
    /// When there is no hierarchy of version 2, or we may not change it.
    pub fn make(names: &[&str]) -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let mount = mount_point(&mounts).context("no cgroup2 is mounted")?;
        let own = own()?;
        let mut folder = mount.join(own.trim_start_matches('/'));
        // Created first, so that the drop removes it if one of them cannot be created.
        let mut cgroup = Self { path: own.trim_end_matches('/').to_owned(), folders: Vec::new() };
        for name in names {
            folder.push(name);
            fs::create_dir(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            cgroup.folders.push(folder.clone());
            cgroup.path = format!("{}/{name}", cgroup.path);
        }
        Ok(cgroup)
    }

    /// Creates a cgroup whose processes may use `quota_us` of CPU time in each `period_us`.
    ///
    /// # Errors
    /// When no hierarchy limits CPU time here, or we may not change it.
    pub fn with_cpu_limit(name: &str, quota_us: u32, period_us: u32) -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let Some(top) = cpu_mount_point(&mounts) else {
            let top = mount_point(&mounts).context("no cgroup2 is mounted")?;
            let control = top.join(own()?.trim_start_matches('/')).join("cgroup.subtree_control");
            write(&control, "+cpu")?;
            let cgroup = Self::make(&[name])?;
            cgroup.set("cpu.max", &format!("{quota_us} {period_us}"))?;
            return Ok(cgroup);
        };
        let folder = top.join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let cgroup = Self { path: format!("/{name}"), folders: vec![folder] };
        cgroup.set("cpu.cfs_period_us", &period_us.to_string())?;
        cgroup.set("cpu.cfs_quota_us", &quota_us.to_string())?;
        Ok(cgroup)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let folder = self.folders.last().context("a cgroup without a name")?;
        write(&folder.join(name), value)
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// When the process does not exist, or we may not move it.
    pub fn add(&self, process: u32) -> Result<()> {
        self.set("cgroup.procs", &process.to_string())
    }

    /// Makes the command's process join it before it executes the program.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn joined_by(&self, command: &mut Command) -> Result<()> {
        let folder = self.folders.last().context("a cgroup without a name")?;
        let path = folder.join("cgroup.procs");
        let mut list = File::options()
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // SAFETY: between fork and exec there is one system call, with memory of the program
        // itself. 0 is the writing process.
        unsafe {
            command.pre_exec(move || list.write_all(b"0"));
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            // A process that was just killed may still be in it.
            let _ = wait_until("the cgroup to be empty", LIMIT, || Ok(is_gone(folder)));
        }
    }
}

/// Removes a cgroup, if it is empty.
fn is_gone(folder: &Path) -> bool {
    fs::remove_dir(folder).is_ok() || !folder.exists()
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {text} to {}", file.display()))
}

/// The cgroup of this process.
///
/// # Errors
/// When there is no hierarchy of version 2.
pub fn own() -> Result<String> {
    let path = "/proc/self/cgroup";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    Ok(line.context("no cgroup of version 2")?.to_owned())
}

/// The mount point of version 2 in /proc/PID/mountinfo.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let mut found = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    Some(found.next()?.split(' ').nth(4)?.into())
}

/// The mount point of version 1 with the CPU controller.
fn cpu_mount_point(mounts: &str) -> Option<PathBuf> {
    let has_cpu = |line: &&str| {
        let options = line.split_once(" - cgroup ").and_then(|(_, rest)| rest.split(' ').nth(1));
        options.is_some_and(|options| options.split(',').any(|one| one == "cpu"))
    };
    Some(mounts.lines().find(has_cpu)?.split(' ').nth(4)?.into())
}

#[cfg(test)]
mod tests {
    use super::{cpu_mount_point, mount_point};

    #[test]
    fn version_2_is_found_beside_version_1() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
            31 23 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";
        let found = mount_point(mounts).unwrap();
        assert_eq!(found.to_str(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("1 2 0:3 / / rw - ext4 /dev/vda rw\n"), None);
        assert_eq!(cpu_mount_point(mounts), None);
        let cpu = "32 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(cpu_mount_point(cpu).unwrap().to_str(), Some("/sys/fs/cgroup/cpu"));
    }
}

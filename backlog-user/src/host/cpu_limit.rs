//! The CPU limits of a process: those of its cgroup and of the enclosing ones, and how often the
//! kernel throttled their processes. A throttled server does not accept, although CPUs are idle.

use std::fs;
use std::path::{Component, Path, PathBuf};

use backlog_core::event::CpuLimit;
use procfs::process::MountInfo;

use super::owner::cgroup::mount_point;

/// The maximum number of nested cgroups to read; hosts have fewer.
const LEVELS: usize = 32;

/// The hierarchies of cgroups that limit CPU time.
#[derive(Debug)]
pub(crate) struct CpuLimits {
    proc_root: PathBuf,
    /// Where version 2 is mounted.
    unified: Option<PathBuf>,
    /// Where version 1 is mounted with its `cpu` controller, which version 2 then lacks.
    cpu: Option<PathBuf>,
}

/// The kernel's counts for a cgroup with a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    folder: PathBuf,
    quota_us: u64,
    period_us: u64,
    periods: u64,
    throttled: u64,
}

impl CpuLimits {
    /// Finds the hierarchies below a `/proc`.
    pub(crate) fn find(proc_root: &Path) -> Self {
        let lines = fs::read(proc_root.join("thread-self/mountinfo")).unwrap_or_default();
        let lines = String::from_utf8_lossy(&lines);
        let with_cpu = |mount: &MountInfo| {
            mount.fs_type == "cgroup" && mount.super_options.contains_key("cpu")
        };
        let cpu = lines
            .lines()
            .filter_map(|line| MountInfo::from_line(line).ok())
            .find(with_cpu)
            .map(|mount| mount.mount_point);
        Self { proc_root: proc_root.to_owned(), unified: mount_point(&lines), cpu }
    }

    /// The limits that apply to a process now, from its own cgroup outwards. Empty if there is
    /// none, the process is gone, or its cgroup is not below our root.
    pub(crate) fn of(&self, pid: u32) -> Vec<Counts> {
        let file = self.proc_root.join(pid.to_string()).join("cgroup");
        let Ok(lines) = fs::read_to_string(file) else { return Vec::new() };
        let (top, path, read): (_, _, fn(&Path) -> Option<Counts>) =
            match (&self.cpu, &self.unified) {
                (Some(top), _) => (top, path_of(&lines, |names| names.contains(&"cpu")), version_1),
                (None, Some(top)) => (top, path_of(&lines, |names| names == [""]), version_2),
                (None, None) => return Vec::new(),
            };
        let Some(path) = path else { return Vec::new() };
        path.ancestors().take(LEVELS).filter_map(|path| read(&top.join(path))).collect()
    }
}

/// The path in `/proc/PID/cgroup` for the hierarchy with these controllers.
fn path_of(lines: &str, is_wanted: impl Fn(&[&str]) -> bool) -> Option<PathBuf> {
    let path = lines.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let names: Vec<&str> = parts.next()?.split(',').collect();
        is_wanted(&names).then(|| parts.next()).flatten()
    })?;
    let path = Path::new(path.strip_prefix('/')?);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| path.to_owned())
}

/// Parses `cpu.max`: `50000 100000`, or `max 100000` without a limit.
fn version_2(folder: &Path) -> Option<Counts> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    counts(folder, quota.parse().ok()?, period.parse().ok()?)
}

/// Without a limit, the quota is -1.
fn version_1(folder: &Path) -> Option<Counts> {
    let number = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    counts(folder, number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn counts(folder: &Path, quota_us: u64, period_us: u64) -> Option<Counts> {
    let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let count = |name| {
        let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok();
        text.lines().find_map(of_line)
    };
    let (periods, throttled) = (count("nr_periods")?, count("nr_throttled")?);
    Some(Counts { folder: folder.to_owned(), quota_us, period_us, periods, throttled })
}

/// The limit that throttled the process most between two readings; None if none did.
pub(crate) fn most_used(before: &[Counts], now: &[Counts]) -> Option<CpuLimit> {
    let used = now.iter().filter_map(|now| {
        let before = before.iter().find(|before| before.folder == now.folder)?;
        let throttled = now.throttled.checked_sub(before.throttled)?;
        let periods = now.periods.checked_sub(before.periods)?;
        let Counts { quota_us, period_us, .. } = *now;
        (throttled > 0).then_some(CpuLimit { quota_us, period_us, periods, throttled })
    });
    used.max_by_key(|limit| limit.throttled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use backlog_core::event::CpuLimit;

    use super::{CpuLimits, most_used, path_of};

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    fn stat(periods: u64, throttled: u64) -> String {
        format!("usage_usec 7\nnr_periods {periods}\nnr_throttled {throttled}\n")
    }

    #[test]
    fn a_limit_around_the_cgroup_counts_in_version_2() {
        let root = tempfile::tempdir().unwrap();
        let (proc_root, top) = (root.path().join("proc"), root.path().join("cgroup"));
        write(&proc_root.join("80"), &[("cgroup", "0::/pods/web\n")]);
        write(&top.join("pods/web"), &[("cpu.max", "max 100000\n"), ("cpu.stat", &stat(0, 0))]);
        let pods = top.join("pods");
        write(&pods, &[("cpu.max", "50000 100000\n"), ("cpu.stat", &stat(100, 40))]);
        let limits = CpuLimits { proc_root, unified: Some(top), cpu: None };
        let before = limits.of(80);
        assert_eq!(before.len(), 1, "{before:?}");
        assert_eq!(most_used(&before, &before), None);
        fs::write(pods.join("cpu.stat"), stat(110, 49)).unwrap();
        let limit = CpuLimit { quota_us: 50_000, period_us: 100_000, periods: 10, throttled: 9 };
        assert_eq!(most_used(&before, &limits.of(80)), Some(limit));
        assert_eq!(limits.of(81), []);
    }

    #[test]
    fn version_1_has_it_where_its_controller_is() {
        let root = tempfile::tempdir().unwrap();
        let (proc_root, top) = (root.path().join("proc"), root.path().join("cpu"));
        write(
            &proc_root.join("80"),
            &[("cgroup", "9:name=systemd:/x\n1:cpu,cpuacct:/web\n0::/\n")],
        );
        let files = |quota| [("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", "100000\n")];
        write(&top.join("web"), &files("20000\n"));
        write(&top.join("web"), &[("cpu.stat", &stat(5, 2))]);
        write(&top, &files("-1\n"));
        let limits =
            CpuLimits { proc_root, unified: Some(root.path().join("none")), cpu: Some(top) };
        let counts = limits.of(80);
        assert_eq!((counts.len(), counts[0].quota_us, counts[0].throttled), (1, 20_000, 2));
    }

    #[test]
    fn a_path_out_of_the_hierarchy_is_none() {
        for lines in ["0::/../other", "0::relative", "1:cpu:/web", "0::/a/../b", ""] {
            assert_eq!(path_of(lines, |names| names == [""]), None, "{lines}");
        }
    }
}

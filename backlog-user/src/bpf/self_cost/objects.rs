//! The eBPF maps and programs of this process, from the `/proc/self/fdinfo` of each descriptor:
//! their memory and program runs. The descriptors show them all, whichever part of the process
//! holds them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use backlog_core::run::cost::Runs;

/// `BPF_MAP_TYPE_RINGBUF`
const RING: u64 = 27;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Memory of all maps.
    pub(super) maps_bytes: Option<u64>,
    /// Memory of all programs.
    pub(super) programs_bytes: Option<u64>,
    /// Runs by program ID; zero while statistics are off.
    pub(super) runs: BTreeMap<u32, Runs>,
}

impl Objects {
    /// Reads them below `root`.
    pub(super) fn read(root: &Path) -> Self {
        let process = root.join("proc/self");
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
            return Self::default();
        };
        // Keyed by ID, since several descriptors may refer to one object.
        let (mut maps, mut programs) = (BTreeMap::new(), BTreeMap::new());
        let mut runs = BTreeMap::new();
        for descriptor in descriptors.flatten() {
            // The descriptor has been closed since, such as that of the directory itself.
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let info = || {
                let file = process.join("fdinfo").join(descriptor.file_name());
                fs::read_to_string(file).unwrap_or_default()
            };
            match target.to_str() {
                Some("anon_inode:bpf-map") => {
                    let info = info();
                    maps.insert(field(&info, "map_id"), map_bytes(&info));
                }
                Some("anon_inode:bpf-prog") => {
                    let info = info();
                    programs.insert(field(&info, "prog_id"), field(&info, "memlock"));
                    runs.extend(run(&info));
                }
                _ => {}
            }
        }
        Self { maps_bytes: sum(&maps), programs_bytes: sum(&programs), runs }
    }
}

/// The sum; None if there are no objects, or if the size of one is unknown.
fn sum(bytes: &BTreeMap<Option<u64>, Option<u64>>) -> Option<u64> {
    let known = !bytes.is_empty() && !bytes.contains_key(&None);
    bytes.values().copied().sum::<Option<u64>>().filter(|_| known)
}

fn run(info: &str) -> Option<(u32, Runs)> {
    let id = u32::try_from(field(info, "prog_id")?).ok()?;
    Some((id, Runs { count: field(info, "run_cnt")?, time_ns: field(info, "run_time_ns")? }))
}

fn map_bytes(info: &str) -> Option<u64> {
    let bytes = field(info, "memlock")?;
    // From 5.11 to 6.3, the kernel computes entries times entry size, and the entries of a ring
    // buffer have no size: its `max_entries` are its bytes.
    if bytes == 0 && field(info, "map_type")? == RING {
        return field(info, "max_entries");
    }
    Some(bytes)
}

/// The value in a line like `name:\t123`.
fn field(info: &str, name: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Objects, Runs};
    use std::fs;
    use std::os::unix::fs::symlink;

    const MAP: &str = "pos:\t0\nmap_type:\t2\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t4\n\
                       memlock:\t4096\nmap_id:\t11\nfrozen:\t0\n";
    const RING: &str = "map_type:\t27\nmax_entries:\t65536\nmemlock:\t0\nmap_id:\t12\n";
    const PROGRAM: &str = "prog_type:\t26\nprog_jited:\t1\nmemlock:\t8192\nprog_id:\t42\n\
                           run_time_ns:\t1500\nrun_cnt:\t3\nrecursion_misses:\t0\n";

    fn with(descriptors: &[(&str, &str)]) -> Objects {
        let root = tempfile::tempdir().unwrap();
        let process = root.path().join("proc/self");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::create_dir_all(process.join("fdinfo")).unwrap();
        for (number, (target, info)) in descriptors.iter().enumerate() {
            symlink(target, process.join(format!("fd/{number}"))).unwrap();
            fs::write(process.join(format!("fdinfo/{number}")), info).unwrap();
        }
        Objects::read(root.path())
    }

    #[test]
    fn each_object_counts_once_and_a_ring_has_its_bytes() {
        let (map, program) = ("anon_inode:bpf-map", "anon_inode:bpf-prog");
        let told = with(&[
            ("/dev/null", "pos:\t0\n"),
            (map, MAP),
            (program, PROGRAM),
            (map, MAP),
            (map, RING),
            (program, PROGRAM),
        ]);
        assert_eq!(told.maps_bytes, Some(4096 + 65536));
        assert_eq!(told.programs_bytes, Some(8192));
        assert_eq!(
            told.runs.into_iter().collect::<Vec<_>>(),
            [(42, Runs { count: 3, time_ns: 1500 })]
        );
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        let nothing = with(&[("/dev/null", "pos:\t0\n")]);
        assert_eq!((nothing.maps_bytes, nothing.programs_bytes), (None, None));
        let old = "prog_type:\t26\nprog_id:\t42\n";
        let told = with(&[("anon_inode:bpf-map", MAP), ("anon_inode:bpf-map", "map_id:\t13\n")]);
        assert_eq!(told.maps_bytes, None);
        assert!(with(&[("anon_inode:bpf-prog", old)]).runs.is_empty());
    }
}

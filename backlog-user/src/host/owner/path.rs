//! Parses `/proc/PID/cgroup`: the path of the process's cgroup, and the systemd unit in it. Pure:
//! the caller reads the file.

use procfs::{FromBufRead as _, ProcessCGroups};

/// The hierarchies that show what a process belongs to, by name; version 2 has an empty name.
/// systemd's own hierarchy comes first: if both are mounted, a runtime may put its containers into
/// it and into those of controllers, but not into the unified one.
const HIERARCHIES: [&str; 5] = ["name=systemd", "", "memory", "cpu", "pids"];

/// The path of the cgroup in the text of `/proc/PID/cgroup`. A path other than `/` is preferred,
/// since not every process is in every hierarchy.
pub(crate) fn of(text: &str) -> Option<String> {
    let ProcessCGroups(groups) = ProcessCGroups::from_buf_read(text.as_bytes()).ok()?;
    let in_hierarchy = |name: &&str| {
        let group = groups.iter().find(|group| match *name {
            "" => group.controllers.is_empty(),
            name => group.controllers.iter().any(|controller| controller == name),
        });
        group.map(|group| group.pathname.as_str())
    };
    let paths: Vec<&str> = HIERARCHIES.iter().filter_map(in_hierarchy).collect();
    let path = paths.iter().find(|path| **path != "/").or(paths.first())?;
    Some((*path).to_owned())
}

/// The innermost systemd unit in a cgroup's path that has processes of its own. Slices only contain
/// other units.
pub(crate) fn unit(path: &str) -> Option<&str> {
    path.rsplit('/').find(|part| {
        let kind = part.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, kind)| kind);
        matches!(kind, Some("service" | "scope" | "socket"))
    })
}

#[cfg(test)]
mod tests {
    use super::{of, unit};

    #[test]
    fn what_says_more_than_the_root_is_preferred() {
        assert_eq!(of("0::/system.slice/a.service\n").unwrap(), "/system.slice/a.service");
        assert_eq!(of("4:memory:/m\n1:name=systemd:/s\n0::/\n").unwrap(), "/s");
        assert_eq!(of("4:cpu,cpuacct:/c\n3:memory:/m\n1:name=systemd:/\n0::/\n").unwrap(), "/m");
        assert_eq!(of("1:name=systemd:/s\n0::/u\n").unwrap(), "/s");
        assert_eq!(of("4:memory:/m\n1:name=systemd:/\n0::/u\n").unwrap(), "/u");
        assert_eq!(of("1:name=systemd:/\n0::/\n").unwrap(), "/");
    }

    #[test]
    fn a_path_may_hold_colons_and_a_text_nothing() {
        assert_eq!(of("0::/a:b:c\n").unwrap(), "/a:b:c");
        assert_eq!(of(""), None);
        assert_eq!(of("no cgroups"), None);
    }

    #[test]
    fn a_unit_is_no_slice_and_the_innermost() {
        assert_eq!(unit("/system.slice/nginx.service"), Some("nginx.service"));
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service/worker";
        assert_eq!(unit(user), Some("foo.service"));
        assert_eq!(unit("/system.slice/sshd.socket"), Some("sshd.socket"));
        assert_eq!(unit("/init.scope"), Some("init.scope"));
        assert_eq!(unit("/machine.slice/.service"), None);
        assert_eq!(unit("/"), None);
    }
}

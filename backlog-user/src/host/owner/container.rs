//! Finds the container in the path of a cgroup. Knows the layouts of Docker, containerd, CRI-O,
//! Podman, systemd-nspawn and LXC, with both cgroup drivers. Pure: it only parses the path.

use std::borrow::Cow;

use backlog_core::owner::Container;

const CONTAINERD: &str = "containerd";
const CRI_O: &str = "cri-o";
const DOCKER: &str = "docker";
const LXC: &str = "lxc";
const NSPAWN: &str = "systemd-nspawn";
const PODMAN: &str = "podman";

/// The prefixes of the ID in the name of a container's cgroup. The names of monitors
/// (`crio-conmon-`, `libpod-conmon-`) do not have an ID right after these.
const PREFIXES: [(&str, &str); 6] = [
    ("docker-", DOCKER),
    ("cri-containerd-", CONTAINERD),
    ("nerdctl-", CONTAINERD),
    ("crio-", CRI_O),
    ("libpod-payload-", PODMAN),
    ("libpod-", PODMAN),
];

/// The number of hex digits of an ID.
const ID: usize = 64;

/// The innermost container that a cgroup with this path belongs to. A cgroup below a container's
/// (such as `/system.slice/nginx.service` of a systemd in it) belongs to the container.
pub(crate) fn of(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (at, (runtime, id)) = (0..parts.len()).rev().find_map(|at| {
        Some((at, named(at.checked_sub(1).map(|above| parts[above]), parts[at])?))
    })?;
    let pod = parts[..=at].iter().rev().find_map(|part| pod(part));
    Some(Container { runtime: runtime.map(Cow::Borrowed), id, pod })
}

/// The container whose cgroup has this name, below a cgroup named `above`.
fn named(above: Option<&str>, name: &str) -> Option<(Option<&'static str>, String)> {
    if let Some(found) = by_prefix(name).or_else(|| by_colons(name)) {
        return Some((Some(found.0), found.1.to_owned()));
    }
    if let Some((runtime, machine)) = machine(name) {
        return Some((Some(runtime), unescape(machine)));
    }
    if let Some(payload) = name.strip_prefix("lxc.payload.") {
        return Some((Some(LXC), payload.to_owned()));
    }
    match above {
        Some("lxc" | "lxc.payload") => Some((Some(LXC), name.to_owned())),
        Some("docker") if is_id(name) => Some((Some(DOCKER), name.to_owned())),
        // This is a container of an unknown runtime, in a pod or in a parent cgroup that the user
        // chose.
        _ if is_id(name) => Some((None, name.to_owned())),
        _ => None,
    }
}

/// Parses `docker-<id>.scope` of the systemd driver; the other driver has no `.scope`.
fn by_prefix(name: &str) -> Option<(&'static str, &str)> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    PREFIXES.iter().find_map(|(prefix, runtime)| {
        Some((*runtime, name.strip_prefix(prefix).filter(|id| is_id(id))?))
    })
}

/// Parses `<slice>:cri-containerd:<id>`: a path for the systemd driver that runc has used
/// literally.
fn by_colons(name: &str) -> Option<(&'static str, &str)> {
    let (rest, id) = name.rsplit_once(':').filter(|(_, id)| is_id(id))?;
    let (_, prefix) = rest.rsplit_once(':')?;
    PREFIXES
        .iter()
        .find(|(known, _)| known.strip_suffix('-') == Some(prefix))
        .map(|(_, runtime)| (*runtime, id))
}

/// Parses `machine-<name>.scope` and `systemd-nspawn@<name>.service`; the result is still escaped.
fn machine(name: &str) -> Option<(&'static str, &str)> {
    if let Some(service) = name.strip_prefix("systemd-nspawn@") {
        return Some((NSPAWN, service.strip_suffix(".service")?));
    }
    let machine = name.strip_prefix("machine-")?.strip_suffix(".scope")?;
    match libvirts(machine) {
        None => Some((NSPAWN, machine)),
        Some(("lxc", machine)) => Some((LXC, machine)),
        // This is a virtual machine.
        Some(_) => None,
    }
}

/// Splits the name that libvirt gives to its machines, `<driver>-<number>-<name>`, into driver and
/// name.
fn libvirts(machine: &str) -> Option<(&str, &str)> {
    let (driver, rest) = machine.split_once(r"\x2d")?;
    let (number, name) = rest.split_once(r"\x2d")?;
    let known = matches!(driver, "ch" | "lxc" | "qemu" | "xen");
    let numbered = number == "embed" || number.bytes().all(|byte| byte.is_ascii_digit());
    (known && numbered).then_some((driver, name))
}

/// The UID of the Kubernetes pod with this cgroup name: `pod<uid>`, or
/// `kubepods-burstable-pod<uid>.slice` with `_` for each dash.
fn pod(name: &str) -> Option<String> {
    let slice = name.split(':').next().unwrap_or(name);
    let uid = match slice.strip_suffix(".slice") {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => slice.strip_prefix("pod")?,
    };
    // The UID of a static pod is a checksum without dashes.
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let others = uid.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'));
    (digits == 32 && others).then(|| uid.replace('_', "-"))
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Unescapes systemd's `\x2d` and the like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(r"\x") {
        bytes.extend(before.bytes());
        if let Some(byte) = after.get(..2).and_then(byte) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.extend(br"\x");
            rest = after;
        }
    }
    bytes.extend(rest.bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn byte(digits: &str) -> Option<u8> {
    // `from_str_radix` would also accept a sign.
    let digits = Some(digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests;

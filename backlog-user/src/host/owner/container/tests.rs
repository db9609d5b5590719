//! Tests texts of `/proc/PID/cgroup` from real hosts.

use backlog_core::owner::Container;

use super::of;
use crate::host::owner::path;

const A: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const B: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
const POD: &str = "8c2b4a6e-1f3d-4c57-9e0a-b1d2c3e4f506";
const STATIC_POD: &str = "8c2b4a6e1f3d4c579e0ab1d2c3e4f506";

/// The meaning of a text: the unit, and the container's runtime, ID and pod.
struct Case {
    name: &'static str,
    text: &'static str,
    unit: Option<&'static str>,
    container: Option<(Option<&'static str>, &'static str, Option<&'static str>)>,
}

macro_rules! case {
    ($name:literal, $unit:expr, $container:expr) => {
        Case {
            name: $name,
            text: include_str!(concat!("../fixtures/", $name, ".txt")),
            unit: $unit,
            container: $container,
        }
    };
}

fn cases() -> Vec<Case> {
    let docker = |id| Some((Some("docker"), id, None));
    let podman = |id| Some((Some("podman"), id, None));
    let nspawn = |name| Some((Some("systemd-nspawn"), name, None));
    let lxc = |name| Some((Some("lxc"), name, None));
    let containerd = |id, pod| Some((Some("containerd"), id, pod));
    let docker_scope = Some(scope("docker", A));
    let libpod_scope = Some(scope("libpod", A));
    let cri_scope = Some(scope("cri-containerd", A));
    vec![
        case!("host_service_v1", Some("nginx.service"), None),
        case!("host_service_v2", Some("nginx.service"), None),
        case!("host_hybrid", Some("session-4.scope"), None),
        case!("host_user_unit", Some("foo.service"), None),
        case!("host_kernel_thread", None, None),
        case!("docker_cgroupfs_v1", None, docker(A)),
        case!("docker_cgroupfs_v2", None, docker(A)),
        case!("docker_systemd", docker_scope, docker(A)),
        case!("docker_systemd_init", Some("init.scope"), docker(A)),
        case!("docker_systemd_service", Some("nginx.service"), docker(A)),
        case!("docker_rootless", docker_scope, docker(A)),
        case!("docker_in_docker", None, docker(B)),
        case!("docker_cgroup_parent", None, Some((None, A, None))),
        case!("docker_daemon", Some("docker.service"), None),
        case!("cri_containerd_systemd", cri_scope, containerd(A, Some(POD))),
        case!("cri_containerd_guaranteed", cri_scope, containerd(A, Some(POD))),
        case!("cri_cgroupfs_v1", None, Some((None, A, Some(POD)))),
        case!("cri_cgroupfs_v2", None, Some((None, A, Some(POD)))),
        case!("cri_colons", Some("containerd.service"), containerd(A, Some(POD))),
        case!("cri_static_pod", cri_scope, containerd(A, Some(STATIC_POD))),
        case!("cri_kind", Some(scope("cri-containerd", B)), containerd(B, Some(POD))),
        case!("cri_from_below", cri_scope, containerd(A, None)),
        case!("crio", Some(scope("crio", A)), Some((Some("cri-o"), A, Some(POD)))),
        case!("crio_cgroupfs", None, Some((Some("cri-o"), A, Some(POD)))),
        case!("crio_conmon", Some(scope("crio-conmon", A)), None),
        case!("podman", libpod_scope, podman(A)),
        case!("podman_rootless", libpod_scope, podman(A)),
        case!("podman_pod", libpod_scope, podman(A)),
        case!("podman_cgroupfs", None, podman(A)),
        case!("podman_quadlet", Some("web.service"), podman(A)),
        case!("podman_conmon", Some(scope("libpod-conmon", A)), None),
        case!("nerdctl", Some(scope("nerdctl", A)), containerd(A, None)),
        case!("nspawn", Some("nginx.service"), nspawn("web-1")),
        case!("nspawn_unit", Some("init.scope"), nspawn("web-1")),
        case!("libvirt_vm", Some(r"machine-qemu\x2d3\x2ddebian\x2d12.scope"), None),
        case!("libvirt_lxc", Some(r"machine-lxc\x2d4211\x2dweb.scope"), lxc("web")),
        case!("lxc", Some("nginx.service"), lxc("c1")),
        case!("lxc_v1", Some("nginx.service"), lxc("101")),
        case!("lxc_monitor", None, None),
    ]
}

/// The name of such a scope, leaked for the table of cases.
fn scope(prefix: &str, id: &str) -> &'static str {
    Box::leak(format!("{prefix}-{id}.scope").into_boxed_str())
}

#[test]
fn every_layout_is_read() {
    for Case { name, text, unit, container } in cases() {
        let path = path::of(text).unwrap();
        assert_eq!(path::unit(&path), unit, "{name}: {path}");
        let wanted = container.map(|(runtime, id, pod)| Container {
            runtime: runtime.map(Into::into),
            id: id.to_owned(),
            pod: pod.map(str::to_owned),
        });
        assert_eq!(of(&path), wanted, "{name}: {path}");
    }
}

#[test]
fn every_fixture_has_its_line_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/host/owner/fixtures");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), cases().len());
}

#[test]
fn what_only_looks_like_a_container_is_none() {
    let short = &A[1..];
    for path in [
        format!("/docker/{short}"),
        format!("/docker/{A}x"),
        format!("/docker/{short}g"),
        format!("/system.slice/docker-{short}.scope"),
        "/docker/buildkit".to_owned(),
        "/lxc".to_owned(),
        "/kubepods/burstable".to_owned(),
        "/machine.slice/machine-web.slice".to_owned(),
        String::new(),
    ] {
        assert_eq!(of(&path), None, "{path}");
    }
}

#[test]
fn a_pod_s_uid_is_one() {
    let path = format!("/podman/pod-of-mine/{A}");
    assert_eq!(of(&path).unwrap().pod, None);
    let path = format!("/user-pod{STATIC_POD}.slice/{A}");
    assert_eq!(of(&path).unwrap().pod, None);
}

#[test]
fn names_are_unescaped_and_odd_ones_left() {
    let name = |path: &str| of(path).unwrap().id;
    assert_eq!(name(r"/machine-a\x2db\x5fc.scope"), "a-b_c");
    assert_eq!(name(r"/machine-a\x2.scope"), r"a\x2");
    assert_eq!(name(r"/machine-\xff\xzz\x+1.scope"), "\u{fffd}\\xzz\\x+1");
    assert_eq!(name(r"/machine-qemu\x2dtools.scope"), "qemu-tools");
}

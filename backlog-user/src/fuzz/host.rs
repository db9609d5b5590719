//! Data from the kernel: its BTF, the texts of `/proc`, and its answers about sockets.

use crate::bpf::attach::with;
use crate::bpf::layout::Layout;
use crate::bpf::plan::{Ways, plan};
use crate::host::kernel::btf::Btf;
use crate::host::kernel::counters;
use crate::host::owner::{cgroup, container, path};
use crate::host::{namespaces, sock_diag as answers};
use backlog_core::run::Backend;
use procfs::FromRead as _;
use procfs::process::Stat;

/// Parses BTF and makes all lookups of a start.
pub(super) fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    drop(Layout::describe(&btf));
    // Nesting, bitfields, arrays and type names, in synthetic structs.
    for path in ["a", "b.c", "d[1]", "e[1].f", "g.h[2].i"] {
        let _ = btf.field("s", path);
    }
    let Ok(layout) = Layout::find(&btf) else { return };
    let ways = Ways::default();
    for backend in Backend::ALL {
        let _ = with(&btf, &layout, &ways, |facts| plan(facts, backend));
    }
}

/// Passes a text of `/proc` to each parser.
pub(super) fn proc(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let _ = namespaces::mounted(line);
        drop(container::of(line));
        let _ = path::unit(line);
    }
    let _ = cgroup::mount_point(text);
    if let Some(found) = path::of(text) {
        // The unit must be a part of the path.
        assert!(path::unit(&found).is_none_or(|unit| found.contains(unit)), "{found}");
    }
    let _ = counters::parse(text);
    name(bytes);
}

/// A process may choose any name, which is embedded between the numbers of `/proc/PID/stat`. The
/// kernel keeps 15 bytes of it. The rest of the line is the kernel's own; without the brackets,
/// procfs would panic.
fn name(bytes: &[u8]) {
    let name: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).take(15).collect();
    let line = [b"812 (", name.as_slice(), b") S 1", &b" 0".repeat(48), b"\n"].concat();
    let stat = Stat::from_read(line.as_slice());
    let shown = stat.as_ref().map(|stat| stat.comm.as_str()).ok();
    assert_eq!(shown, Some(&*String::from_utf8_lossy(&name)), "{stat:?}");
}

/// Parses a datagram of answers about sockets.
pub(super) fn sock_diag(bytes: &[u8]) {
    drop(answers::read(bytes));
}

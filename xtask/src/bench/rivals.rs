//! What a user would run instead: Debian's packages of the tracers with all that they
//! need, unpacked into a folder that a guest gets as a root of its own.

use anyhow::Result;

use crate::tree::{self, Tree, Wanted};

/// The tracers, of one release.
const RIVALS: Wanted<'_> = Wanted {
    folder: "rivals",
    what: "libbpf-tools, bpftrace and bcc with all they need (some 90 MB)",
    packages: &["libbpf-tools", "bpftrace", "bpfcc-tools"],
    surplus: &[
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/zoneinfo",
        "usr/share/ieee-data",
        "usr/share/info",
        "usr/share/i18n",
        "usr/lib/x86_64-linux-gnu/gconv",
        "usr/lib/x86_64-linux-gnu/ossl-modules",
        "usr/bin/bpftrace-aotrt",
        "usr/bin/perl",
        "var",
    ],
    files: &[],
};

/// The tracers on disk.
pub(super) type Rivals = Tree;

/// The tracers, downloaded and unpacked once.
pub(super) fn obtain() -> Result<Rivals> {
    tree::obtain(&RIVALS, |_, _| Ok(()))
}

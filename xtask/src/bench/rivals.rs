//! The tracers that a user would run instead: Debian packages with all dependencies, unpacked into
//! a folder that a guest uses as a root.

use anyhow::Result;

use crate::tree::{self, Tree, Wanted};

/// The packages, all of one release.
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

/// Downloads and unpacks the tracers once.
pub(super) fn obtain() -> Result<Rivals> {
    tree::obtain(&RIVALS, |_, _| Ok(()))
}

//! Real servers for the tests: Debian packages with all dependencies, as a root folder to run them
//! in, and as a disk for the guests. The tests decide which servers to start, and how.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tree::{self, Wanted};
use crate::{paths, process};

/// The variable with the path of the servers' root, for the tests.
pub(crate) const VARIABLE: &str = "BACKLOG_SERVERS";

/// The servers and the tools that inspect them (`ss`), all of one release.
const SERVERS: Wanted<'_> = Wanted {
    folder: "servers",
    what: "nginx, gunicorn, uWSGI, uvicorn, Apache, haproxy, node-exporter, systemd and ss with \
           all they need (some 70 MB)",
    packages: &[
        "nginx",
        "gunicorn",
        "uwsgi-core",
        "uwsgi-plugin-python3",
        "python3-uvicorn",
        "apache2-bin",
        "haproxy",
        "prometheus-node-exporter",
        "systemd",
        "iproute2",
    ],
    surplus: &[
        "usr/share",
        "usr/lib/systemd",
        "usr/lib/udev",
        "usr/lib/python3.13/ensurepip",
        "usr/lib/python3.13/idlelib",
        "usr/lib/python3.13/pydoc_data",
        "usr/lib/python3.13/test",
        "usr/lib/x86_64-linux-gnu/gconv",
        "usr/lib/x86_64-linux-gnu/ossl-modules",
        "var",
    ],
    // Installing the packages would create these.
    files: &[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n"),
        ("etc/group", "root:x:0:\nwww-data:x:33:\n"),
        ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ],
};

/// Python compiles the modules that it imports, which takes seconds on an emulated machine, and
/// caches the result next to the source if it can.
const IMPORTS: &str = "import sys; sys.path.append(sys.argv[1] + '/usr/lib/python3/dist-packages')
import http.server, gunicorn.app.wsgiapp, gunicorn.workers.sync";

/// The block size of the disk.
const BLOCK: u64 = 4096;

/// The servers on this machine's disk.
pub(crate) struct Servers {
    /// A root folder.
    pub(crate) root: PathBuf,
    /// The same as a file system image.
    pub(crate) disk: PathBuf,
}

/// Downloads and unpacks the servers once.
pub(crate) fn obtain() -> Result<Servers> {
    let tree = tree::obtain(&SERVERS, |root, folder| {
        if let Err(error) = compile(root) {
            process::say(&format!("Python's modules are compiled at each start: {error:#}"));
        }
        write_disk(root, &disk_in(folder))
    })?;
    let folder = tree.root.parent().unwrap_or(&tree.root);
    Ok(Servers { disk: disk_in(folder), root: tree.root })
}

/// Like `obtain`, but without servers the tests report what they skip.
pub(crate) fn if_possible() -> Option<Servers> {
    obtain()
        .inspect_err(|error| process::say(&format!("tested without real servers: {error:#}")))
        .ok()
}

fn disk_in(folder: &Path) -> PathBuf {
    folder.join("disk")
}

/// Makes the tree's Python compile what the servers import.
fn compile(root: &Path) -> Result<()> {
    // Run it with the tree's own loader, which needs no root, unlike chroot.
    let mut python = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
    python.arg("--library-path").arg(root.join("usr/lib/x86_64-linux-gnu"));
    python.arg(root.join("usr/bin/python3")).args(["-c", IMPORTS]).arg(root);
    python.env("PYTHONHOME", root.join("usr")).env_remove("PYTHONDONTWRITEBYTECODE");
    process::run(&mut python)
}

/// Writes the tree as an ext2 file system, which every kernel of the matrix can read without a
/// module.
fn write_disk(root: &Path, disk: &Path) -> Result<()> {
    let Size { bytes, entries } = size(root)?;
    // Add space for its tables, and a margin.
    let blocks = (bytes / BLOCK + entries / 8) * 21 / 20 + 1024;
    // It may not be on a user's PATH.
    let program = paths::on_path("mke2fs").unwrap_or_else(|| "/usr/sbin/mke2fs".into());
    let mut command = Command::new(program);
    command.args(["-q", "-F", "-t", "ext2", "-m", "0", "-b", &BLOCK.to_string()]);
    command.args(["-N", &(entries + 64).to_string(), "-d"]).arg(root).arg(disk);
    process::run(command.arg(blocks.to_string()))
}

/// The space that a file system needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    /// In whole blocks.
    bytes: u64,
    entries: u64,
}

/// The size of a folder with its content.
fn size(folder: &Path) -> Result<Size> {
    let mut sum = Size { bytes: BLOCK, entries: 1 };
    let context = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let data = entry.metadata().with_context(context)?;
        let Size { bytes, entries } = if data.is_dir() {
            size(&entry.path())?
        } else {
            Size { bytes: data.len().next_multiple_of(BLOCK), entries: 1 }
        };
        sum = Size { bytes: sum.bytes + bytes, entries: sum.entries + entries };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_take_whole_blocks() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/file"), vec![1; 4097]).unwrap();
        std::os::unix::fs::symlink("deep/file", folder.path().join("link")).unwrap();
        let expected = Size { bytes: (1 + 1 + 2 + 1) * BLOCK, entries: 4 };
        assert_eq!(size(folder.path()).unwrap(), expected);
    }
}

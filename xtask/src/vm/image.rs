//! Builds the guest's root: an initramfs with busybox, our programs, the kernel modules, and the
//! command to run. The crate `cpio` writes the format; init.sh is what runs in the guest.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use cpio::NewcBuilder;
use cpio::newc::ModeFileType;

use crate::kernels::Kernel;
use crate::{paths, process};

const FOLDERS: [&str; 17] = [
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "var",
    "var/log",
    "vm",
    "opt",
];

/// A file of the host and its path in the guest. A folder is copied with its content.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
}

impl Added {
    /// Puts a program into /bin under its own name.
    pub(crate) fn program(host: &Path) -> Self {
        let name = host.file_name().unwrap_or_default().to_string_lossy();
        Self { host: host.to_path_buf(), guest: format!("/bin/{name}") }
    }
}

/// Writes the initramfs to an unnamed file, so that nothing is left behind, however we end.
pub(crate) fn write(
    kernel: &Kernel,
    added: &[Added],
    disk: bool,
    command: &[OsString],
) -> Result<File> {
    let file = tempfile::tempfile().context("cannot create a temporary file")?;
    let mut image = Image::new(BufWriter::new(file));
    for folder in FOLDERS {
        image.folder(folder)?;
    }
    for (link, target) in [("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin")] {
        image.link(link, target)?;
    }
    // The kernel opens the console for init before anything is mounted.
    image.console()?;
    image.file("init", 0o755, include_bytes!("init.sh"))?;
    image.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    image.file("etc/group", 0o644, b"root:x:0:\n")?;
    image.file("etc/hosts", 0o644, b"127.0.0.1 localhost guest\n::1 localhost\n")?;
    image.file("vm/command", 0o644, &script(command))?;
    if disk {
        image.file("vm/disk", 0o644, b"")?;
    }
    busybox(&mut image)?;

    if let Some(config) = &kernel.config {
        image.copy(config, "boot/config")?;
    }
    let mut order = String::new();
    for module in &kernel.modules {
        let name = module.file_stem().unwrap_or_default().to_string_lossy();
        image.copy(module, &format!("lib/modules/{name}.ko"))?;
        order.push_str(&name);
        order.push('\n');
    }
    image.file("vm/modules", 0o644, order.as_bytes())?;
    for Added { host, guest } in added {
        let guest = guest.trim_start_matches('/');
        if host.is_dir() { image.tree(host, guest)? } else { image.copy(host, guest)? }
    }
    image.finish()
}

/// A script that runs exactly these words with `exec`.
fn script(command: &[OsString]) -> Vec<u8> {
    let mut script = b"exec".to_vec();
    for word in command {
        script.push(b' ');
        script.extend(process::quote(word));
    }
    script.push(b'\n');
    script
}

fn busybox<W: Write>(image: &mut Image<W>) -> Result<()> {
    let Some(program) = paths::on_path("busybox") else {
        bail!("no busybox on PATH: apt-get install busybox-static");
    };
    let applets = process::capture(Command::new(&program).arg("--list"))?;
    image.copy(&program, "bin/busybox")?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        image.link(&format!("bin/{applet}"), "busybox")?;
    }
    Ok(())
}

struct Image<W: Write> {
    out: Option<W>,
    inode: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Image<W> {
    fn new(out: W) -> Self {
        Self { out: Some(out), inode: 0, folders: BTreeSet::new() }
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        if self.folders.insert(path.to_owned()) {
            self.entry(path, ModeFileType::Directory, 0o755, &[])?;
        }
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.entry(path, ModeFileType::Symlink, 0o777, target.as_bytes())
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.entry(path, ModeFileType::Regular, mode, bytes)
    }

    /// Copies a file of the host with its mode bits, and creates the folders above it. When the
    /// kernel unpacks the image, it replaces an earlier entry with the same name.
    fn copy(&mut self, host: &Path, guest: &str) -> Result<()> {
        let context = || format!("cannot read {}", host.display());
        let mode = fs::metadata(host).with_context(context)?.permissions().mode() & 0o7777;
        let bytes = fs::read(host).with_context(context)?;
        self.above(guest)?;
        self.file(guest, mode, &bytes)
    }

    /// Creates the folders above a path.
    fn above(&mut self, guest: &str) -> Result<()> {
        for folder in guest.match_indices('/').filter_map(|(at, _)| guest.get(..at)) {
            // These are links, whose targets exist already.
            if !["sbin", "usr/bin", "usr/sbin"].contains(&folder) {
                self.folder(folder)?;
            }
        }
        Ok(())
    }

    /// Copies a folder of the host with its content; links stay links.
    fn tree(&mut self, host: &Path, guest: &str) -> Result<()> {
        self.above(guest)?;
        self.folder(guest)?;
        let entries =
            fs::read_dir(host).with_context(|| format!("cannot read {}", host.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", host.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let to = format!("{guest}/{name}");
            if path.is_symlink() {
                let target = fs::read_link(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                self.link(&to, &target.to_string_lossy())?;
            } else if path.is_dir() {
                self.tree(&path, &to)?;
            } else if path.is_file() {
                self.copy(&path, &to)?;
            }
        }
        Ok(())
    }

    fn console(&mut self) -> Result<()> {
        let builder = NewcBuilder::new("dev/console").rdev_major(5).rdev_minor(1);
        self.add(builder, ModeFileType::Char, 0o600, &[])
    }

    fn entry(&mut self, path: &str, kind: ModeFileType, mode: u32, bytes: &[u8]) -> Result<()> {
        self.add(NewcBuilder::new(path), kind, mode, bytes)
            .with_context(|| format!("cannot put {path} into the initramfs"))
    }

    fn add(
        &mut self,
        builder: NewcBuilder,
        kind: ModeFileType,
        mode: u32,
        bytes: &[u8],
    ) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(bytes.len()).context("larger than 4 GiB")?;
        let out = self.out.take().context("an earlier write failed")?;
        let builder = builder.ino(self.inode).mode(mode).set_mode_file_type(kind);
        let mut writer = builder.write(out, size);
        writer.write_all(bytes)?;
        self.out = Some(writer.finish()?);
        Ok(())
    }
}

impl Image<BufWriter<File>> {
    fn finish(self) -> Result<File> {
        let out = self.out.context("an earlier write failed")?;
        let out = cpio::newc::trailer(out).context("cannot end the initramfs")?;
        let mut file = out.into_inner().context("cannot write the initramfs")?;
        file.rewind().context("cannot rewind the initramfs")?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_quoted_word_by_word() {
        let words = ["sh", "-c", "echo it's; exit 7"].map(OsString::from);
        let text = String::from_utf8(script(&words)).unwrap();
        assert_eq!(text, "exec 'sh' '-c' 'echo it'\\''s; exit 7'\n");
    }

    #[test]
    fn a_folder_comes_with_its_links() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("lib")).unwrap();
        fs::write(host.path().join("lib/a.so.1"), "data").unwrap();
        std::os::unix::fs::symlink("a.so.1", host.path().join("lib/a.so")).unwrap();
        let mut image = Image::new(Vec::new());
        image.tree(host.path(), "root").unwrap();
        let mut entries = entries(image);
        entries.sort();
        let expected = [
            ("root", 0o040_755),
            ("root/lib", 0o040_755),
            ("root/lib/a.so", 0o120_777),
            ("root/lib/a.so.1", 0o100_644),
        ];
        assert_eq!(entries, expected.map(|(name, mode)| (name.to_owned(), mode)));
    }

    /// Names and modes.
    fn entries(image: Image<Vec<u8>>) -> Vec<(String, u32)> {
        let bytes = cpio::newc::trailer(image.out.unwrap()).unwrap();
        let mut names = Vec::new();
        let mut rest = &bytes[..];
        loop {
            let reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return names;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn an_added_file_keeps_its_mode_and_brings_its_folders() {
        let mut host = tempfile::NamedTempFile::new().unwrap();
        host.write_all(b"data").unwrap();
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let mut image = Image::new(Vec::new());
        image.copy(host.path(), "opt/deep/file").unwrap();
        let expected = [("opt", 0o040_755), ("opt/deep", 0o040_755), ("opt/deep/file", 0o100_640)];
        assert_eq!(entries(image), expected.map(|(name, mode)| (name.to_owned(), mode)));
    }
}

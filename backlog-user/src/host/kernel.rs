//! Facts about the running kernel, read once. This module makes no decisions.

pub(crate) mod btf;
pub(crate) mod counters;
pub(crate) mod rights;
pub(crate) mod settings;
pub(crate) mod slab;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use backlog_core::settings::Settings;

use btf::Btf;

/// The facts that the plan and the outputs need.
pub(crate) struct KernelView {
    /// The host's name, if it can be read.
    pub(crate) host: Option<String>,
    /// As `uname -r` prints it.
    pub(crate) release: String,
    /// Types, functions and counters.
    pub(crate) btf: Btf,
    /// The sysctls of this network namespace that bound the queues.
    pub(crate) settings: Settings,
}

impl KernelView {
    /// Reads the kernel below `root`, which is `/` or a fixture's folder.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease"))
            .context("reading the kernel's release: is /proc mounted?")?
            .trim()
            .to_owned();
        let file = root.join("sys/kernel/btf/vmlinux");
        if !file.exists() {
            bail!(
                "kernel {release} has no type information ({} is missing), so field offsets are \
                 unknown. It needs CONFIG_DEBUG_INFO_BTF=y, which the kernels of current \
                 distributions have, and /sys mounted",
                file.display()
            );
        }
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let btf = Btf::parse(bytes).with_context(|| format!("parsing {}", file.display()))?;
        let host = fs::read_to_string(root.join("proc/sys/kernel/hostname")).ok();
        let host = host.map(|name| name.trim().to_owned());
        Ok(Self { host, release, btf, settings: settings::read(root) })
    }
}

#[cfg(test)]
mod tests {
    use super::KernelView;
    use crate::bpf::attach::with;
    use crate::bpf::layout::Layout;
    use crate::bpf::plan::{Ways, plan};
    use backlog_core::run::Backend;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_kernel_without_types_is_named_with_the_cure() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/kernel");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("osrelease"), "6.1.0-made-up\n").unwrap();
        let error = KernelView::read(root.path()).err().unwrap().to_string();
        assert!(error.contains("6.1.0-made-up"), "{error}");
        assert!(error.contains("CONFIG_DEBUG_INFO_BTF=y"), "{error}");
    }

    #[test]
    fn types_that_are_none_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        for (folder, file, text) in [
            ("proc/sys/kernel", "osrelease", "6.1.0-made-up\n"),
            ("sys/kernel/btf", "vmlinux", "no types"),
        ] {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), text).unwrap();
        }
        let error = KernelView::read(root.path()).err().unwrap().to_string();
        assert!(error.contains("vmlinux"), "{error}");
    }

    #[test]
    fn this_machine_s_kernel_has_all_that_is_needed() {
        let Ok(kernel) = KernelView::read(Path::new("/")) else {
            println!("not tested: this machine's kernel shows no types");
            return;
        };
        let layout = Layout::find(&kernel.btf).unwrap();
        // Assume that all attach types are permitted.
        let ways = Ways::default();
        for backend in Backend::ALL {
            with(&kernel.btf, &layout, &ways, |shown| plan(shown, backend)).unwrap();
        }
        assert!(kernel.settings.somaxconn.is_some());
    }
}

//! The privileges of a run. Before its first thread starts, the process switches to the user of
//! `--user` and keeps what attaching needs; once the programs are attached, each thread keeps what
//! the rest of the run needs. Trials, not the kernel's version, show which capabilities the run can
//! do without.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bpf::reserved;
use crate::cli::options::Options;
use crate::commands::trace::guard::Guard;
use crate::host::namespaces::own_inode;
use crate::notice::notice;
use crate::output::whole_file::{self, WholeFile};
use crate::rights::capability::{Capabilities, Capability};
use crate::rights::table::{Uses, kept};
use crate::rights::user::User;
use crate::rights::{process, seccomp, threads};

/// See the module documentation.
pub(super) struct Rights(Uses);

impl Rights {
    /// Must be called before the first thread starts: threads inherit the rights of their creator.
    pub(super) fn prepare(root: &Path, options: &Options) -> Result<Self> {
        let other_user = options.user.as_deref().map(|text| User::find(root, text)).transpose()?;
        let uses = Uses {
            // Assume the following until trials show otherwise.
            locked_memory: true,
            restricted_kprobes: true,
            restricted_tracepoints: true,
            tracefs: true,
            reserved_bpf: true,
            ..asked_for(options)
        };
        process::prepare(kept(uses.to_attach(), threads::held()?), other_user)?;
        if let (Some(_), Some(report)) = (other_user, &options.report) {
            WholeFile::check(report.name()).context("--report: as the user of --user")?;
        }
        Ok(Self(uses))
    }

    /// Called when all programs are attached: makes every thread keep only what the run still
    /// needs. Fails if a thread has kept more.
    pub(super) fn settle(&self, options: &Options, guard: &Guard) -> Result<()> {
        let uses = self.still_used(options).context("trying what works without capabilities")?;
        let kept = kept(uses.to_the_end(), threads::held()?);
        guard.reduce_to(of_guard(&uses, kept))?;
        threads::reduce_to(kept).context("giving up capabilities")?;
        let filter = seccomp::install();
        threads::check(kept)?;
        if let Err(error) = filter
            && !options.quiet
        {
            notice(&format!("no system call is refused to this run: {error:#}; continuing"));
        }
        if options.verbose {
            notice(&format!("capabilities kept for the run: {kept}"));
        }
        Ok(())
    }

    fn still_used(&self, options: &Options) -> Result<Uses> {
        let Self(uses) = self;
        Ok(Uses {
            later_files: uses.later_files && !writes_as_itself(later_files(options))?,
            other_namespaces: enters_others(options)?,
            reserved_bpf: threads::without(reserved::is_refused)?,
            ..*uses
        })
    }
}

/// What the options of a run ask for. What the host makes necessary is not part of it.
fn asked_for(options: &Options) -> Uses {
    let user = options.user.is_some();
    // The files of --user are in folders that this user may write to.
    let report = !user && options.report.is_some();
    let record = options.record.as_ref().filter(|_| !user);
    Uses {
        verbose: options.verbose,
        command: options.cmd.is_some(),
        user,
        files: report || record.is_some(),
        later_files: report || record.is_some_and(|record| record.rotate.is_some()),
        other_namespaces: true,
        ..Uses::default()
    }
}

/// What the options of a run use on this host, by trials: a folder of the user's own needs no
/// capability, nor does the tool's own namespace.
pub(crate) fn used_here(options: &Options) -> Result<Uses> {
    let uses = asked_for(options);
    let record = options.record.iter().map(|record| record.path.as_path());
    let files = options.report.iter().map(WholeFile::name).chain(record);
    Ok(Uses {
        files: uses.files && !writes_as_itself(files)?,
        later_files: uses.later_files && !writes_as_itself(later_files(options))?,
        other_namespaces: enters_others(options)?,
        ..uses
    })
}

/// Whether the run enters network namespaces other than the tool's own.
fn enters_others(options: &Options) -> Result<bool> {
    match options.filter.netns {
        Some(netns) => Ok(own_inode(Path::new("/proc"))? != netns.inode()),
        None => Ok(true),
    }
}

/// The capabilities of the guard, which stops the programs and kills the command if the session is
/// stuck. It needs `CAP_SYS_ADMIN` where that stands in for `CAP_BPF`.
fn of_guard(uses: &Uses, kept: Capabilities) -> Capabilities {
    let stands_in = uses.reserved_bpf && !kept.has(Capability::Bpf);
    let more = if stands_in { Capability::SysAdmin } else { Capability::Bpf };
    kept.common(Capabilities::of(&[Capability::Bpf, Capability::Kill, more]))
}

/// The files that a run creates or replaces after its programs are attached.
fn later_files(options: &Options) -> impl Iterator<Item = &Path> + Send {
    let rotated = options.record.iter().filter(|record| record.rotate.is_some());
    options.report.iter().map(WholeFile::name).chain(rotated.map(|record| record.path.as_path()))
}

/// Can this thread, with its own rights, create and replace these files?
fn writes_as_itself<'a>(mut files: impl Iterator<Item = &'a Path> + Send) -> Result<bool> {
    Ok(threads::without(|| files.all(whole_file::can_replace))?)
}

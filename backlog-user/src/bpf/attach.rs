//! Attaches the best backend that the kernel permits: tries the attach types, makes a plan and
//! executes it, and falls back to the next backend if that fails.

use anyhow::{Result, anyhow};
use backlog_core::run::Backend;

use crate::bpf::layout::Layout;
use crate::bpf::load::{Attached, Loader};
use crate::bpf::plan::{self, KernelFacts, Way, Ways};
use crate::host::kernel::btf::Btf;

/// The backend that was attached.
pub(crate) struct Chosen {
    pub(crate) backend: Backend,
    pub(crate) attached: Attached,
    /// Why no better backend was selected.
    pub(crate) reasons: Vec<String>,
}

/// Tries those of the `wanted` attach types that were not tried yet.
pub(crate) fn try_ways(loader: &mut Loader, ways: &mut Ways, wanted: &[Way]) {
    for way in wanted {
        if !ways.knows(*way) {
            let result = loader.try_way(*way);
            ways.tried(*way, result);
        }
    }
}

/// Attaches the best backend that works, or only the `wanted` one.
pub(crate) fn best(
    loader: &mut Loader,
    btf: &Btf,
    layout: &Layout,
    wanted: Option<Backend>,
) -> Result<Chosen> {
    let mut ways = Ways::default();
    let mut reasons = Vec::new();
    for backend in Backend::ALL {
        if wanted.is_some_and(|wanted| wanted != backend) {
            continue;
        }
        try_ways(loader, &mut ways, plan::ways(backend));
        let plan = with(btf, layout, &ways, |shown| plan::plan(shown, backend));
        let attached = plan.and_then(|plan| {
            let mut attached = loader.attach(&plan)?;
            let gaps = plan.gaps_with(attached.hooks.iter().map(|hook| hook.program));
            attached.gaps.splice(0..0, gaps);
            Ok(attached)
        });
        match attached {
            Ok(attached) => return Ok(Chosen { backend, attached, reasons }),
            Err(error) => reasons.push(backend.refusal(&format!("{error:#}"))),
        }
    }
    Err(anyhow!("{}", reasons.join("; ")))
}

/// Calls `use_it` with the facts that a plan is made from.
pub(crate) fn with<T>(
    btf: &Btf,
    layout: &Layout,
    ways: &Ways,
    use_it: impl FnOnce(KernelFacts<'_>) -> T,
) -> T {
    use_it(KernelFacts {
        function: &|name| btf.arguments(name),
        tracepoint: &|name| btf.tracepoint(name),
        ways,
        lacking: layout.lacking(),
        uring_requests: layout.knows_uring_requests(),
    })
}

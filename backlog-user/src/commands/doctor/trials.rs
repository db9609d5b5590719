//! Finds out by trial what cannot be read: creates the maps, tries every attach type, and executes
//! the plan of each backend, alternative by alternative. Everything is detached again.

use std::path::Path;

use backlog_core::filter::Filter;
use backlog_core::run::Backend;

use super::report::{Check, Global, Moment, Refused, Tried, Used, by};
use crate::bpf::attach;
use crate::bpf::layout::Layout;
use crate::bpf::load::Loader;
use crate::bpf::plan::{self, Hook, Way, Ways};
use crate::commands::trace::trial_limits;
use crate::host::kernel::btf::Btf;
use crate::host::kernel::{KernelView, rights};

/// The results of the trials.
pub(super) struct Trials {
    /// What prevents all trials.
    pub(super) blocked: Option<String>,
    pub(super) ring_buffer: Check,
    pub(super) ways: Vec<Tried>,
    pub(super) backends: Vec<Tried>,
    pub(super) shown: Option<&'static str>,
    /// The backend of `shown`, if it works.
    pub(super) backend: Option<Backend>,
    /// The kernel counts eBPF memory as locked memory: before 5.11, maps had a field for it.
    pub(super) locked_memory: bool,
    pub(super) hooks: Option<Vec<Moment>>,
    pub(super) values: Option<Vec<Global>>,
    pub(super) gaps: Option<Vec<String>>,
}

/// The trial of a backend.
struct Trial {
    backend: Backend,
    moments: Vec<Moment>,
    gaps: Vec<String>,
    /// Why it is not available.
    refused: Option<String>,
}

/// Tries every attach type, and every hook of the wanted backend or else of the best one that
/// works. If no trial is possible, says why.
pub(super) fn make(root: &Path, wanted: Option<Backend>) -> Trials {
    let kernel = KernelView::read(root);
    let values = kernel.as_ref().ok().map(|kernel| values(&kernel.btf));
    let locked_memory =
        kernel.as_ref().is_ok_and(|kernel| kernel.btf.field("bpf_map", "memory").is_some());
    // In the order of a real run, so that the first obstacle there is also the first one here.
    let ready = rights::check(root).and_then(|()| {
        let kernel = kernel?;
        let layout = Layout::find(&kernel.btf)?;
        Ok((kernel.btf, layout, trial_limits()?))
    });
    let (btf, layout, limits) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            let why = format!("{error:#}");
            let blocked = none(why.clone(), Check::NotChecked { why }, values);
            return Trials { locked_memory, ..blocked };
        }
    };
    match Loader::create(&layout, &Filter::default(), limits) {
        Ok(mut loader) => {
            Trials { locked_memory, values, ..all(&mut loader, &btf, &layout, wanted) }
        }
        Err(error) => {
            let why = format!("{error:#}");
            Trials { locked_memory, ..none(why.clone(), Check::No { why }, values) }
        }
    }
}

/// The result if no trial is possible.
fn none(why: String, ring_buffer: Check, values: Option<Vec<Global>>) -> Trials {
    let not_tried = |name| {
        let why = match &ring_buffer {
            Check::No { .. } => "the maps cannot be created".to_owned(),
            _ => "no program can be loaded".to_owned(),
        };
        Tried { name, check: Check::NotChecked { why } }
    };
    Trials {
        ways: Way::ALL.iter().map(|way| not_tried(way.name())).collect(),
        backends: Backend::ALL.iter().map(|backend| not_tried(backend.name())).collect(),
        blocked: Some(why),
        ring_buffer,
        shown: None,
        backend: None,
        locked_memory: false,
        hooks: None,
        values,
        gaps: None,
    }
}

fn all(loader: &mut Loader, btf: &Btf, layout: &Layout, wanted: Option<Backend>) -> Trials {
    let mut ways = Ways::default();
    attach::try_ways(loader, &mut ways, &Way::ALL);
    let mut backends = Vec::new();
    // The wanted backend is shown even if it fails. Otherwise show the best one that works, or, if
    // none works, the best one that has a plan.
    let mut shown: Option<Trial> = None;
    for backend in Backend::ALL {
        let plan = attach::with(btf, layout, &ways, |given| plan::plan(given, backend));
        let refused = match plan {
            Err(error) => Some(format!("{error:#}")),
            Ok(plan) => {
                let asked = wanted.is_none_or(|wanted| wanted == backend);
                let works = shown.as_ref().is_some_and(|trial| trial.refused.is_none());
                if asked && !works {
                    let trial = carry_out(loader, plan);
                    let refused = trial.refused.clone();
                    if shown.is_none() || refused.is_none() {
                        shown = Some(trial);
                    }
                    refused
                } else {
                    // Its hooks are not tried, which would take as long again.
                    None
                }
            }
        };
        let check = refused.map_or(Check::Yes, |why| Check::No { why });
        backends.push(Tried { name: backend.name(), check });
    }
    let backend = shown.as_ref().filter(|trial| trial.refused.is_none()).map(|one| one.backend);
    let (shown, hooks, gaps) = match shown {
        Some(trial) => {
            // Gaps mean nothing for a backend that does not work.
            let gaps = trial.refused.is_none().then_some(trial.gaps);
            (Some(trial.backend.name()), Some(trial.moments), gaps)
        }
        None => (None, None, None),
    };
    let way = |(way, result): (Way, Result<(), &str>)| Tried {
        name: way.name(),
        check: result.map_or_else(|why| Check::No { why: why.to_owned() }, |()| Check::Yes),
    };
    Trials {
        blocked: None,
        ring_buffer: Check::Yes,
        ways: ways.iter().map(way).collect(),
        backends,
        shown,
        backend,
        locked_memory: false,
        hooks,
        values: None,
        gaps,
    }
}

/// Tries the alternatives of each probe point until one works.
fn carry_out(loader: &mut Loader, mut plan: plan::Plan) -> Trial {
    let mut trial =
        Trial { backend: plan.backend, moments: Vec::new(), gaps: Vec::new(), refused: None };
    for moment in std::mem::take(&mut plan.moments) {
        let mut refused = Vec::new();
        let mut used = Vec::new();
        for choice in moment.choices {
            match loader.try_choice(&choice) {
                Ok(()) => {
                    used = choice.iter().map(|hook| measure(loader, hook)).collect();
                    break;
                }
                Err(error) => {
                    let by = by(choice.iter().map(|hook| (hook.attach.word(), hook.target)));
                    refused.push(Refused { by, why: format!("{error:#}") });
                }
            }
        }
        let why = refused.last().map(|last: &Refused| last.why.as_str());
        match (used.is_empty(), moment.gap) {
            (false, _) => {}
            (true, Some(gap)) => trial.gaps.push(match why {
                Some(why) => format!("{gap}: {why}"),
                None => gap.to_owned(),
            }),
            (true, None) => {
                let why = why.unwrap_or("no way to attach it");
                trial.refused.get_or_insert_with(|| format!("{}: {why}", moment.name));
            }
        }
        let needed = moment.gap.is_none();
        trial.moments.push(Moment { name: moment.name, needed, used, refused });
    }
    let used = trial.moments.iter().flat_map(|moment| &moment.used);
    let gaps = plan.gaps_with(used.map(|used| used.program));
    trial.gaps.splice(0..0, gaps);
    trial
}

fn measure(loader: &mut Loader, hook: &Hook) -> Used {
    // It was attached a moment ago, so it is used even if this second load fails.
    let walked = loader.verify(hook).ok().and_then(|verified| verified.walked);
    Used { program: hook.program, attach: hook.attach.word(), target: hook.target, walked }
}

fn values(btf: &Btf) -> Vec<Global> {
    Layout::describe(btf)
        .into_iter()
        .map(|(name, value, source)| Global { name, value, source })
        .collect()
}

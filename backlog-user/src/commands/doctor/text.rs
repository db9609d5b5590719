//! Prints the report as plain ASCII text in 80 columns.

use std::borrow::Cow;
use std::collections::BTreeMap;

use backlog_core::text::shell::quoted;

use super::report::{
    Check, Global, Kernel, Moment, Needs, Process, Report, RunNeeds, Seen, Tried, Used, by,
};
use crate::output::text_block::TextBlock;

/// The column where text after a label begins.
const LABEL: usize = 18;
/// The column where text after a `yes` or `no` begins.
const ANSWER: usize = 7;

/// Renders the report; `verbose` adds every value.
pub(super) fn render(report: &Report, verbose: bool) -> String {
    let mut page = TextBlock::default();
    kernel(&mut page, &report.kernel);
    process(&mut page, &report.process);
    page.heading("Attach types, each tried");
    answer(&mut page, "ring buffer", &report.ring_buffer);
    report.ways.iter().for_each(|way| answer(&mut page, way.name, &way.check));
    backends(&mut page, report);
    hooks(&mut page, report);
    values(&mut page, report.values.as_deref(), verbose);
    page.heading("Unknown or inexact on this kernel");
    match report.gaps.as_deref() {
        None => page.item(2, "unknown: tracing would not work"),
        Some([]) => page.item(2, "nothing: everything is exact"),
        Some(gaps) => gaps.iter().for_each(|gap| page.labelled("  - ", 4, gap)),
    }
    page.blank();
    let verdict = &report.verdict;
    match (&verdict.backend, &verdict.why) {
        (Some(backend), _) => page.item(0, &format!("Tracing works here, with backend {backend}.")),
        (None, why) => {
            let why = why.as_deref().unwrap_or("the reason is unknown");
            page.item(0, &format!("Tracing does not work here: {why}."));
        }
    }
    page.into_text()
}

fn labelled(page: &mut TextBlock, label: &str, text: &str) {
    page.labelled(&format!("  {label:<width$}", width = LABEL - 2), LABEL, text);
}

fn kernel(page: &mut TextBlock, kernel: &Kernel) {
    page.title("Kernel");
    labelled(page, "release", &format!("{} ({})", seen(&kernel.release), kernel.arch));
    let btf = match &kernel.btf_bytes {
        Seen::Value(bytes) => format!("{bytes} bytes"),
        Seen::NotReadable(why) => format!("{why} (/sys/kernel/btf/vmlinux)"),
    };
    labelled(page, "types (BTF)", &btf);
    let built = match &kernel.config {
        Seen::Value(values) => config(values),
        Seen::NotReadable(why) => format!("not readable ({why})"),
    };
    labelled(page, "CONFIG_", &built);
    labelled(page, "lockdown", &seen(&kernel.lockdown));
    for (name, value) in &kernel.sysctls {
        page.item(2, &format!("{name}: {}", seen(value)));
    }
    let tracefs = match &kernel.tracefs {
        Check::Yes => "mounted",
        Check::No { why } | Check::NotChecked { why } => why,
    };
    labelled(page, "tracefs", tracefs);
}

fn process(page: &mut TextBlock, process: &Process) {
    page.heading("Capabilities, and what needs them (yes: this process has them)");
    match &process.needs {
        None => page.item(2, "not readable (/proc/self/status): is /proc mounted?"),
        Some(needs) => self::needs(page, needs),
    }
    if process.in_user_namespace {
        page.item(2, "They belong to a user namespace and do not count for the kernel.");
    }
    let spaces = process.namespaces;
    let plural = if spaces == 1 { "" } else { "s" };
    page.item(2, &format!("It can enter {spaces} network namespace{plural}."));
}

fn needs(page: &mut TextBlock, needs: &Needs) {
    for need in &needs.features {
        let answer = if need.missing.is_empty() { "yes" } else { "no" };
        let option = need.option.map(|option| format!("{option}: ")).unwrap_or_default();
        let capabilities = need.capabilities.join(", ");
        let feature = format!("{option}{}: {capabilities} ({})", need.feature, need.until);
        page.labelled(&format!("  {answer:<5}"), ANSWER, &feature);
        if !need.missing.is_empty() {
            page.item(ANSWER, &format!("without: {}", need.without));
        }
    }
    page.item(2, &format!("Smallest set that traces: {}.", needs.smallest.join(", ")));
    page.item(2, &format!("Set that leaves out nothing: {}.", needs.complete.join(", ")));
    if needs.missing.is_empty() {
        page.item(2, "This process has all of them.");
    } else {
        let set = needs.complete.join(",").to_lowercase();
        page.item(
            2,
            &format!(
                "This process lacks {}: run it as root, or sudo setcap {set}+ep FILE.",
                needs.missing.join(", ")
            ),
        );
    }
    if let Some(run) = &needs.run {
        of_options(page, run);
    }
}

fn of_options(page: &mut TextBlock, run: &RunNeeds) {
    let or_none = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let words = run.options.iter().map(|word| quoted(word));
    let words = words.collect::<Vec<_>>().join(" ");
    page.item(2, &format!("For the run {words}:"));
    let mut labelled = |label: &str, text: &str| {
        page.labelled(&format!("    {label:<width$}", width = LABEL - 4), LABEL, text);
    };
    labelled("smallest set", &or_none(&run.smallest));
    labelled("complete set", &or_none(&run.complete));
    labelled("whole run", &or_none(&run.whole_run));
    match &run.missing[..] {
        [] => labelled("missing", "none"),
        missing => labelled(
            "missing",
            &format!(
                "{}: run it as root, or grant the complete set (setcap, or AmbientCapabilities= \
                 of systemd)",
                missing.join(", ")
            ),
        ),
    }
}

fn backends(page: &mut TextBlock, report: &Report) {
    page.heading("Backends, best first (each hook of the chosen one is tried below)");
    for Tried { name, check } in &report.backends {
        match check {
            Check::Yes if report.verdict.backend == Some(name) => {
                page.labelled("  yes  ", ANSWER, &format!("{name}: selected"));
            }
            // The trial of the attach type has just printed this reason.
            Check::No { why } if told(&report.ways, why) => {
                page.labelled("  no   ", ANSWER, &format!("{name}: see above"));
            }
            check => answer(page, name, check),
        }
    }
}

fn told(ways: &[Tried], reason: &str) -> bool {
    ways.iter().any(|way| matches!(&way.check, Check::No { why } if why == reason))
}

fn answer(page: &mut TextBlock, name: &str, check: &Check) {
    match check {
        Check::Yes => page.labelled("  yes  ", ANSWER, name),
        Check::No { why } => {
            page.labelled("  no   ", ANSWER, &format!("{name}: {why}"));
        }
        Check::NotChecked { why } => {
            page.labelled("  -    ", ANSWER, &format!("{name}: not tried, {why}"));
        }
    }
}

fn hooks(page: &mut TextBlock, report: &Report) {
    let (Some(backend), Some(moments)) = (report.shown, &report.hooks) else {
        page.heading("Hooks");
        page.item(2, "none could be tried");
        return;
    };
    page.heading(&format!("Hooks of {backend} (instructions that the verifier walked)"));
    for each in moments {
        moment(page, each);
    }
}

fn moment(page: &mut TextBlock, moment: &Moment) {
    let used = match (moment.used.as_slice(), moment.needed) {
        ([], true) => "MISSING, and required".into(),
        ([], false) => "missing".into(),
        (used, _) => programs(used),
    };
    labelled(page, moment.name, &used);
    for refused in &moment.refused {
        page.item(LABEL, &format!("not by {}: {}", refused.by, refused.why));
    }
}

/// For example `fentry+fexit tcp_check_req (518+3402)`; before 5.16 the instruction counts are
/// unknown.
fn programs(used: &[Used]) -> String {
    let walked: Option<Vec<String>> =
        used.iter().map(|used| Some(used.walked?.to_string())).collect();
    let hooks = by(used.iter().map(|used| (used.attach, used.target)));
    walked.map_or(hooks.clone(), |walked| format!("{hooks} ({})", walked.join("+")))
}

fn values(page: &mut TextBlock, values: Option<&[Global]>, verbose: bool) {
    page.heading("Values read from the kernel's BTF (byte offsets, masks, numbers)");
    let Some(values) = values else {
        return page.item(2, "none: no BTF");
    };
    let found = values.iter().filter(|value| value.value.is_some()).count();
    page.item(2, &format!("{found} of {} found", values.len()));
    for value in values {
        match value.value {
            Some(number) if verbose => {
                page.item(2, &format!("{} = {number} {}", value.name, source(value)));
            }
            Some(_) => {}
            None => page.item(2, &format!("absent: {} {}", value.name, source(value))),
        }
    }
}

fn source(value: &Global) -> String {
    if value.source.is_empty() { String::new() } else { format!("({})", value.source) }
}

fn seen(value: &Seen<String>) -> Cow<'_, str> {
    match value {
        Seen::Value(text) => Cow::Borrowed(text),
        Seen::NotReadable(why) => Cow::Owned(format!("not readable ({why})")),
    }
}

/// For example `KPROBES=y MPTCP=n`; the label replaces the common prefix.
fn config(values: &BTreeMap<&'static str, String>) -> String {
    let short = |name: &'static str| name.strip_prefix("CONFIG_").unwrap_or(name);
    let pairs: Vec<String> =
        values.iter().map(|(name, value)| format!("{}={value}", short(name))).collect();
    pairs.join(" ")
}

//! What is known about one listener, as lines of text, the most important first, for outputs that
//! show it during tracing.

use backlog_core::event::Listener;
use backlog_core::model::Model;
use backlog_core::model::sizing::Sizing;
use backlog_core::model::summary::Summary;
use backlog_core::text::format::plural;
use backlog_core::text::{acceptor, owner_text};
use backlog_ebpf::cause::Cause;

use super::{advice, workers};

/// The lines, with this verdict.
pub(crate) fn lines(model: &Model, summary: &Summary<'_>, sizing: &Sizing) -> Vec<String> {
    let page = summary.page;
    let mut lines = vec![owner(&page.listener)];
    if summary.drops > 0 || sizing.verdict.is_trouble() {
        lines.insert(0, format!("{}: {}", sizing.verdict.name(), owner_text::safe(&sizing.why)));
    }
    if let Some(acceptor) = page.episodes.kept().last().and_then(|last| last.acceptor.as_deref()) {
        lines.push(acceptor::sentence(acceptor));
    }
    if let Some(idle) = page.idle.as_deref() {
        lines.push(acceptor::sentence(idle));
    }
    if let Some(workers) = workers::sentence(page) {
        lines.push(format!("accepted by {workers}"));
    }
    if let Some(failed) = page.accept_errors.sentence() {
        lines.push(owner_text::safe(&failed));
    }
    if summary.drops > 0 {
        // A packet that was only counted may be from another client.
        let least = if page.has_every_client() { "" } else { "at least " };
        let causes: Vec<String> = Cause::ALL
            .iter()
            .map(|cause| (cause.name(), page.totals.drops[*cause as usize]))
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        lines.push(format!(
            "refused {} of {least}{}: {}",
            plural(summary.drops, "packet"),
            plural(page.clients(), "client"),
            causes.join(", "),
        ));
        lines.extend(advice::clients(model, page, model.ticked_ns()));
    }
    lines.push(format!(
        "{} queued, {} accepted, {} in the queue",
        plural(page.totals.enqueued, "connection"),
        page.totals.accepted,
        page.depth(),
    ));
    lines
}

/// Who holds it, its namespace or container, and the requested backlog.
fn owner(listener: &Listener) -> String {
    let process = owner_text::process(listener).unwrap_or_else(|| "owner unknown".into());
    let mut words = vec![process.clone()];
    if let Some(owner) = &listener.identity.owner {
        words.extend(owner_text::home(owner));
    }
    if let Some(netns) = listener.identity.netns.as_deref().filter(|name| *name != "host") {
        words.push(format!("namespace {}", owner_text::safe(netns)));
    }
    let call = listener.call.as_ref();
    words.push(match call.and_then(|call| Some((call, call.asked?))) {
        Some((call, asked)) => {
            let cut = owner_text::cut(call, listener.limit);
            let cut = cut.unwrap_or_else(|| format!("requested {asked}"));
            // The holder is usually also the process that called listen().
            cut.strip_prefix(&process).map_or(cut.clone(), |rest| rest.trim_start().to_owned())
        }
        None => "requested: unknown".into(),
    });
    words.join(", ")
}

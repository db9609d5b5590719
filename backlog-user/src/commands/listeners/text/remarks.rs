//! The text below the table: findings grouped by remedy, and an explanation of the columns.

use backlog_core::text::format::plural;

use super::super::finding::{Finding, Kind, Level};
use super::super::host::Host;
use crate::output::text_block::TextBlock;

/// The maximum number of listeners that a finding lists; JSON has all.
const NAMED: usize = 10;

/// Findings that are printed as one.
struct Group<'a, 'b> {
    level: Level,
    kind: Kind,
    cure: Option<&'b str>,
    members: Vec<&'b Finding<'a>>,
}

/// Prints all findings.
pub(super) fn findings(page: &mut TextBlock, host: &Host, findings: &[Finding<'_>]) {
    if findings.iter().all(|finding| finding.level == Level::Info) {
        page.title("Findings: none");
    } else {
        page.title("Findings");
    }
    for group in groups(findings) {
        let Group { level, kind, cure, members } = group;
        page.item(2, &format!("{}: {}", level.name(), kind.name()));
        for finding in members.iter().take(NAMED) {
            let about = about(host, finding);
            page.labelled("    ", 6, &format!("{about}{}", finding.fact));
        }
        if let Some(more @ 1..) = members.len().checked_sub(NAMED) {
            page.item(4, &format!("and {} (all by -o json)", plural(more as u64, "other")));
        }
        if let Some(cure) = cure {
            page.labelled("    -> ", 7, cure);
        }
    }
}

fn groups<'a, 'b>(findings: &'b [Finding<'a>]) -> Vec<Group<'a, 'b>> {
    let mut groups: Vec<Group<'a, 'b>> = Vec::new();
    for finding in findings {
        let Finding { level, kind, space: _, listener: _, fact: _, cure } = finding;
        let (level, kind, cure) = (*level, *kind, cure.as_deref());
        let same = |group: &&mut Group<'_, '_>| {
            group.level == level && group.kind == kind && group.cure == cure
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.members.push(finding),
            None => groups.push(Group { level, kind, cure, members: vec![finding] }),
        }
    }
    groups
}

/// The subject of a finding, unless it is about the host. The namespace is printed only if there
/// are several.
fn about(host: &Host, finding: &Finding<'_>) -> String {
    let space = finding.space.map(|space| space.name.clone().unwrap_or(space.netns.to_string()));
    let space = space.filter(|_| host.spaces.len() > 1);
    match (finding.listener, space) {
        (Some(audited), Some(space)) => format!("{} in {space}: ", audited.address()),
        (Some(audited), None) => format!("{}: ", audited.address()),
        (None, Some(space)) => format!("{space}: "),
        (None, None) => String::new(),
    }
}

/// Explains those columns that need it.
pub(super) fn notes(page: &mut TextBlock, host: &Host) {
    let mut listeners = host.spaces.iter().flat_map(|space| &space.listeners).peekable();
    if listeners.peek().is_none() {
        return;
    }
    page.heading("Notes");
    let mut note = |text: &str| page.labelled("  ", 4, text);
    note(
        "LIMIT: the granted backlog, the smaller one of somaxconn and the number passed to \
         listen(). The kernel does not keep that number: backlog-trace shows it for listeners that \
         are opened while it runs.",
    );
    note("DEPTH: connections that wait for accept. LIMIT + 1 fit. USE%: of LIMIT.");
    note(
        "SYNQ: pending handshakes. LIMIT bounds them as well; with cookies off \
         tcp_max_syn_backlog does, too.",
    );
    if listeners.any(|audited| audited.syn_queue.is_none()) {
        note(
            "SYNQ ?: several listeners could own the handshakes to this address (SO_REUSEPORT, \
             or a wildcard), and the kernel does not report which has them.",
        );
    }
    note(
        "DROPS: sk_drops since the listener was opened. A refused SYN counts once, a refused \
         last ACK twice, and some harmless packets once: a repeated SYN, a reset by the client, \
         an ACK deferred by TCP_DEFER_ACCEPT. ListenDrops counts each refusal once, for the \
         whole namespace.",
    );
}

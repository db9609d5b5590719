//! Prints the audit as plain ASCII text in 80 columns. Addresses are never cut: one that is too
//! long for its column gets a line of its own.

mod remarks;

use backlog_core::counter::Counter;
use backlog_core::settings::Settings;
use backlog_core::text::format::plural;
use backlog_core::text::owner_text;

use super::finding::Finding;
use super::host::{Audited, Host, Space};
use crate::output::text_block::TextBlock;

/// Width of the address column: every IPv4 address fits.
const LISTENER: usize = 21;
/// Width of the owner column.
const OWNER: usize = 23;

/// Renders the audit.
pub(super) fn render(host: &Host, findings: &[Finding<'_>]) -> String {
    let mut page = TextBlock::default();
    for space in &host.spaces {
        namespace(&mut page, space);
    }
    if host.spaces.is_empty() {
        page.title("No TCP listener.");
    }
    remarks::findings(&mut page, host, findings);
    remarks::notes(&mut page, host);
    page.into_text()
}

fn namespace(page: &mut TextBlock, space: &Space) {
    let Settings { somaxconn, tcp_max_syn_backlog, syncookies, abort_on_overflow, .. } =
        space.settings;
    page.title(&capital(&space.to_string()));
    let settings = format!(
        "somaxconn {}, tcp_max_syn_backlog {}, syncookies {}, abort_on_overflow {}",
        known(somaxconn),
        known(tcp_max_syn_backlog),
        known(syncookies),
        known(abort_on_overflow),
    );
    page.item(2, &settings);
    let counters = format!(
        "since it began: ListenOverflows {}, ListenDrops {}",
        known(space.counter(Counter::ListenOverflows)),
        known(space.counter(Counter::ListenDrops)),
    );
    page.item(2, &counters);
    page.blank();
    if space.listeners.is_empty() {
        page.item(2, "no TCP listener matches");
    } else {
        page.line(&columns(("LISTENER", "OWNER"), ["LIMIT", "DEPTH", "USE%", "SYNQ", "DROPS"]));
        space.listeners.iter().for_each(|audited| row(page, audited));
    }
    if space.left_out > 0 {
        page.item(2, &format!("({} not selected)", plural(space.left_out as u64, "more listener")));
    }
    page.blank();
}

fn row(page: &mut TextBlock, audited: &Audited) {
    let listener = &audited.listener;
    let (address, owner) = (audited.address(), owner_text::process_word(listener));
    let values = [
        listener.limit.to_string(),
        listener.depth.to_string(),
        audited.use_percent().to_string(),
        known(audited.syn_queue),
        known(listener.sk_drops),
    ];
    let values = values.each_ref().map(String::as_str);
    if address.len() <= LISTENER && owner.len() <= OWNER {
        page.line(&columns((&address, &owner), values));
    } else {
        page.line(&format!("{address:<LISTENER$} {owner}"));
        page.line(&columns(("", ""), values));
    }
}

fn columns((listener, owner): (&str, &str), values: [&str; 5]) -> String {
    let [limit, depth, percent, syn_queue, drops] = values;
    format!(
        "{listener:<LISTENER$} {owner:<OWNER$} {limit:>6} {depth:>6} {percent:>4} \
         {syn_queue:>5} {drops:>7}"
    )
}

/// The value, or `?` if it is unknown.
fn known(value: Option<impl ToString>) -> String {
    value.map_or("?".to_owned(), |value| value.to_string())
}

/// Capitalises the first letter of a sentence.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

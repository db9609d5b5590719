//! The accepting processes, as a sentence.

use std::fmt::Write as _;

use backlog_core::model::page::Page;
use backlog_core::model::saturating::saturating;
use backlog_core::model::workers::Share;
use backlog_core::text::format::plural;
use backlog_core::text::owner_text::safe;

/// The maximum number of processes, and of threads of one process, to name.
const NAMED: usize = 8;

/// For example `python3[81] 60 (50.0 %), python3[82] 60 (50.0 %)`. None: nobody was seen accepting.
pub(crate) fn sentence(page: &Page) -> Option<String> {
    let shares = page.workers.shares();
    if shares.is_empty() {
        return None;
    }
    let accepted = page.totals.accepted;
    let one = |share: &Share<'_>| {
        let percent = share.accepts as f64 * 100.0 / accepted.max(1) as f64;
        let process = safe(&share.process.to_string());
        format!("{process} {} ({percent:.1} %){}", share.accepts, threads(share))
    };
    let named: Vec<String> = shares.iter().take(NAMED).map(one).collect();
    let mut text = named.join(", ");
    if let Some(rest) = shares.get(NAMED..).filter(|rest| !rest.is_empty()) {
        let accepts = saturating(rest.iter().map(|share| share.accepts));
        let _ = write!(text, ", {} more {accepts}", rest.len());
    }
    let other = page.workers.other;
    if other > 0 {
        let _ = write!(
            text,
            "; {other} by further threads: more than the table holds, so the shares are a sample"
        );
    }
    let not_seen = page.workers.not_seen(accepted);
    if not_seen > 0 {
        let _ = write!(text, "; the thread of {not_seen} was not seen");
    }
    Some(text)
}

fn threads(share: &Share<'_>) -> String {
    if share.threads.len() < 2 {
        return String::new();
    }
    let one = |thread: &&backlog_core::event::Accepts| format!("{} {}", thread.tid, thread.count);
    let named: Vec<String> = share.threads.iter().take(NAMED).map(one).collect();
    let all = plural(share.threads.len() as u64, "thread");
    let more = if share.threads.len() > NAMED { ", ..." } else { "" };
    format!(" by {all} ({}{more})", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::output::tests::listener;
    use backlog_core::event::{Accepts, Caller};
    use backlog_core::model::page::Page;

    #[test]
    fn shares_are_of_all_accepts_and_what_is_not_attributed_is_said() {
        let mut page = Page::new(listener(1, "127.0.0.1:80"), 0);
        assert_eq!(sentence(&page), None);
        let accepts =
            |pid, tid, count| Accepts { process: Caller { pid, comm: "web".into() }, tid, count };
        page.totals.accepted = 200;
        page.workers.add(&[accepts(7, 7, 100), accepts(8, 8, 40), accepts(8, 9, 50)], 0);
        assert_eq!(
            sentence(&page).unwrap(),
            "web[7] 100 (50.0 %), web[8] 90 (45.0 %) by 2 threads (9 50, 8 40); the thread of 10 \
             was not seen"
        );
        page.workers.add(&[], 10);
        assert!(sentence(&page).unwrap().ends_with(
            "; 10 by further threads: more than the table holds, so the shares are a sample"
        ));
    }
}

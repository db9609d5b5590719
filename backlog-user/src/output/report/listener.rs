//! The section of one listener: its owner, its plots, its episodes.

use backlog_core::event::Listener;
use backlog_core::model::interval::Waits;
use backlog_core::model::page::Page;
use backlog_core::model::saturating::saturating;
use backlog_core::model::summary::Summary;
use backlog_core::text::acceptor;
use backlog_core::text::format::{duration, plural};
use backlog_core::text::owner_text;
use backlog_ebpf::cause::Beside;
use maud::{Markup, html};

use super::context::Run;
use super::episodes;
use super::plot::bars;
use super::plot::depth::depth;
use super::plot::heat::heat;
use super::shared::{Fact, facts, outside, peak, plain};
use crate::output::workers;

/// The section.
pub(super) fn section(run: &Run<'_>, summary: &Summary<'_>) -> Markup {
    let page = summary.page;
    let id = page.listener.id.0;
    html! {
        article.listener id={ "l" (id) } aria-labelledby={ "h" (id) } {
            h3 id={ "h" (id) } { (page.name()) }
            (facts(&[&numbers(run, summary)[..], &whose_it_is(run, page)].concat()))
            (over_time(run, summary))
            (histograms(summary))
            (episodes::section(run, summary))
        }
    }
}

/// The owner, and the requested backlog.
fn whose_it_is(run: &Run<'_>, page: &Page) -> Vec<Fact> {
    let listener = &page.listener;
    let identity = &listener.identity;
    let owner = identity.owner.as_deref();
    let cmdline = owner.map(|owner| &owner.main.cmdline).filter(|line| !line.is_empty());
    vec![
        ("Process", owner_text::process(listener).map(plain)),
        ("Command line", cmdline.map(|line| html! { code { (outside(line)) } })),
        ("Lives in", owner.map(|owner| plain(owner_text::home(owner).join(", ")))),
        ("Control group", identity.cgroup.as_deref().map(|path| html! { code { (outside(path)) } })),
        ("Network namespace", Some(plain(namespace(listener)))),
        ("Requested limit", Some(plain(asked(listener)))),
        ("Opened", page.listener.opened_now.then(|| run.moment(page.first_seen_ns))),
        ("Follows", page.follows.map(|_| plain("one that closed at the same address"))),
        ("Closed", page.closed.map(|(closed_ns, closed)| html! {
            (run.moment(closed_ns)) ", with " (plural(closed.depth.into(), "connection")) " and "
            (plural(closed.syn_queue.into(), "request")) " in its queues"
        })),
    ]
}

fn namespace(listener: &Listener) -> String {
    let number = listener.netns;
    let name = listener.identity.netns.as_deref();
    name.map_or(number.to_string(), |name| format!("{number} ({})", outside(name)))
}

fn asked(listener: &Listener) -> String {
    match listener.call.as_ref().and_then(|call| Some((call, call.asked?))) {
        Some((call, asked)) => {
            owner_text::cut(call, listener.limit).unwrap_or_else(|| asked.to_string())
        }
        None if listener.opened_now => "unknown: not passed through listen(2) (io_uring?)".into(),
        None => "unknown: opened before the start".into(),
    }
}

/// The counts.
fn numbers(run: &Run<'_>, summary: &Summary<'_>) -> Vec<Fact> {
    let page = summary.page;
    let totals = &page.totals;
    let limit = page.listener.limit;
    let beside: Vec<String> = Beside::ALL
        .into_iter()
        .filter(|beside| totals.beside[*beside as usize] > 0)
        .map(|beside| format!("{} {}", beside.name(), totals.beside[beside as usize]))
        .collect();
    let syn_queue = (totals.syn_queue_peak > 0).then(|| {
        html! {
            "up to " (totals.syn_queue_peak) " of " (limit)
            @if totals.syn_queue_peak_ns > 0 { ", at " (run.moment(totals.syn_queue_peak_ns)) }
        }
    });
    let not_timed = (totals.accepts_without_wait > 0).then(|| {
        html! {
            (plural(totals.accepts_without_wait, "connection")) " queued before the start"
            @if let Some(us) = page.at_least_us.filter(|us| *us > 0) { "; one waited at least " (duration(us)) }
        }
    });
    let enqueue_missed = (totals.enqueue_missed > 0).then(|| {
        html! {
            (plural(totals.enqueue_missed, "connection")) " whose enqueue was missed: no depth and no wait"
        }
    });
    vec![
        (
            "Connections",
            Some(html! {
                (totals.enqueued) " queued, " (totals.accepted) " accepted, " (page.depth())
                " in the queue at the end"
            }),
        ),
        ("Peak", peak(run, summary)),
        ("SYN queue", syn_queue),
        ("Not timed", not_timed),
        ("Not seen", enqueue_missed),
        ("Beside", (!beside.is_empty()).then(|| plain(beside.join(", ")))),
        ("Accepted by", workers::sentence(page).map(plain)),
        ("Stall", page.idle.as_deref().map(|idle| plain(outside(&acceptor::sentence(idle))))),
        ("Failed accepts", page.accept_errors.sentence().map(|text| plain(outside(&text)))),
        ("Limit changes", limits(run, summary)),
    ]
}

fn limits(run: &Run<'_>, summary: &Summary<'_>) -> Option<Markup> {
    let moments = run.annotations.of(summary.page.listener.id)?;
    (!moments.limits.is_empty()).then(|| {
        html! {
            @for (index, (time_ns, limit)) in moments.limits.iter().enumerate() {
                @if index > 0 { "; " }
                (limit.was) " → " (limit.now) " at " (run.moment(*time_ns))
            }
        }
    })
}

/// A wide plot, which scrolls on a narrow screen.
fn pan(plot: &Markup) -> Markup {
    html! { div.pan role="group" aria-label="Plot over time" tabindex="0" { (plot) } }
}

/// The plots over time.
fn over_time(run: &Run<'_>, summary: &Summary<'_>) -> Markup {
    let Some(timeline) = &summary.page.timeline else {
        return html! {
            p.note { "Its history was not kept: too many other listeners were busy." }
        };
    };
    html! {
        figure.time {
            (pan(&depth(run, summary, timeline)))
            figcaption {
                "Area: the deepest in each interval. Line: the depth at its end. Dashed: the limit."
                @if summary.drops > 0 {
                    " Triangles: where a run of drops began. Below: refused packets."
                }
            }
        }
        @if let Some(plot) = heat(run, summary, timeline) {
            figure.time {
                (pan(&plot))
                figcaption {
                    "Waits of the connections accepted in each interval: the stronger the \
                     colour, the more connections (logarithmic)."
                }
            }
        }
    }
}

fn histograms(summary: &Summary<'_>) -> Markup {
    let page = summary.page;
    let id = page.listener.id.0;
    let totals = &page.totals;
    let timed = totals
        .accepted
        .saturating_sub(totals.accepts_without_wait.saturating_add(totals.enqueue_missed));
    let met = totals.enqueued.saturating_sub(totals.enqueue_missed);
    let used = saturating(page.peak_use.0.iter().skip(1).copied());
    html! {
        div.bars {
            @if let Some(waits) = Waits::of(&page.wait) {
                figure {
                    (bars::waits(&format!("wait{id}"), &page.wait.buckets(), &waits))
                    figcaption {
                        b { "Accept latency" } (of(page.wait.count(), timed)) ". p50 "
                        (duration(waits.p50)) ", p90 " (duration(waits.p90)) ", p99 "
                        (duration(waits.p99)) ", max " (duration(waits.max)) " (the lines)."
                    }
                }
            }
            @if used > 0 {
                figure {
                    (bars::peak_use(&format!("use{id}"), &page.peak_use))
                    figcaption {
                        b { "Peak use" } ": intervals by their peak in percent of the limit; the \
                        first bar: nothing queued, the last: above the limit."
                    }
                }
            }
            @if page.depth.count() > 0 {
                figure {
                    (bars::depths(&format!("met{id}"), &page.depth.buckets()))
                    figcaption {
                        b { "Depth that arrivals met" } (of(page.depth.count(), met))
                        ", themselves included."
                    }
                }
            }
        }
    }
}

/// How much of what was counted a histogram contains, if not all.
fn of(seen: u64, counted: u64) -> String {
    if seen == counted { String::new() } else { format!(" of {seen} of {counted} connections") }
}

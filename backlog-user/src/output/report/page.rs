//! The whole page: its head, the order of its parts, and its policy, which lets it load nothing.

use backlog_core::model::summary::Summary;
use backlog_core::text::outside::harmless;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::context::Run;
use super::shared::{outside, plain};
use super::{listener, measured, order, overview, reconciled, verdict};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Only these two may be used and nothing may be loaded: if an external string ever became markup,
/// it could neither run code nor contact anyone. (A test compares the hashes with the files.)
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-BDH3x1dvG6pF/82nsla4Mih04Wnu7GYHO2PzGgfYub8='; \
    script-src 'sha256-aRg4TGtM8F3gvZBemkNnff785F4iqhG2HjCjkb7lpdM='; \
    base-uri 'none'; form-action 'none'";

/// The page.
pub(super) fn render(run: &Run<'_>) -> String {
    let ordered = order::ordered(run.summaries);
    let drawn = order::drawn(&ordered);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content={ "backlog-trace " (env!("CARGO_PKG_VERSION")) };
                title { "Accept queues" @if let Some(host) = &run.meta.host { " of " (outside(host)) } ", " (began(run)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (heading(run)) }
                main {
                    (verdict::section(run, &ordered, &drawn))
                    (overview::section(run, &ordered))
                    @if !drawn.is_empty() {
                        section aria-labelledby="each" {
                            h2 #each { "Each listener" }
                            @for summary in &drawn { (listener::section(run, summary)) }
                            (left_out(&ordered, drawn.len()))
                        }
                    }
                    (overview::groups(run))
                    (reconciled::section(run))
                    (measured::settings(run))
                    (measured::section(run))
                    (measured::command(run))
                }
                footer { p {
                    "Made by backlog-trace " (env!("CARGO_PKG_VERSION")) ". Times are "
                    (zone_name(run)) ". A limit of 16 admits 17 connections, so 17/16 is \
                        correct. This page loads nothing and sends nothing."
                } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    // The template escapes markup, but not characters that reverse or hide text. They are replaced
    // here, for every part of the page.
    harmless(&page.into_string()).into_owned()
}

fn heading(run: &Run<'_>) -> Markup {
    let Run { meta, end, clock, .. } = run;
    let host = meta.host.as_deref().map_or_else(|| "a host".to_owned(), outside);
    let ended = clock.wall(end.time_ns);
    html! {
        h1 { "Accept queues of " (host) }
        p {
            (began(run)) " to " (run.day_and_time(ended)) " " (zone_name(run)) ", "
            (format!("{:.1} s", end.elapsed_ns as f64 / 1e9)) ". Kernel " (outside(&meta.kernel))
            ", traced by " (meta.backend.name()) "."
        }
        @if let Some(command) = &end.command {
            p { (command) "." }
        }
        @if let Some(why) = &end.recording_incomplete {
            p { strong.bad { "Incomplete" } ": " (outside(why)) "." }
        }
    }
}

fn began(run: &Run<'_>) -> String {
    run.day_and_time(run.clock.wall(run.meta.time_ns))
}

/// `UTC`, or the offset and name of the zone.
fn zone_name(run: &Run<'_>) -> String {
    let info = run.zone.to_offset_info(run.clock.wall(run.meta.time_ns));
    let (offset, name) = (info.offset(), info.abbreviation());
    if offset.is_zero() && name == "UTC" { "UTC".into() } else { format!("UTC{offset} ({name})") }
}

/// A note on the listeners without a section.
fn left_out(ordered: &[Summary<'_>], drawn: usize) -> Markup {
    let active = ordered.iter().filter(|summary| summary.active()).count();
    let text = match active - drawn {
        0 => return html! {},
        1 => "One more active listener is not drawn. ".to_owned(),
        more => format!("{more} more active listeners are not drawn. "),
    };
    html! { p.note { (plain(text)) "They are in the table above." } }
}

#[cfg(test)]
mod tests {
    use super::{POLICY, SCRIPT, STYLE};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_policy_lets_just_these_two_run() {
        let sum = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
        let expected = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
             form-action 'none'",
            sum(STYLE),
            sum(SCRIPT)
        );
        assert_eq!(POLICY, expected, "put these hashes into POLICY");
    }
}

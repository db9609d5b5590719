//! The HTML document of the page. It loads only its events, the history of a listener, and reports,
//! all from the service that has sent it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use maud::{DOCTYPE, PreEscaped, html};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("plot.js"), include_str!("page.js"));

/// The document, and its content security policy.
pub(crate) struct Document {
    pub(crate) html: String,
    pub(crate) policy: String,
}

/// The document, which does not change while the service runs.
pub(crate) fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| Document { html: render(), policy: policy() })
}

/// Permits only this style and this script, so that an external string that became markup could
/// neither run code nor contact anyone.
fn policy() -> String {
    let mut policy = String::from("default-src 'none'");
    for (kind, text) in [("style-src", STYLE), ("script-src", SCRIPT)] {
        let _ = write!(policy, "; {kind} 'sha256-{}'", base64(&Sha256::digest(text)));
    }
    policy
        + "; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
              frame-ancestors 'none'; require-trusted-types-for 'script'"
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}

fn render() -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                // Without this, browsers request /favicon.ico.
                link rel="icon" href="data:,";
                title { "Accept queues" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    div {
                        h1 #title { "Accept queues" }
                        p { span #state.state role="status" { "connecting" } " " span #system {} }
                    }
                    form action="report" method="get" target="_blank" rel="noopener" {
                        label for="minutes" { "Report of the last" }
                        select #minutes name="minutes" {
                            @for minutes in [1, 5, 15] {
                                option value=(minutes) selected[minutes == 5] { (minutes) " min" }
                            }
                        }
                        button { "Open" }
                    }
                }
                noscript { p.alarm { "This page needs JavaScript. Metrics are at /metrics." } }
                p #message.alarm role="alert" hidden {}
                main { (PreEscaped(sections())) }
            }
            script { (PreEscaped(SCRIPT)) }
        }
    };
    page.into_string()
}

fn sections() -> String {
    let sections = html! {
        div.column {
            section #list aria-labelledby="listeners" {
                h2 #listeners { "Listeners" }
                table {
                    thead { tr {
                        th scope="col" { "Listener" }
                        th.use scope="col" { "Peak / limit" }
                        th.n.wide scope="col" { "Depth" }
                        th.n.wide scope="col" { "In/s" }
                        th.n.wide scope="col" { "p99 wait" }
                        th.n scope="col" { "Drops" }
                    } }
                    tbody #rows {}
                }
                p #more.soft {}
            }
            section #refusals aria-labelledby="refused" {
                h2 #refused { "Latest drops" }
                ol #drops.log tabindex="0" aria-labelledby="refused" {}
            }
        }
        div.column {
            section #one aria-labelledby="chosen" {
                h2 #chosen { "No listener is selected" }
                p #verdict {}
                div #windows role="group" aria-label="Time shown" {}
                figure {
                    div #plot {}
                    figcaption #caption.soft {}
                }
                ul #about {}
            }
            section #messages aria-labelledby="noticed" {
                h2 #noticed { "Notices" }
                ol #notices.log tabindex="0" aria-labelledby="noticed" {}
            }
        }
    };
    sections.into_string()
}

#[cfg(test)]
mod tests {
    use super::{SCRIPT, document};

    #[test]
    fn it_loads_nothing_and_builds_no_markup_from_strings() {
        let document = document();
        assert!(document.policy.starts_with("default-src 'none'; style-src 'sha256-"));
        let html = document.html.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        for unsafe_way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "Function("] {
            assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way}");
        }
    }
}

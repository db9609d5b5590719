//! Serves the page, its events, the history of a listener, and reports. They name clients and
//! owners, so a guard checks each request.

use backlog_core::event::ListenerId;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, StatusCode};

use super::access::{Guard, Pass};
use super::events;
use super::life::Life;
use super::query::number;
use super::response::{Answer, text, whole, with};
use super::site::Site;
use crate::commands::serve::report::{self, MOST_MINUTES};
use crate::output::web::document::document;

const SAME_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The answer to a request for something private.
pub(super) async fn answer(
    request: &Request<()>,
    site: &Site,
    guard: &Guard,
    life: &Life,
) -> Answer {
    let path = request.uri().path();
    if !matches!(path, "/" | "/events" | "/history" | "/report") {
        return text(StatusCode::NOT_FOUND, "not found\n");
    }
    let pass = match guard.admit(request) {
        Ok(pass) => pass,
        Err(refused) => return safe(refused),
    };
    // HEAD requests the headers of the page only.
    let answer = match path {
        "/" => page(),
        _ if request.method() == Method::HEAD => {
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET is supported here\n")
        }
        "/events" => events::stream(&site.board, life),
        "/history" => history(request, site),
        _ => report(request, site, life).await,
    };
    safe(match pass {
        Pass::Known => answer,
        Pass::New(cookie) => with(answer, SET_COOKIE, cookie),
    })
}

/// Adds headers, so that the answer is not cached, framed, or read by another site.
fn safe(answer: Answer) -> Answer {
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (SAME_ORIGIN, "same-origin"),
    ];
    let add = |answer, (name, value)| with(answer, name, HeaderValue::from_static(value));
    headers.into_iter().fold(answer, add)
}

fn html(html: impl Into<Bytes>) -> Answer {
    with(whole(html.into()), CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
}

fn page() -> Answer {
    let document = document();
    match HeaderValue::from_str(&document.policy) {
        Ok(policy) => with(html(document.html.as_bytes()), CONTENT_SECURITY_POLICY, policy),
        // The page must not be sent without its policy.
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the policy is not a header\n"),
    }
}

/// The report of the last minutes. It carries its own content security policy.
async fn report(request: &Request<()>, site: &Site, life: &Life) -> Answer {
    let minutes = number(request.uri().query(), "minutes").map(u64::from);
    let minutes = minutes.filter(|minutes| (1..=MOST_MINUTES).contains(minutes));
    let (Some(minutes), Some(past)) = (minutes, site.past.clone()) else {
        return text(StatusCode::BAD_REQUEST, format!("give ?minutes=1 to {MOST_MINUTES}\n"));
    };
    let Some(made) = site.reports.now(move || report::render(&past, minutes)) else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "another report is being made: try again\n");
    };
    life.extend();
    let made = made.await;
    life.shorten();
    match made {
        Ok(Ok(page)) => html(page),
        Ok(Err(error)) => {
            text(StatusCode::SERVICE_UNAVAILABLE, format!("no report: {error:#}: try again\n"))
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the report could not be made\n"),
    }
}

fn history(request: &Request<()>, site: &Site) -> Answer {
    let Some(listener) = number(request.uri().query(), "listener") else {
        return text(StatusCode::BAD_REQUEST, "give ?listener=NUMBER\n");
    };
    // Serialising our own numbers cannot fail.
    let json = serde_json::to_vec(&site.board.history(ListenerId(listener))).unwrap_or_default();
    let kind = HeaderValue::from_static("application/json");
    with(whole(json.into()), CONTENT_TYPE, kind)
}

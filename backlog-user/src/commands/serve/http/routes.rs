//! Maps paths to answers.

use std::sync::Arc;

use backlog_core::metrics::Format;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::access::Guard;
use super::life::Life;
use super::private;
use super::response::{Answer, text, whole, with};
use super::site::Site;
use crate::commands::serve::health::Health;
use crate::commands::serve::users::Users;

/// Answers a request from an address with this guard.
pub(super) async fn answer(
    request: &Request<()>,
    site: &Site,
    (guard, users): &(Guard, Option<Arc<Users>>),
    life: &Life,
) -> Answer {
    if let Some(users) = users
        && !users.admit(request).await
    {
        let realm = HeaderValue::from_static("Basic realm=\"backlog-trace\"");
        let answer = text(StatusCode::UNAUTHORIZED, "give a user and a password\n");
        return with(answer, WWW_AUTHENTICATE, realm);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n");
    }
    let health = &site.health;
    match request.uri().path() {
        "/metrics" => metrics(request.headers(), health),
        "/-/healthy" if health.is_alive() => text(StatusCode::OK, "healthy\n"),
        "/-/healthy" => text(StatusCode::SERVICE_UNAVAILABLE, "the tracer is stuck\n"),
        "/-/ready" if health.is_ready() => text(StatusCode::OK, "ready\n"),
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => private::answer(request, site, guard, life).await,
    }
}

fn metrics(headers: &HeaderMap, health: &Health) -> Answer {
    let Some(page) = health.published.borrow().clone() else {
        let why = "the first interval has not ended\n";
        return text(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(value(ACCEPT));
    let zips = accepts_gzip(value(ACCEPT_ENCODING));
    let body = if zips { page.zipped(format) } else { page.text(format) };
    let kind = HeaderValue::from_static(format.content_type());
    let answer = with(whole(body), CONTENT_TYPE, kind);
    let answer = with(answer, VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    let gzip = HeaderValue::from_static("gzip");
    if zips { with(answer, CONTENT_ENCODING, gzip) } else { answer }
}

fn accepts_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next() == Some("gzip") && !words.any(|word| matches!(word, "q=0" | "q=0.0"))
    })
}

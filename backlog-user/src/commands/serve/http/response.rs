//! HTTP answers.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) type Answer = Response<Body>;

/// An answer with a text.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut answer = with(whole(text.into()), CONTENT_TYPE, plain);
    *answer.status_mut() = status;
    answer
}

/// A body in one piece.
pub(super) fn whole(body: Bytes) -> Answer {
    Response::new(Full::new(body).boxed_unsync())
}

/// The answer with one more header.
pub(super) fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}

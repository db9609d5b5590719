//! The stream of events: a frame for each interval. A slow reader misses frames, and one that reads
//! nothing is disconnected.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use super::life::Life;
use super::response::{Answer, text, with};
use crate::commands::serve::board::{Board, VIEWERS};
use crate::output::web::Viewer;

/// A reader that takes nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(15);

/// The start of the stream, so that the browser knows at once that it is connected, and how soon to
/// reconnect.
const BEGIN: &[u8] = b"retry: 2000\n\n";

/// Opens a stream, if there is room for one more.
pub(super) fn stream(board: &Arc<Board>, life: &Life) -> Answer {
    let Some(viewer) = board.viewers.join(VIEWERS) else {
        let why = "too many browsers show this page: close one of them\n";
        let later = HeaderValue::from_static("10");
        return with(text(StatusCode::SERVICE_UNAVAILABLE, why), RETRY_AFTER, later);
    };
    life.extend();
    let (to, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(send(to, board.follow(), viewer, life.clone()));
    let kind = HeaderValue::from_static("text/event-stream");
    with(Response::new(body.boxed_unsync()), CONTENT_TYPE, kind)
}

/// Sends frames until the connection ends, or ends the connection itself: data that its reader has
/// not taken would keep it open.
async fn send(
    mut to: Sender<Bytes, Infallible>,
    mut frames: watch::Receiver<Bytes>,
    _viewer: Viewer,
    life: Life,
) {
    let mut next = Bytes::from_static(BEGIN);
    while let Ok(Ok(())) = timeout(PATIENCE, to.send_data(next)).await {
        if frames.changed().await.is_err() {
            break;
        }
        next = frames.borrow_and_update().clone();
    }
    life.end();
}

//! Passes records through the code of a live run, as they lie in the ring buffer.

use super::recording::{Written, assert_json};
use crate::bench::{Pipeline, Stage};

/// Reads the records one after the other, each as long as its header says.
pub(super) fn read(bytes: &[u8]) {
    let out = Written::default();
    let mut run = Pipeline::new(Stage::Json, out.clone());
    // Writing to memory cannot fail.
    let done = run.records(bytes).and_then(|()| run.interval(2_000_000_000));
    assert!(done.is_ok(), "{done:?}");
    assert_json(&out.take());
}

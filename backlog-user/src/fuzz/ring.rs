//! Records as the ring buffer holds them, through the way of a live run.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::recording::assert_json;
use crate::bench::{Pipeline, Stage};

/// Collects what an output writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

/// Reads one record after the other, each as long as its header says.
pub(super) fn read(bytes: &[u8]) {
    let out = Written::default();
    let mut run = Pipeline::new(Stage::Json, out.clone());
    // Memory takes what is written.
    let done = run.records(bytes).and_then(|()| run.interval(2_000_000_000));
    assert!(done.is_ok(), "{done:?}");
    assert_json(&out.take());
}

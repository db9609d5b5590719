//! Collects the text that a table writes for another output, where each line becomes a message.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Rc<RefCell<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Told {
    /// The messages, each with its continuation lines.
    pub(crate) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.borrow_mut());
        let mut notices: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&bytes).lines() {
            match notices.last_mut() {
                Some(last) if line.starts_with(' ') => {
                    last.push_str("; ");
                    last.push_str(line.trim());
                }
                _ => notices.push(line.to_owned()),
            }
        }
        notices
    }
}

//! Requests that wait for the receiver. The oldest is sent first, and dropped first, since newer
//! counts include it.

use std::collections::VecDeque;

use hyper::body::Bytes;

/// Five minutes of requests with the default period.
const REQUESTS: usize = 20;
/// The maximum total size in bytes. A request with 1,000 listeners takes some 300 KB.
const BYTES: usize = 8 << 20;

/// A request.
pub(super) struct Waiting {
    pub(super) body: Bytes,
    pub(super) points: u64,
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Queue {
    requests: VecDeque<Waiting>,
    bytes: usize,
}

impl Queue {
    /// Adds a request, and returns how many points were dropped for it.
    pub(super) fn push(&mut self, waiting: Waiting) -> u64 {
        self.bytes += waiting.body.len();
        self.requests.push_back(waiting);
        let mut dropped = 0;
        while self.requests.len() > REQUESTS || self.bytes > BYTES {
            dropped += self.remove_first();
        }
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.requests.front()
    }

    /// Removes the oldest request, and returns the number of its points.
    pub(super) fn remove_first(&mut self) -> u64 {
        let Some(first) = self.requests.pop_front() else { return 0 };
        self.bytes -= first.body.len();
        first.points
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, Bytes, Queue, REQUESTS, Waiting};

    fn waiting(size: usize, points: u64) -> Waiting {
        Waiting { body: Bytes::from(vec![0; size]), points }
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let mut queue = Queue::default();
        let dropped: Vec<u64> =
            (0..REQUESTS as u64 + 2).map(|n| queue.push(waiting(1, n))).collect();
        assert_eq!(dropped.iter().sum::<u64>(), 1, "those of the first two: 0 and 1");
        assert_eq!(queue.first().unwrap().points, 2);
        // A large request displaces all others.
        queue.push(waiting(BYTES, 7));
        assert_eq!((queue.first().unwrap().points, queue.bytes), (7, BYTES));
        // A request that is too large is dropped itself.
        assert_eq!(queue.push(waiting(BYTES + 1, 9)), 16);
        assert!(queue.is_empty() && queue.bytes == 0);
    }
}

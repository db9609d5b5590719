//! Clients that reset their connection while it is queued. It stays in the queue
//! without a port of its own until accept takes it.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use backlog_tests::tracer::Tracer;
use socket2::SockRef;

use super::help::{LIMIT, PORT, PORT_TEXT, in_guest};

#[test]
fn a_connection_that_was_reset_in_the_queue_is_accepted_and_timed() {
    in_guest(|| {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
        let tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        for _ in 0..5 {
            let client = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
            // Closed with nothing to linger for, it sends a reset.
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        }
        for _ in 0..5 {
            listener.accept().unwrap();
        }
        let run = tracer.stop(LIMIT).unwrap();
        let summary = run.summary(PORT).unwrap();
        assert_eq!((summary.enqueued, summary.accepted, summary.queued), (5, 5, 0));
        assert_eq!(summary.wait_us.count(), 5);
    });
}

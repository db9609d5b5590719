//! `--report` in a real run: the page agrees with the JSON lines, and a destination that cannot be
//! written is rejected before tracing begins. (A test on the host checks its look in a browser,
//! with synthetic events.)

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use backlog_tests::tracer::{self, Tracer};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest_once, scratch, stop};

/// A backlog of 16 holds 17 connections and nobody accepts.
const FULL: &str = "--backlog 16 --count 22 --rate 200 --no-accept --hold-to-end \
                    --connect nonblocking --connect-timeout 1600ms";

#[test]
fn the_page_says_what_the_lines_say() {
    in_guest_once(|| {
        let path = scratch("report.html");
        let text = path.to_str().unwrap();
        let tracer = Tracer::start(&["--port", PORT_TEXT, "--report", text, "0.2"], LIMIT).unwrap();
        let load = Load::listening(PORT, FULL);
        load.go();
        load.finish();
        assert!(!path.exists(), "written before the end");
        let run = stop(tracer);
        let page = fs::read_to_string(&path).unwrap();
        let drops = &run.summary(PORT).unwrap().drops;
        assert!(drops.total >= 5);
        let verdict =
            format!("{} packets of {} clients were refused.", drops.total, drops.clients.unwrap());
        let plot = format!("At most 17 of a limit of 16; {} packets refused in ", drops.total);
        for said in [&verdict, &plot, "accept_queue_full_syn from 127.0.0.1:"] {
            assert!(page.contains(said), "no `{said}` in {} bytes: {drops:?}", page.len());
        }
        assert!(page.ends_with("</html>") && !page.contains("could not be drawn"));
        assert!(run.stderr.contains("report: "), "{}", run.stderr);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_place_that_cannot_be_written_is_refused_at_once() {
    in_guest_once(|| {
        for (path, cure) in [("/no/such/folder/x.html", "create that folder"), ("/", "in it")] {
            let run = tracer::run(&["--report", path, "-d", "60s"], LIMIT).unwrap();
            assert_eq!(run.code(), Some(2), "{path}: {}", run.stderr);
            assert!(run.stderr.contains(cure), "{path}: {}", run.stderr);
        }
    });
}

//! A server that is throttled by the CPU limit of its cgroup: the limit is reported when drops
//! begin.

use std::io::{Write as _, stderr};
use std::process::{Child, Command};

use backlog_tests::cgroup::Cgroup;
use backlog_tests::tracer::Tracer;

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, stop};

/// Accepts for two seconds, and then stops for so long that the queue overflows.
const LOAD: &str = "--backlog 2 --rate 20 --duration 5s --stall 1500ms --stall-after 40 \
                    --connect nonblocking --connect-timeout 800ms";

/// A process that uses all the CPU time it gets; it ends when this is dropped.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_cpu_limit_that_holds_the_acceptors_back_is_named() {
    in_guest(|| {
        let cgroup = match Cgroup::with_cpu_limit("backlog-limited", 10_000, 100_000) {
            Ok(cgroup) => cgroup,
            Err(error) => {
                let _ = writeln!(stderr(), "not tested: a CPU limit: {error:#}");
                return;
            }
        };
        let busy = Busy(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
        let load = Load::listening(PORT, LOAD);
        for process in [busy.0.id(), load.id()] {
            cgroup.add(process).unwrap();
        }
        let tracer = Tracer::start(&["--port", PORT_TEXT, "0.5"], LIMIT).unwrap();
        load.go();
        load.finish();
        let run = stop(tracer);
        let limits: Vec<_> =
            run.lines.iter().filter(|line| line.is("acceptor")).map(|line| &line.raw).collect();
        let limit = limits.iter().find(|line| line["cpu_limit"]["throttled"].as_u64() > Some(0));
        let limit = limit.unwrap_or_else(|| panic!("no limit: {limits:?}"));
        assert_eq!(limit["cpu_limit"]["quota_us"], 10_000, "{limit}");
        let text = limit["text"].as_str().unwrap();
        assert!(text.contains("by the cgroup limit of 0.10 CPUs"), "{text}");
        drop(busy);
    });
}

//! The tool's report on its own cost: its programs ran for each connection, its CPU time and memory
//! are reported, and programs are timed only on request.

use std::env;
use std::io::Error;
use std::os::unix::process::CommandExt;

use backlog_tests::sysctl::{self, Sysctl};
use backlog_tests::tracer::{self, Run, Tracer};
use serde_json::Value;

use super::blind;
use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest_once, stop};

const CONNECTIONS: u64 = 300;

/// The host's own switch for the statistics.
const SETTING: &str = "kernel.bpf_stats_enabled";

/// The capability that the statistics need.
const CAP_SYS_ADMIN: libc::c_ulong = 21;

/// A run during a load whose connections all succeed.
fn run(more: &[&str]) -> Run {
    let load = format!("--count {CONNECTIONS} --backlog 512 --clients 2 --hold-to-end");
    let load = Load::listening(PORT, &load);
    let tracer = Tracer::start(&[&["--port", PORT_TEXT], more].concat(), LIMIT).unwrap();
    load.go();
    let truth = load.finish();
    assert_eq!(truth.accepted, CONNECTIONS, "the load itself");
    stop(tracer)
}

/// The field `cost` of the last line.
fn cost(run: &Run) -> &Value {
    let end = run.lines.iter().find(|line| line.raw["type"] == "end").unwrap();
    &end.raw["cost"]
}

fn number(cost: &Value, name: &str) -> u64 {
    let value = cost[name].as_u64();
    assert!(value.is_some(), "{name}: {cost}");
    value.unwrap()
}

/// Checks the values that need no statistics.
fn assert_process(cost: &Value) {
    assert!(number(cost, "elapsed_ns") > 0, "{cost}");
    assert!(number(cost, "cpu_user_us") + number(cost, "cpu_system_us") > 0, "{cost}");
    assert!(number(cost, "cpu_before_us") > 0, "{cost}");
    let resident = number(cost, "rss_bytes");
    assert!(resident > 1 << 20 && number(cost, "rss_peak_bytes") >= resident, "{cost}");
    // The ring buffer alone has 8 MiB, or less with the options of every run.
    assert!(number(cost, "maps_bytes") > 1 << 20, "{cost}");
    assert!(number(cost, "programs_bytes") > 0, "{cost}");
    assert_eq!(number(cost, "connections"), CONNECTIONS, "{cost}");
}

fn assert_runs(cost: &Value) {
    let programs = cost["programs"].as_array();
    assert!(programs.is_some(), "{cost}");
    let programs = programs.unwrap();
    let sum = |name| programs.iter().map(|program| number(program, name)).sum::<u64>();
    assert_eq!((number(cost, "runs"), number(cost, "run_ns")), (sum("runs"), sum("run_ns")));
    // With any backend, some program sees each connection, and each run takes time.
    let most = programs.iter().map(|program| number(program, "runs")).max();
    assert!(most >= Some(CONNECTIONS), "{cost}");
    assert!(number(cost, "run_ns") > CONNECTIONS, "{cost}");
    for program in programs {
        let ran = (number(program, "runs") > 0, number(program, "run_ns") > 0);
        assert!(matches!(ran, (true, true) | (false, false)), "{program}");
        assert!(program["hook"].as_str().is_some_and(|hook| hook.contains(' ')), "{program}");
    }
}

#[test]
fn with_verbose_programs_have_run_for_each_connection() {
    in_guest_once(|| {
        let run = run(&["-v"]);
        assert_eq!(run.lines[0].raw["bpf_stats"], true, "{}", run.stderr);
        assert_process(cost(&run));
        assert_runs(cost(&run));
    });
}

#[test]
fn without_it_runs_are_known_only_where_the_host_counts_them() {
    in_guest_once(|| {
        let counted = sysctl::get(SETTING).unwrap() == "1";
        let quiet = run(&[]);
        assert_eq!(quiet.lines[0].raw["bpf_stats"], counted);
        assert_process(cost(&quiet));
        assert_eq!(cost(&quiet)["programs"].is_null(), !counted, "{}", cost(&quiet));
        // This is a setting of the whole host, so only change it in a guest.
        if env::var_os("BACKLOG_NATIVE").is_none() {
            let _counting = Sysctl::set(SETTING, "1").unwrap();
            assert_runs(cost(&run(&[])));
        }
    });
}

#[test]
fn without_the_right_it_says_so_and_goes_on() {
    in_guest_once(|| {
        // Kprobes may need this capability themselves.
        if blind::backend() == "kprobe" || sysctl::get(SETTING).unwrap() == "1" {
            return;
        }
        let mut command = tracer::command();
        command.args(["-v", "-d", "0.1"]);
        // SAFETY: prctl takes numbers, and is safe to call between fork and exec.
        unsafe {
            // Root's programs get the capabilities in this set.
            command.pre_exec(|| match libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(Error::last_os_error()),
            });
        }
        let run = Tracer::spawn(&mut command).unwrap().wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert_eq!(run.lines[0].raw["bpf_stats"], false, "{}", run.stderr);
        let told = run.stderr.lines().filter(|line| line.contains("not counted: no CAP_SYS_ADMIN"));
        assert_eq!(told.count(), 1, "{}", run.stderr);
        let cost = cost(&run);
        assert!(cost["programs"].is_null() && cost["run_ns"].is_null(), "{cost}");
        assert!(number(cost, "rss_bytes") > 0, "{cost}");
    });
}

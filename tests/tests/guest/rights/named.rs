//! The capabilities that `doctor` names for a run: enough without root, and those that the run keeps.

use std::fs;
use std::process::Command;

use backlog_tests::netns;
use backlog_tests::tracer::{self, PATH_VARIABLE};
use serde_json::Value;

use super::{
    BPF, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, LOAD, LOOK, PERFMON, SETGID, SETUID,
    SYS_ADMIN, SYS_PTRACE, Status, as_nobody, assert_counts, assert_reduced, bpf_is_reserved,
    nobodys_folder, own_summary, settled, start,
};
use crate::guest::blind;
use crate::guest::help::{Load, PORT, PORT_TEXT, in_guest, in_guest_once, scratch, stop};

/// The sets that `doctor` names for a run with these options and the backend of these tests.
fn named_by_doctor(options: &[&str]) -> Value {
    let tool = std::env::var_os(PATH_VARIABLE).unwrap_or_else(|| "backlog-trace".into());
    let output = Command::new(tool)
        .args(["doctor", "-o", "json", "--backend", blind::backend(), "--"])
        .args(options)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["process"]["needs"]["run"].clone()
}

/// The bits of capabilities by their names.
fn bits(names: &Value) -> u64 {
    let bit = |name: &Value| match name.as_str().unwrap() {
        "CAP_BPF" => BPF,
        "CAP_PERFMON" => PERFMON,
        "CAP_SYS_ADMIN" => SYS_ADMIN,
        "CAP_SYS_PTRACE" => SYS_PTRACE,
        "CAP_DAC_READ_SEARCH" => DAC_READ_SEARCH,
        "CAP_SYS_RESOURCE" => 1 << 24,
        "CAP_KILL" => KILL,
        "CAP_DAC_OVERRIDE" => DAC_OVERRIDE,
        "CAP_FOWNER" => FOWNER,
        "CAP_SETUID" => SETUID,
        "CAP_SETGID" => SETGID,
        name => unreachable!("{name} is not expected"),
    };
    names.as_array().unwrap().iter().map(bit).fold(0, |bits, bit| bits | bit)
}

#[test]
fn what_doctor_names_is_enough_without_root() {
    in_guest(|| {
        let netns = netns::inode().unwrap().to_string();
        let options = ["--port", PORT_TEXT, "--netns", &netns];
        let needs = named_by_doctor(&options);
        for (what, knows_owners) in [("smallest", false), ("complete", true)] {
            let given = bits(&needs[what]) & Status::own().set("CapPrm");
            let load = Load::listening(PORT, LOAD);
            let mut command = tracer::command();
            command.args(options);
            as_nobody(&mut command, given);
            let tracer = start(&mut command);
            let threads = settled(&tracer);
            assert_reduced(what, &threads, given & bits(&needs["whole_run"]));
            load.go();
            let truth = load.finish();
            let run = stop(tracer);
            assert_counts(what, &run, &truth);
            let owner = own_summary(&run).listener.owner.as_ref();
            assert_eq!(owner.is_some(), knows_owners, "{what}: {}", run.stderr);
        }
    });
}

#[test]
fn doctor_names_what_a_run_keeps() {
    in_guest_once(|| {
        let folder = nobodys_folder();
        let (theirs, ours) = (folder.join("report.html"), scratch("report.html"));
        let [theirs, ours] = [&theirs, &ours].map(|one| one.to_str().unwrap());
        let reserved = if bpf_is_reserved() { BPF } else { 0 };
        let start = BPF | PERFMON;
        let others = LOOK | SYS_ADMIN | reserved;
        let files = DAC_OVERRIDE | FOWNER;
        let runs: [(&[&str], u64, u64); 5] = [
            (&["--cmd", "sleep 1"], start, others | KILL),
            (&["--record", ours], start, others),
            (&["--report", theirs], start | files, others | files),
            (&["--record", theirs], start | files, others),
            (&["--user", "65534", "--report", theirs], start | SETUID | SETGID, others),
        ];
        for (options, smallest, whole_run) in runs {
            let needs = named_by_doctor(options);
            let given: Vec<&str> =
                needs["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(given, options);
            assert_eq!(bits(&needs["smallest"]) & smallest, smallest, "{needs}");
            assert_eq!(bits(&needs["whole_run"]), whole_run, "{needs}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "a trial has left a file");
        fs::remove_dir(folder).unwrap();
    });
}

#[test]
fn doctor_names_what_is_missing() {
    in_guest(|| {
        let tool = std::env::var_os(PATH_VARIABLE).unwrap_or_else(|| "backlog-trace".into());
        let mut command = Command::new(tool);
        command.args(["doctor", "-o", "json"]);
        as_nobody(&mut command, SYS_PTRACE | KILL);
        let output = command.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let needs = &report["process"]["needs"];
        let missing = bits(&needs["missing"]);
        assert_eq!(missing & (BPF | PERFMON), BPF | PERFMON, "{needs}");
        assert_eq!(missing & SYS_PTRACE, 0, "{needs}");
        let features = needs["features"].as_array().unwrap();
        let command = features.iter().find(|feature| feature["option"] == "--cmd").unwrap();
        assert_eq!(command["missing"].as_array().unwrap().len(), 0, "{command}");
    });
}

//! `doctor`: its report on this kernel agrees with a run. Without capabilities, it reports what is
//! missing, and what it could not try.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use serde_json::Value;

use super::blind;
use super::help::in_guest;

/// The user and group "nobody".
const NOBODY: u32 = 65534;

fn doctor() -> Command {
    let tool = std::env::var("BACKLOG_TRACE").unwrap_or_else(|_| "backlog-trace".to_owned());
    let mut command = Command::new(tool);
    command.args(["doctor", "-o", "json"]);
    command
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn doctor_says_what_a_run_does() {
    in_guest(|| {
        // The options of every run may force a backend.
        let output = doctor().args(["--backend", blind::backend()]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let report = report(&output);
        assert_eq!(report["verdict"]["works"], true, "{report}");
        assert_eq!(report["backend"], blind::backend(), "{report}");
        assert!(report["hooks"].as_array().is_some_and(|hooks| hooks.len() >= 6), "{report}");
    });
}

#[test]
fn doctor_without_rights_says_so() {
    in_guest(|| {
        let output = doctor().uid(NOBODY).gid(NOBODY).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let report = report(&output);
        assert_eq!(report["verdict"]["works"], false, "{report}");
        assert!(report["verdict"]["why"].to_string().contains("CAP_BPF"), "{report}");
    });
}

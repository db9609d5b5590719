//! What the tool refuses to do, with status 2 and a message with a remedy.

use std::os::unix::process::CommandExt;

use backlog_tests::tracer::{self, Tracer};

use super::help::{LIMIT, PORT_TEXT, in_guest_once};

/// The user and group "nobody".
const NOBODY: u32 = 65534;

#[test]
fn without_root_it_names_the_cure() {
    in_guest_once(|| {
        let mut command = tracer::command();
        command.args(["--port", PORT_TEXT]).uid(NOBODY).gid(NOBODY);
        let run = Tracer::spawn(&mut command).unwrap().wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(2), "{}", run.stderr);
        let words = run.stderr.to_lowercase();
        let cures = ["root", "sudo", "cap_bpf", "cap_sys_admin"];
        assert!(cures.iter().any(|cure| words.contains(cure)), "{words}");
    });
}

#[test]
fn a_port_list_that_is_none() {
    in_guest_once(|| {
        for ports in ["80,abc", "70000", "9000-8000", ""] {
            let run = tracer::run(&["--port", ports], LIMIT).unwrap();
            assert_eq!(run.code(), Some(2), "{ports:?}: {}", run.stderr);
            assert!(!run.stderr.is_empty(), "{ports:?}: no words");
        }
    });
}

#[test]
fn an_unknown_option_and_an_unknown_backend() {
    in_guest_once(|| {
        for arguments in [["--no-such", "1"], ["--backend", "magic"]] {
            let run = tracer::run(&arguments, LIMIT).unwrap();
            assert_eq!(run.code(), Some(2), "{arguments:?}: {}", run.stderr);
        }
    });
}

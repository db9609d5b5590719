//! Every program in the object that fits the kernel, including those that the plan does not use
//! there, passes the verifier. With `BACKLOG_ROWS`, the verifier's figures are printed, for xtask
//! to compare with the checked-in ones.

use std::io::{Write, stderr};
use std::process::Command;

use serde_json::Value;

use super::blind;
use super::help::in_guest;

/// The verifier gives up at a million instructions; a program that comes close has grown by
/// accident. The largest, `tb_state`, takes 59,743 on a 6.18, since it follows refused clients to
/// their accept.
const WALKED_AT_MOST: u64 = 65_536;

#[test]
fn every_program_that_fits_passes_the_verifier() {
    in_guest(|| {
        let tool = std::env::var("BACKLOG_TRACE").unwrap_or_else(|_| "backlog-trace".to_owned());
        let output = Command::new(tool).arg("--check-programs").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let lines = String::from_utf8(output.stdout).unwrap();
        if std::env::var_os("BACKLOG_ROWS").is_some() {
            for line in lines.lines() {
                // Failing to print is not an error of the test.
                let _ = writeln!(stderr(), "walked: {line}");
            }
        }
        let verified: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // The number of programs in a kernel that only permits tracepoints, or in an old one with
        // functions.
        let least = if blind::backend() == "tracepoint" { 10 } else { 17 };
        assert!(verified.len() >= least, "{lines}");
        for program in &verified {
            // Not reported before 5.16.
            let walked = program["walked"].as_u64().unwrap_or(0);
            assert!(walked <= WALKED_AT_MOST, "{program}");
        }
    });
}

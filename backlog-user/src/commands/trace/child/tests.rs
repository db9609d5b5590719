//! Tests that the group is signalled until its leader is reaped, and never afterwards.

use super::Waiting;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, test_kill_process, test_kill_process_group, waitid,
};
use std::fs;
use std::future::Future;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// The state of a process from procfs; None if it is gone.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn an_ended_leader_keeps_its_number_until_its_group_is_killed() {
    in_runtime(async {
        let mut command = Waiting::fork("sleep 1000 & exit 3").unwrap().start().unwrap();
        let group = command.group();
        let end = command.wait().await.unwrap();
        assert_eq!((end.exit_code, end.signal), (Some(3), None));
        assert_eq!(state(group.leader), Some('Z'));
        // Its background process is alive.
        test_kill_process_group(group.leader).unwrap();
        assert!(!*group.reaped.lock().unwrap());
        drop(command);
        assert!(*group.reaped.lock().unwrap());
        assert_eq!(state(group.leader), None);
    });
}

#[test]
fn a_group_is_not_signalled_after_its_leader_is_reaped() {
    in_runtime(async {
        let mut command = Waiting::fork("exit 0").unwrap().start().unwrap();
        command.wait().await.unwrap();
        let ours = command.group();
        drop(command);
        // Simulate a reused number by replacing the number.
        let mut other = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let leader = Pid::from_child(&other);
        let theirs = super::Group {
            leader,
            pidfd: ours.pidfd.try_clone().unwrap(),
            reaped: std::sync::Mutex::new(*ours.reaped.lock().unwrap()),
        };
        theirs.signal(Signal::TERM);
        theirs.kill();
        test_kill_process(leader).unwrap();
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn a_command_that_ignores_sigterm_is_killed() {
    in_runtime(async {
        let command =
            Waiting::fork("trap '' TERM; while :; do sleep 1000; done").unwrap().start().unwrap();
        let group = command.group();
        command.stop().await;
        assert!(*group.reaped.lock().unwrap());
        assert_eq!(state(group.leader), None);
    });
}

#[test]
fn a_command_that_is_not_started_ends() {
    in_runtime(async {
        let waiting = Waiting::fork("exit 3").unwrap();
        let pidfd = waiting.pidfd.try_clone().unwrap();
        drop(waiting);
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0));
    });
}

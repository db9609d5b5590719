//! The output of `ss -ltnp` on the listeners in a network namespace: who holds each of them, found
//! in another way than the tool's.

use std::collections::BTreeSet;
use std::env;

use anyhow::{Context, Result, ensure};

use crate::servers::Root;

/// A listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The address; `*` means both IP versions.
    pub addr: String,
    /// The port.
    pub port: u16,
    /// Its queue.
    pub depth: u64,
    /// Its limit.
    pub limit: u64,
    /// Its holders; empty if they are not visible.
    pub users: Vec<User>,
    /// The inode number of the socket.
    pub inode: u64,
}

/// A process that holds a socket by a descriptor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Its name.
    pub comm: String,
    /// Its process ID.
    pub pid: u32,
    /// The descriptor.
    pub fd: i32,
}

impl Row {
    /// The processes, each once.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<u32> {
        self.users.iter().map(|user| user.pid).collect()
    }
}

/// All listeners in the calling thread's network namespace.
///
/// # Errors
/// When `ss` fails, or its output is not understood.
pub fn listeners(root: &Root) -> Result<Vec<Row>> {
    let mut command = root.command("/usr/bin/ss", &env::temp_dir())?;
    // -e for the inode.
    let output = command.arg("-Hltnpe").output().context("cannot start ss")?;
    let (said, error) = (String::from_utf8_lossy(&output.stdout), &output.stderr);
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(error));
    said.lines().map(row).collect()
}

fn row(line: &str) -> Result<Row> {
    row_of(line).with_context(|| format!("not understood, of ss: {line}"))
}

fn row_of(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "LISTEN").skip(1);
    let (depth, limit) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (addr, port) = words.next()?.rsplit_once(':')?;
    // A name may contain anything, so its brackets separate it from the rest.
    let (users, rest) = match line.split_once(" users:((") {
        Some((_, users)) => users.rsplit_once("))")?,
        None => ("", line),
    };
    let inode = rest.split_whitespace().find_map(|word| word.strip_prefix("ino:"))?;
    Some(Row {
        addr: addr.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.parse().ok()?,
        depth,
        limit,
        users: users
            .split("),(")
            .filter(|user| !user.is_empty())
            .map(user)
            .collect::<Option<_>>()?,
        inode: inode.parse().ok()?,
    })
}

/// `"nginx",pid=812,fd=6`
fn user(text: &str) -> Option<User> {
    let (comm, rest) = text.strip_prefix('"')?.rsplit_once("\",pid=")?;
    let (pid, fd) = rest.split_once(",fd=")?;
    Some(User { comm: comm.to_owned(), pid: pid.parse().ok()?, fd: fd.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let line = r#"LISTEN 3      511    127.0.0.1:8000 0.0.0.0:* users:(("a (b),c",pid=24553,fd=5),("nginx",pid=41,fd=5)) ino:2978390 sk:34d cgroup:/ <->"#;
        let Row { addr, port, depth, limit, users, inode } = row(line).unwrap();
        assert_eq!(
            (addr.as_str(), port, depth, limit, inode),
            ("127.0.0.1", 8000, 3, 511, 2_978_390)
        );
        assert_eq!(users[0], User { comm: "a (b),c".to_owned(), pid: 24553, fd: 5 });
        assert_eq!(users[1].pid, 41);
    }

    #[test]
    fn a_row_may_tell_of_nobody_and_of_another_address() {
        let line = "LISTEN 0      5              *:8004       *:*    ino:7 sk:351 v6only:0 <->";
        let row_of = row(line).unwrap();
        assert_eq!((row_of.addr.as_str(), row_of.users.len()), ("*", 0));
        let line = "LISTEN 0 5 [::1]:8004 [::]:* users:((\"x\",pid=1,fd=3)) uid:33 ino:7 sk:351";
        assert_eq!(row(line).unwrap().addr, "::1");
        assert!(row("State Recv-Q").is_err());
    }
}

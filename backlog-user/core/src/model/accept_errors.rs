//! Failed calls of `accept()` at a listener, counted while a probe for them was attached.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::event::{AcceptError, AcceptErrors};
use crate::model::saturating::saturating;

/// The most combinations of a process and an error that are kept per listener.
const MOST: usize = 32;

/// All failed calls at a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAccepts {
    /// How long the probe was attached for this listener, nanoseconds.
    pub watched_ns: u64,
    /// By process and error, the most frequent first.
    pub kept: Vec<AcceptError>,
    /// Failed calls that `kept` does not include.
    pub left_out: u64,
}

impl FailedAccepts {
    /// Adds the counts since the last time. Returns true if a process fails with an error that is
    /// new for it and is not an empty queue.
    pub fn add(&mut self, moved: &AcceptErrors) -> bool {
        self.watched_ns = self.watched_ns.saturating_add(moved.watched_ns);
        self.left_out = self.left_out.saturating_add(moved.left_out);
        let mut is_new = false;
        for error in &moved.errors {
            let same = |known: &&mut AcceptError| {
                known.process.pid == error.process.pid && known.errno == error.errno
            };
            if let Some(known) = self.kept.iter_mut().find(same) {
                known.count = known.count.saturating_add(error.count);
                known.last_ns = known.last_ns.max(error.last_ns);
                known.nofile = error.nofile.or(known.nofile);
            } else if self.kept.len() < MOST {
                is_new |= !error.is_empty_queue();
                self.kept.push(error.clone());
            } else {
                self.left_out = self.left_out.saturating_add(error.count);
            }
        }
        self.kept.sort_by_key(|error| std::cmp::Reverse(error.count));
        is_new
    }

    /// Enforces the bound: a recording may have more.
    pub(super) fn bound(&mut self) {
        let surplus = self.kept.drain(MOST.min(self.kept.len())..);
        self.left_out = self.left_out.saturating_add(saturating(surplus.map(|error| error.count)));
    }

    /// `accept() failed 41 times with EMFILE: python3[81] is out of file descriptors (RLIMIT_NOFILE
    /// 24)`, and so on for each error. None if no call failed while the probe was attached. The
    /// names of processes are not escaped.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let mut text = self.failures().unwrap_or_default();
        let empty: Vec<_> = self.kept.iter().filter(|error| error.is_empty_queue()).collect();
        let found_nothing = saturating(empty.iter().map(|error| error.count));
        if found_nothing > 0 {
            if !text.is_empty() {
                text += "; ";
            }
            let _ = write!(
                text,
                "accept() found the queue empty {} (EAGAIN) in {}",
                times(found_nothing),
                plural_processes(empty.len()),
            );
        }
        if self.left_out > 0 {
            let _ = write!(text, "; {} failed calls more are not attributed", self.left_out);
        }
        (!text.is_empty()).then_some(text)
    }

    /// The failed calls, in words; none if there were none.
    fn failures(&self) -> Option<String> {
        self.sentences(|error| !error.is_empty_queue())
    }

    /// Errors that persist until an administrator fixes the cause: a lack of descriptors, memory,
    /// or permission.
    #[must_use]
    pub fn lasting(&self) -> Option<String> {
        self.sentences(AcceptError::is_lasting)
    }

    fn sentences(&self, wanted: impl Fn(&AcceptError) -> bool) -> Option<String> {
        let wanted = self.kept.iter().filter(|error| wanted(error));
        let sentences: Vec<String> = wanted.map(AcceptError::sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

impl AcceptErrors {
    /// Whether any call failed.
    #[must_use]
    pub fn says_something(&self) -> bool {
        !self.errors.is_empty() || self.left_out > 0
    }
}

impl AcceptError {
    /// Whether the error recurs at each call until its cause is fixed.
    fn is_lasting(&self) -> bool {
        use errno::{EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
        [EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EACCES].contains(&self.errno)
    }

    /// Whether nothing was queued: a non-blocking server calls `accept()` until it gets this, or
    /// another worker was faster.
    #[must_use]
    pub fn is_empty_queue(&self) -> bool {
        self.errno == errno::EAGAIN
    }

    /// The name of the error, if `accept()` is known to return it.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        meaning(self.errno).0
    }

    /// See [`FailedAccepts::sentence`].
    pub fn sentence(&self) -> String {
        let Self { process, errno, count, nofile, by_holder, .. } = self;
        let (name, meaning) = meaning(*errno);
        let name = name.map_or_else(|| format!("error {errno}"), str::to_owned);
        let mut text = format!("accept() failed {} with {name}: {process}", times(*count));
        text += meaning;
        if let (errno::EMFILE, Some(limit)) = (*errno, nofile) {
            let _ = write!(text, " (RLIMIT_NOFILE {limit})");
        }
        if *by_holder {
            text += " (attributed by the process: this kernel does not show the socket)";
        }
        text
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn plural_processes(count: usize) -> String {
    if count == 1 { "1 process".into() } else { format!("{count} processes") }
}

/// The name of an error of `accept()`, and its meaning for the process.
fn meaning(errno: i32) -> (Option<&'static str>, &'static str) {
    // The kernel's return value if a signal interrupts a restartable call
    // (`include/linux/errno.h`).
    const ERESTARTSYS: i32 = 512;
    let (name, meaning) = match errno {
        errno::EMFILE => ("EMFILE", " is out of file descriptors"),
        errno::ENFILE => ("ENFILE", " finds the host out of file descriptors (fs.file-max)"),
        errno::EAGAIN => ("EAGAIN", " found the queue empty"),
        errno::ENOMEM => ("ENOMEM", " got no kernel memory (a cgroup's limit?)"),
        errno::ENOBUFS => ("ENOBUFS", " got no kernel memory for a socket"),
        errno::ECONNABORTED => ("ECONNABORTED", " found that the client had gone"),
        errno::EINTR | ERESTARTSYS => ("EINTR", " was interrupted by a signal"),
        errno::EPERM => ("EPERM", " is not permitted to accept (a security module?)"),
        errno::EACCES => ("EACCES", " is not permitted to accept (a security module?)"),
        errno::EINVAL => ("EINVAL", " passes a wrong argument, or the socket does not listen"),
        errno::EFAULT => ("EFAULT", " passes a wrong address"),
        _ => return (None, ""),
    };
    (Some(name), meaning)
}

/// Numbers of errors (`asm-generic/errno-base.h` and `errno.h`: the same on x86-64 and arm64).
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EINTR: i32 = 4;
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EFAULT: i32 = 14;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ECONNABORTED: i32 = 103;
    pub(super) const ENOBUFS: i32 = 105;
}

#[cfg(test)]
mod tests {
    use super::{FailedAccepts, MOST, errno};
    use crate::event::{AcceptError, AcceptErrors, Caller, ListenerId};

    fn error(pid: u32, errno: i32, count: u64) -> AcceptError {
        AcceptError {
            process: Caller { pid, comm: "web".into() },
            errno,
            count,
            first_ns: 10,
            last_ns: 20 * count,
            nofile: (errno == errno::EMFILE).then_some(24),
            by_holder: false,
        }
    }

    fn moved(errors: Vec<AcceptError>) -> AcceptErrors {
        AcceptErrors { listener: ListenerId(1), watched_ns: 1_000, errors, left_out: 0 }
    }

    #[test]
    fn errors_add_up_by_process_and_are_told_in_words() {
        let mut failed = FailedAccepts::default();
        assert_eq!(failed.sentence(), None);
        assert!(failed.add(&moved(vec![error(7, errno::EMFILE, 40)])));
        assert!(
            !failed.add(&moved(vec![error(7, errno::EMFILE, 1), error(8, errno::EAGAIN, 300)]))
        );
        assert!(failed.add(&moved(vec![error(8, errno::ENFILE, 1)])));
        assert_eq!(failed.watched_ns, 3_000);
        let emfile = failed.kept.iter().find(|error| error.errno == errno::EMFILE);
        assert_eq!(emfile.map(|error| (error.count, error.last_ns)), Some((41, 800)));
        assert_eq!(
            failed.sentence().unwrap(),
            "accept() failed 41 times with EMFILE: web[7] is out of file descriptors \
             (RLIMIT_NOFILE 24); accept() failed once with ENFILE: web[8] finds the host out of \
             file descriptors (fs.file-max); accept() found the queue empty 300 times (EAGAIN) in \
             1 process"
        );
    }

    #[test]
    fn an_empty_queue_is_not_a_failure_and_an_unknown_error_has_its_number() {
        let mut failed = FailedAccepts::default();
        assert!(!failed.add(&moved(vec![error(7, errno::EAGAIN, 4)])));
        assert_eq!(error(7, 999, 2).sentence(), "accept() failed 2 times with error 999: web[7]");
        let held = AcceptError { by_holder: true, ..error(7, 512, 1) };
        assert_eq!(
            held.sentence(),
            "accept() failed once with EINTR: web[7] was interrupted by a signal (attributed by \
             the process: this kernel does not show the socket)"
        );
    }

    #[test]
    fn too_many_are_counted_together() {
        let mut failed = FailedAccepts::default();
        let many = (0..40).map(|pid| error(pid, errno::EMFILE, 2)).collect();
        failed.add(&moved(many));
        assert_eq!((failed.kept.len(), failed.left_out), (MOST, 2 * (40 - MOST as u64)));
    }
}

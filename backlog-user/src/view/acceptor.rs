//! What acceptors were doing, in a sentence.

use std::fmt::Write as _;

use super::format::{duration, plural};
use super::whose::safe;
use crate::event::{Acceptor, Doing, State};

/// Kinds of doing that are named; the rest is added up.
const NAMED: usize = 3;

/// `gunicorn[812]: last accept 412ms before; 4 of 4 threads asleep in futex_wait`.
pub(crate) fn sentence(acceptor: &Acceptor) -> String {
    let Acceptor {
        process, last_accept_ns, accepted_since_ns, tid, processes, threads, doing, ..
    } = acceptor;
    let mut text = format!("{}: ", safe(&process.to_string()));
    let _ = match (last_accept_ns, accepted_since_ns) {
        (_, Some(since_ns)) => write!(text, "accepted again {} later", duration(since_ns / 1000)),
        (Some(before_ns), None) => {
            write!(text, "last accept {} before", duration(before_ns / 1000))
        }
        (None, None) => write!(text, "no accept was seen"),
    };
    if let Some(tid) = tid.filter(|tid| *tid != process.pid) {
        let _ = write!(text, ", by thread {tid}");
    }
    let of = if *processes > 1 {
        format!("{threads} threads of {processes} processes")
    } else {
        plural(u64::from(*threads), "thread")
    };
    for Doing { state, wchan, threads } in doing.iter().take(NAMED) {
        let wchan = wchan.as_deref().map(|name| format!(" in {}", safe(name)));
        let _ = write!(text, "; {threads} of {of} {}{}", name(*state), wchan.unwrap_or_default());
    }
    let rest: u32 = doing.iter().skip(NAMED).map(|one| one.threads).sum();
    if rest > 0 {
        let _ = write!(text, "; {rest} more doing something else");
    }
    if let (Some(cpu_ns), Some(over_ns)) = (acceptor.cpu_ns, acceptor.cpu_over_ns)
        && over_ns > 0
    {
        let percent = cpu_ns as f64 * 100.0 / over_ns as f64;
        let _ = write!(text, "; {percent:.0} % of a CPU in the last {}", duration(over_ns / 1000));
    }
    text
}

fn name(state: State) -> &'static str {
    match state {
        State::Running => "running or waiting for a CPU",
        State::Asleep => "asleep",
        State::Blocked => "blocked (a disk, mostly)",
        State::Stopped => "stopped",
        State::Other => "ending",
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::event::{Acceptor, Caller, Doing, ListenerId, State};

    #[test]
    fn a_sentence_says_who_since_when_and_what() {
        let doing = |state, wchan: Option<&str>, threads| Doing {
            state,
            wchan: wchan.map(Into::into),
            threads,
        };
        let acceptor = Acceptor {
            listener: ListenerId(1),
            process: Caller { pid: 812, comm: "gunicorn".into() },
            looked_after_ns: 900_000,
            last_accept_ns: Some(412_000_000),
            accepted_since_ns: None,
            tid: Some(815),
            processes: 1,
            threads: 4,
            doing: vec![
                doing(State::Asleep, Some("futex_wait_queue"), 3),
                doing(State::Running, None, 1),
            ],
            cpu_ns: Some(70_000_000),
            cpu_over_ns: Some(700_000_000),
        };
        assert_eq!(
            sentence(&acceptor),
            "gunicorn[812]: last accept 412ms before, by thread 815; 3 of 4 threads asleep in \
             futex_wait_queue; 1 of 4 threads running or waiting for a CPU; 10 % of a CPU in the \
             last 700ms"
        );
        let silent = Acceptor {
            last_accept_ns: None,
            tid: None,
            doing: Vec::new(),
            cpu_ns: None,
            ..acceptor
        };
        assert_eq!(sentence(&silent), "gunicorn[812]: no accept was seen");
    }
}

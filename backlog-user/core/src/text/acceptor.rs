//! The state of the acceptors as a sentence.

use std::fmt::Write as _;

use super::format::{duration, plural};
use super::owner_text::safe;
use crate::event::{Acceptor, CpuLimit, Doing, State};

/// The number of states that are named; the others are summed up.
const NAMED: usize = 3;

/// A worker that has not accepted for this long, and waits for events, does not intend to accept.
const UNWILLING_NS: u64 = 100_000_000;

/// CPU time over a shorter period is not meaningful.
const LEAST_OVER_NS: u64 = 10_000_000;

/// The time of the last accept, if there was none before the inspection.
const UNSEEN: &str = "no accept was seen until then";

/// `gunicorn[812]: last accept 412ms before; 4 of 4 workers busy on CPU or waiting for one`.
pub fn sentence(acceptor: &Acceptor) -> String {
    let Acceptor { process, tid, gone, idle, holder, seen_accepting, .. } = acceptor;
    let mut text = String::new();
    if *idle {
        text += "clients were waiting, and nobody had accepted for over a second. ";
    }
    let of_thread = tid.filter(|tid| *tid != process.pid);
    let by = of_thread.map_or_else(String::new, |tid| format!(", by thread {tid}"));
    if *gone {
        let _ = write!(text, "{}, which accepted last, is gone", safe(&process.to_string()));
    } else {
        let _ = write!(text, "{}", safe(&process.to_string()));
    }
    let _ = write!(text, ": {}{by}", when(acceptor));
    // The process itself has been named already.
    if !seen_accepting
        && let Some(holder) = holder
        && (*gone || holder.pid != process.pid || when(acceptor) != UNSEEN)
    {
        let more = acceptor.processes.saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(text, "; {}{more} now holds the socket and", safe(&holder.to_string()));
        text += " has not been seen accepting";
    }
    if let Some(all) = unwilling(acceptor) {
        let _ = write!(text, "; {all}");
    } else {
        doing(&mut text, acceptor);
    }
    if let (Some(cpu_ns), Some(over_ns)) = (acceptor.cpu_ns, acceptor.cpu_over_ns)
        && over_ns >= LEAST_OVER_NS
    {
        let percent = cpu_ns as f64 * 100.0 / over_ns as f64;
        let _ = write!(text, "; {percent:.0} % of a CPU in the last {}", duration(over_ns / 1000));
    }
    if let Some(limit) = &acceptor.cpu_limit {
        let _ = write!(text, "; {}", throttled(limit));
    }
    text
}

/// `throttled in 9 of 10 periods by the cgroup limit of 0.50 CPUs`
#[must_use]
pub fn throttled(limit: &CpuLimit) -> String {
    let CpuLimit { quota_us, period_us, periods, throttled } = *limit;
    let cpus = quota_us as f64 / period_us.max(1) as f64;
    let periods = plural(periods, "period");
    format!("throttled in {throttled} of {periods} by the cgroup limit of {cpus:.2} CPUs")
}

fn when(acceptor: &Acceptor) -> String {
    match (acceptor.last_accept_ns, acceptor.accepted_since_ns) {
        (_, Some(since_ns)) => format!("accepted again {} later", duration(since_ns / 1000)),
        (Some(before_ns), None) => format!("last accept {} before", duration(before_ns / 1000)),
        (None, None) => UNSEEN.into(),
    }
}

/// That all acceptors wait for events and have not accepted for a while although the queue is full:
/// they do not intend to accept. In `epoll_wait`, that is an event loop. In `poll`, it may also be
/// a worker that waits for its only client: the two cannot be distinguished.
#[must_use]
pub fn unwilling(acceptor: &Acceptor) -> Option<String> {
    let [Doing { state: State::Asleep, wchan: Some(wchan), .. }] = &acceptor.doing[..] else {
        return None;
    };
    let for_long = acceptor.last_accept_ns.is_some_and(|before_ns| before_ns >= UNWILLING_NS);
    let place = place(wchan).filter(|place| [EPOLL, POLL].contains(place))?;
    if !for_long || acceptor.accepted_since_ns.is_some() || !acceptor.seen_accepting {
        return None;
    }
    let busy =
        if place == POLL { "waiting for data from clients that are being served, or " } else { "" };
    // The sentence has already said that the queue is not empty.
    let although = if acceptor.idle { "" } else { " although the queue is full" };
    let all = match (acceptor.threads, who(acceptor)) {
        (1, _) => "its only thread".to_owned(),
        (_, who) => format!("all {who}"),
    };
    Some(format!(
        "{all} {place} ({}): {busy}not accepting{although} (a connection limit of its own?)",
        safe(wchan),
    ))
}

/// Threads that accept nothing at any load, since they do not run:
/// `2 of 4 workers stopped by a signal or a debugger`.
#[must_use]
pub fn stopped(acceptor: &Acceptor) -> Option<String> {
    let threads = acceptor
        .doing
        .iter()
        .filter(|one| one.state == State::Stopped)
        .fold(0, |sum: u32, one| sum.saturating_add(one.threads));
    (threads > 0)
        .then(|| format!("{threads} of {} {}", who(acceptor), activity(State::Stopped, None)))
}

/// `4 workers`, `12 threads of 2 processes`
fn who(acceptor: &Acceptor) -> String {
    let Acceptor { processes, threads, seen_accepting, .. } = acceptor;
    let noun = if *seen_accepting && processes == threads { "worker" } else { "thread" };
    let count = plural(u64::from(*threads), noun);
    if *processes > 1 && processes != threads {
        return format!("{count} of {processes} processes");
    }
    count
}

fn doing(text: &mut String, acceptor: &Acceptor) {
    let of = who(acceptor);
    for Doing { state, wchan, threads } in acceptor.doing.iter().take(NAMED) {
        let wchan = wchan.as_deref();
        let _ = write!(text, "; {threads} of {of} {}", activity(*state, wchan));
    }
    let rest: u32 =
        acceptor.doing.iter().skip(NAMED).fold(0, |sum: u32, one| sum.saturating_add(one.threads));
    if rest > 0 {
        let _ = write!(text, "; {rest} more doing something else");
    }
}

/// The state of a thread, followed by the kernel function.
fn activity(state: State, wchan: Option<&str>) -> String {
    let word = match state {
        State::Running => "busy on CPU or waiting for one",
        State::Asleep => "asleep",
        State::Blocked => "blocked on a disk or another device",
        State::Stopped => "stopped by a signal or a debugger",
        State::Other => "ending",
    };
    match (wchan, wchan.and_then(place)) {
        (Some(wchan), Some(place)) if state == State::Asleep => {
            format!("{place} ({})", safe(wchan))
        }
        (Some(wchan), _) => format!("{word} in {}", safe(wchan)),
        (None, _) => word.to_owned(),
    }
}

/// Places where a thread waits for events.
const EPOLL: &str = "in epoll_wait";
const POLL: &str = "in poll() or select()";

/// The place where a thread sleeps, by the kernel function (5.10 to 7.3).
fn place(wchan: &str) -> Option<&'static str> {
    // A compiler that clones a function appends to its name: `.constprop.0`, `.isra.0`.
    let function = wchan.split('.').next().unwrap_or(wchan);
    Some(match function {
        "ep_poll" | "do_epoll_wait" | "do_epoll_pwait" => EPOLL,
        "do_poll" | "do_sys_poll" | "do_select" | "poll_schedule_timeout" => POLL,
        "inet_csk_accept" | "inet_csk_wait_for_connect" => "in accept()",
        "hrtimer_nanosleep" | "do_nanosleep" | "common_nsleep" => "sleeping on a timer",
        "do_wait" | "do_wait4" | "kernel_wait4" => "waiting for a child process",
        "io_cqring_wait" | "io_cqring_schedule" => "waiting for io_uring",
        "pipe_read" | "pipe_wait" | "anon_pipe_read" => "waiting for a pipe",
        "pipe_write" | "anon_pipe_write" => "waiting to write to a pipe",
        "sk_wait_data" | "tcp_recvmsg" | "tcp_recvmsg_locked" | "wait_woken" => {
            "waiting for data of a connection"
        }
        "sk_stream_wait_memory" => "waiting for a client that reads slowly",
        "unix_stream_read_generic"
        | "unix_stream_data_wait"
        | "skb_wait_for_more_packets"
        | "__skb_wait_for_more_packets" => "waiting for another process (a local socket)",
        "do_sigtimedwait" | "sigsuspend" | "__do_sys_pause" => "waiting for a signal",
        "locks_lock_inode_wait" | "flock_lock_inode_wait" => "waiting for a file lock",
        _ if function.starts_with("futex_") || function == "__futex_wait" => {
            "waiting for a lock or another thread"
        }
        _ if function.starts_with("semtimedop") || function.starts_with("do_semtimedop") => {
            "waiting for a semaphore"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{sentence, stopped};
    use crate::event::{Acceptor, Caller, CpuLimit, Doing, ListenerId, State};

    fn doing(state: State, wchan: Option<&str>, threads: u32) -> Doing {
        Doing { state, wchan: wchan.map(Into::into), threads }
    }

    fn acceptor() -> Acceptor {
        Acceptor {
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
            seen_accepting: true,
            gone: false,
            idle: false,
            holder: None,
            cpu_limit: None,
        }
    }

    #[test]
    fn a_sentence_says_who_since_when_and_what() {
        assert_eq!(
            sentence(&acceptor()),
            "gunicorn[812]: last accept 412ms before, by thread 815; 3 of 4 threads waiting for a \
             lock or another thread (futex_wait_queue); 1 of 4 threads busy on CPU or waiting for \
             one; 10 % of a CPU in the last 700ms"
        );
        let silent = Acceptor {
            last_accept_ns: None,
            tid: None,
            doing: Vec::new(),
            cpu_ns: None,
            ..acceptor()
        };
        assert_eq!(sentence(&silent), "gunicorn[812]: no accept was seen until then");
        let holder = Some(silent.process.clone());
        let held = Acceptor { seen_accepting: false, holder, ..silent };
        assert_eq!(sentence(&held), "gunicorn[812]: no accept was seen until then");
    }

    #[test]
    fn busy_workers_are_workers() {
        let busy = Acceptor {
            tid: Some(812),
            processes: 4,
            doing: vec![doing(State::Running, None, 4)],
            cpu_ns: None,
            ..acceptor()
        };
        assert_eq!(
            sentence(&busy),
            "gunicorn[812]: last accept 412ms before; 4 of 4 workers busy on CPU or waiting for one"
        );
    }

    #[test]
    fn workers_that_do_not_run_are_told_from_busy_ones() {
        let half = Acceptor {
            processes: 4,
            doing: vec![doing(State::Running, None, 2), doing(State::Stopped, None, 2)],
            ..acceptor()
        };
        let text = stopped(&half).unwrap();
        assert_eq!(text, "2 of 4 workers stopped by a signal or a debugger");
        assert_eq!(stopped(&acceptor()), None);
    }

    #[test]
    fn workers_that_wait_for_events_beside_a_full_queue_do_not_want_to_accept() {
        let idle = Acceptor {
            tid: Some(812),
            processes: 4,
            doing: vec![doing(State::Asleep, Some("do_epoll_wait"), 4)],
            cpu_ns: None,
            ..acceptor()
        };
        assert_eq!(
            sentence(&idle),
            "gunicorn[812]: last accept 412ms before; all 4 workers in epoll_wait (do_epoll_wait): \
             not accepting although the queue is full (a connection limit of its own?)"
        );
        // Shortly after an accept this proves nothing.
        let soon = Acceptor { accepted_since_ns: Some(761_000), ..idle.clone() };
        assert!(sentence(&soon).ends_with("; 4 of 4 workers in epoll_wait (do_epoll_wait)"));
        let soon = Acceptor { last_accept_ns: Some(1_000_000), ..idle };
        assert!(sentence(&soon).ends_with("; 4 of 4 workers in epoll_wait (do_epoll_wait)"));
    }

    #[test]
    fn workers_in_poll_may_serve_a_client_each() {
        let wchan = "poll_schedule_timeout.constprop.0";
        let kept = Acceptor {
            tid: Some(812),
            processes: 3,
            threads: 3,
            doing: vec![doing(State::Asleep, Some(wchan), 3)],
            cpu_ns: None,
            ..acceptor()
        };
        assert_eq!(
            sentence(&kept),
            "gunicorn[812]: last accept 412ms before; all 3 workers in poll() or select() \
             (poll_schedule_timeout.constprop.0): waiting for data from clients that are being served, or not \
             accepting although the queue is full (a connection limit of its own?)"
        );
    }

    #[test]
    fn a_stall_without_drops_says_that_it_is_one() {
        let idle = Acceptor {
            idle: true,
            tid: Some(812),
            processes: 4,
            doing: vec![doing(State::Asleep, Some("do_epoll_wait"), 4)],
            cpu_ns: None,
            ..acceptor()
        };
        assert_eq!(
            sentence(&idle),
            "clients were waiting, and nobody had accepted for over a second. gunicorn[812]: last accept 412ms \
             before; all 4 workers in epoll_wait (do_epoll_wait): not accepting (a connection \
             limit of its own?)"
        );
    }

    #[test]
    fn a_dead_acceptor_is_gone_and_the_holder_is_named() {
        let gone = Acceptor {
            tid: Some(812),
            processes: 1,
            threads: 1,
            doing: vec![doing(State::Asleep, Some("hrtimer_nanosleep"), 1)],
            cpu_ns: None,
            seen_accepting: false,
            gone: true,
            holder: Some(Caller { pid: 811, comm: "manager".into() }),
            ..acceptor()
        };
        assert_eq!(
            sentence(&gone),
            "gunicorn[812], which accepted last, is gone: last accept 412ms before; manager[811] \
             now holds the socket and has not been seen accepting; 1 of 1 thread sleeping on a timer \
             (hrtimer_nanosleep)"
        );
    }

    #[test]
    fn a_cpu_limit_that_held_it_back_is_named() {
        let limit = CpuLimit { quota_us: 50_000, period_us: 100_000, periods: 10, throttled: 9 };
        let text = sentence(&Acceptor { cpu_limit: Some(limit), ..acceptor() });
        assert!(
            text.ends_with("; throttled in 9 of 10 periods by the cgroup limit of 0.50 CPUs"),
            "{text}"
        );
    }
}

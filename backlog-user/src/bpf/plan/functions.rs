//! The hooks on kernel functions: the same set for fentry and kprobe.

use anyhow::{Result, bail};
use backlog_core::run::Backend;

use super::{Alternative, Hook, KernelFacts, Plan, ProbePoints, Way, choice};

/// Makes the plan.
pub(super) fn plan(shown: KernelFacts<'_>, backend: Backend) -> Result<Plan> {
    let mut planner = Planner {
        shown,
        backend,
        moments: ProbePoints::default(),
        missing: Vec::new(),
        unknown: Vec::new(),
    };
    planner.syn();
    planner.last_ack();
    planner.enqueue();
    planner.accept();
    planner.listener();
    if backend == Backend::Kprobe {
        planner.moments.gap(
            "backend kprobe: the kernel skips a program while a kprobe of another tool or a \
             bpf() call runs on the same CPU (missed_by_programs counts these since 6.7; on \
             older kernels the reconciliation with the kernel's counters shows them)",
        );
    }
    planner.done()
}

struct Planner<'a> {
    shown: KernelFacts<'a>,
    backend: Backend,
    moments: ProbePoints,
    /// Required functions that this kernel lacks.
    missing: Vec<&'static str>,
    /// Functions whose arguments have changed.
    unknown: Vec<&'static str>,
}

impl Planner<'_> {
    /// The alternatives for a function: these fentry programs, or these kprobe programs.
    fn choices(
        &self,
        moment: &'static str,
        function: &'static str,
        fentry: &[&'static str],
        kprobe: &[&'static str],
    ) -> Vec<Alternative> {
        let mut choices = Vec::new();
        if self.backend == Backend::Fentry && !fentry.is_empty() {
            choices.push(choice(moment, function, fentry));
        }
        if self.shown.ways.permits(Way::Kprobe) && !kprobe.is_empty() {
            choices.push(choice(moment, function, kprobe));
        }
        choices
    }

    fn must(
        &mut self,
        moment: &'static str,
        function: &'static str,
        fentry: &[&'static str],
        kprobe: &[&'static str],
    ) {
        if self.arguments(function).is_some() {
            let choices = self.choices(moment, function, fentry, kprobe);
            self.moments.must(moment, choices);
        } else {
            self.missing.push(function);
        }
    }

    fn may(
        &mut self,
        (moment, gap): (&'static str, &'static str),
        (function, arguments): (&'static str, usize),
        fentry: &[&'static str],
        kprobe: &[&'static str],
    ) {
        if self.arguments(function) == Some(arguments) {
            let choices = self.choices(moment, function, fentry, kprobe);
            self.moments.may(moment, choices, gap);
        } else {
            self.moments.gap(&format!(
                "{gap}: this kernel has no {function} that backlog-trace \
                knows"
            ));
        }
    }

    fn arguments(&self, function: &str) -> Option<usize> {
        (self.shown.function)(function)
    }

    /// Traces SYNs, and requests that end before their handshake does.
    fn syn(&mut self) {
        self.must("syn", "tcp_conn_request", &["fx_syn"], &["kp_syn", "kr_syn"]);
        self.may(
            ("last_quarter", "SYNs refused by the last-quarter rule are counted as other"),
            ("tcp_peer_is_proven", 2),
            &["fx_proven"],
            &["kr_proven"],
        );
        self.may(
            ("unreachable", "requests that end because the client is unreachable are not counted"),
            ("tcp_req_err", 3),
            &["fe_error", "fx_error"],
            &["kp_error", "kr_error"],
        );
        self.may(
            ("expired", "requests that expire are not counted"),
            ("reqsk_timer_handler", 1),
            &["fe_timer", "fx_timer"],
            &["kp_timer", "kr_timer"],
        );
    }

    /// Traces the final ACK, of requests and of SYN cookies. `tcp_check_req` also enqueues the
    /// connection of a request.
    fn last_ack(&mut self) {
        let exit: &[&str] = match self.arguments("tcp_check_req") {
            Some(5) => &["fx_ack_5"],
            Some(6) => &["fx_ack_6"],
            // A kretprobe does not depend on the number of arguments.
            Some(_) if self.shown.ways.permits(Way::Kprobe) => &[],
            Some(_) => return self.unknown.push("tcp_check_req"),
            None => &[],
        };
        self.must("ack", "tcp_check_req", exit, &["kp_ack", "kr_ack"]);
        self.may(
            ("cookie", "IPv4 connections by SYN cookies are not counted"),
            ("cookie_v4_check", 2),
            &["fe_cookie_4", "fx_cookie_4"],
            &["kp_cookie", "kr_cookie"],
        );
        self.may(
            ("cookie_v6", "IPv6 connections by SYN cookies are not counted"),
            ("cookie_v6_check", 2),
            &["fe_cookie_6", "fx_cookie_6"],
            &["kp_cookie", "kr_cookie"],
        );
    }

    /// Traces enqueues of SYN-cookie and Fast Open connections, and migrations between listeners.
    fn enqueue(&mut self) {
        self.must(
            "enqueue_special",
            "inet_csk_reqsk_queue_add",
            &["fx_add"],
            &["kp_add", "kr_add"],
        );
        // Before 5.14, connections do not migrate: they die with their listener.
        if self.arguments("reuseport_migrate_sock") == Some(3) {
            self.may(
                ("migrated", "connections that migrate to another listener are not tracked"),
                ("reuseport_migrate_sock", 3),
                &["fx_migrate"],
                &["kp_migrate", "kr_migrate"],
            );
        }
    }

    /// Traces accepts. The graft hook runs after a blocking accept has slept, so it misses none.
    /// Connections queued before the start are unknown there and need the startup scan.
    fn accept(&mut self) {
        let accepts = self.arguments("__inet_accept") == Some(3);
        if self.arguments("security_sock_graft").is_some() {
            self.must("accept", "security_sock_graft", &["fe_graft"], &["kp_graft"]);
        } else if accepts {
            self.must("accept", "__inet_accept", &["fe_accept_only"], &["kp_accept_only"]);
            self.moments.gap(
                "an accept may be missed when threads preempt each other in it: this kernel has no \
                 security_sock_graft (missed_by_programs counts them)",
            );
        } else {
            return self.missing.push("security_sock_graft");
        }
        self.moments.may(
            "queued",
            vec![choice("queued", "tcp", &["it_queued"])],
            "accepts of connections that were queued before the start are not counted",
        );
    }

    /// Traces how a listener opens, changes and closes.
    fn listener(&mut self) {
        self.must(
            "listen",
            "inet_csk_listen_start",
            &["fe_open", "fx_open"],
            &["kp_open", "kr_open"],
        );
        // A second listen() takes one or both of these paths, depending on the kernel and on MPTCP.
        // If it takes both, the first one reports it.
        let relisten = "a second listen() is detected only by its effect";
        if self.arguments("inet_listen") == Some(2) {
            let choices = self.choices(
                "relisten",
                "inet_listen",
                &["fx_listen"],
                &["kp_listen", "kr_listen"],
            );
            self.moments.may("relisten", choices, relisten);
        }
        if self.arguments("__inet_listen_sk") == Some(2) {
            let choices = self.choices(
                "relisten_sk",
                "__inet_listen_sk",
                &["fx_listen_sk"],
                &["kp_listen_sk", "kr_listen_sk"],
            );
            self.moments.may("relisten_sk", choices, relisten);
        }
        self.must(
            "close",
            "inet_csk_listen_stop",
            &["fe_close", "fx_close"],
            &["kp_close", "kr_close"],
        );
        self.may(
            (
                "killed",
                "connections that die in the queue when a listener closes, or that find it closed, \
                 are not counted",
            ),
            ("inet_child_forget", 3),
            &["fe_forget"],
            &["kp_forget"],
        );
    }

    fn done(self) -> Result<Plan> {
        let Self { moments, missing, unknown, backend, shown: _ } = self;
        if !unknown.is_empty() {
            bail!(
                "this kernel's {} takes arguments that backlog-trace does not know yet, please \
                 report its `uname -r`",
                unknown.join(", ")
            );
        }
        if !missing.is_empty() {
            bail!(
                "this kernel has no function {}, which tracing requires: backlog-trace does not \
                 know this kernel yet, please report its `uname -r`",
                missing.join(", ")
            );
        }
        Ok(moments.plan(backend))
    }
}

/// Programs for rarer kernels that would fit this one as well.
pub(super) fn spare(shown: KernelFacts<'_>) -> Vec<Hook> {
    let mut fitting = Vec::new();
    let mut add = |function, programs: &[&'static str]| {
        fitting.extend(choice("spare", function, programs));
    };
    if (shown.function)("__inet_accept") == Some(3) {
        if shown.ways.permits(Way::Fentry) {
            add("__inet_accept", &["fe_accept_only"]);
        }
        if shown.ways.permits(Way::Kprobe) {
            add("__inet_accept", &["kp_accept_only"]);
        }
    }
    if shown.ways.permits(Way::RawTracepoint) {
        fitting.extend(choice("spare", "sys_exit", &["rt_failed"]));
        if shown.uring_requests {
            fitting.extend(choice("spare", "io_uring_complete", &["rt_uring_failed"]));
        }
    }
    fitting
}

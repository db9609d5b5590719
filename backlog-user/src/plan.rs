//! Which program goes on which kernel function, and why. Pure: what the kernel
//! shows in, a plan out; `load` carries it out.
//!
//! The reasons are in docs/ARCHITECTURE.md, "What is hooked".

use anyhow::{Result, bail};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// At the entry of a function.
    Fentry,
    /// At its exit.
    Fexit,
}

/// One program on one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// What it is for, as `meta` and the notices name it.
    pub(crate) moment: &'static str,
    /// The program in `backlog-ebpf/src/kernel/entry`.
    pub(crate) program: &'static str,
    /// The kernel function.
    pub(crate) function: &'static str,
    /// How.
    pub(crate) attach: Attach,
}

/// Moments without which the rest is still worth having.
const OPTIONAL: [&str; 10] = [
    "last_quarter",
    "join",
    "cookie",
    "cookie_v6",
    "accept_untimed",
    "killed",
    "expired",
    "unreachable",
    "migrated",
    "relisten",
];

impl Hook {
    /// Can the tool go on without it?
    pub(crate) fn is_optional(&self) -> bool {
        OPTIONAL.contains(&self.moment)
    }

    /// `fexit tcp_check_req`
    pub(crate) fn describe(&self) -> String {
        let how = match self.attach {
            Attach::Fentry => "fentry",
            Attach::Fexit => "fexit",
        };
        format!("{how} {}", self.function)
    }
}

/// The programs in the order in which they are attached, and what will be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Enqueues before accepts: a connection that is queued after the first of
    /// them is attached is known when the second one sees it.
    pub(crate) hooks: Vec<Hook>,
    /// What this kernel does not let us know, in sentences.
    pub(crate) gaps: Vec<String>,
}

/// Makes the plan for a kernel, of which `arguments` tells how many arguments a
/// function takes, if it is there.
pub(crate) fn plan(arguments: impl Fn(&str) -> Option<usize>) -> Result<Plan> {
    let mut planner = Planner {
        arguments: &arguments,
        plan: Plan::default(),
        missing: Vec::new(),
        unknown: Vec::new(),
    };
    planner.syn();
    planner.last_ack();
    planner.enqueue();
    planner.accept();
    planner.listener();
    planner.done()
}

struct Planner<'a> {
    arguments: &'a dyn Fn(&str) -> Option<usize>,
    plan: Plan,
    /// Functions that cannot be done without.
    missing: Vec<&'static str>,
    /// Functions whose arguments have changed.
    unknown: Vec<&'static str>,
}

impl Planner<'_> {
    fn add(
        &mut self,
        moment: &'static str,
        program: &'static str,
        function: &'static str,
        attach: Attach,
    ) {
        self.plan.hooks.push(Hook { moment, program, function, attach });
    }

    /// A program at the entry and one at the exit.
    fn both(&mut self, moment: &'static str, programs: [&'static str; 2], function: &'static str) {
        let [entry, exit] = programs;
        self.add(moment, entry, function, Attach::Fentry);
        self.add(moment, exit, function, Attach::Fexit);
    }

    fn gap(&mut self, text: &str) {
        self.plan.gaps.push(text.to_owned());
    }

    /// Does a function take so many arguments here?
    fn takes(&self, function: &str, arguments: usize) -> bool {
        (self.arguments)(function) == Some(arguments)
    }

    /// The arguments of a function that must be there.
    fn need(&mut self, function: &'static str) -> Option<usize> {
        let found = (self.arguments)(function);
        if found.is_none() {
            self.missing.push(function);
        }
        found
    }

    /// A SYN, and a Fast Open child that is queued within it.
    fn syn(&mut self) {
        if self.need("tcp_conn_request").is_some() {
            self.both("syn", ["fe_syn", "fx_syn"], "tcp_conn_request");
        }
        if self.takes("tcp_peer_is_proven", 2) {
            self.add("last_quarter", "fx_proven", "tcp_peer_is_proven", Attach::Fexit);
        } else {
            self.gap(
                "SYNs refused by the last-quarter rule are counted as other: this kernel has no \
                 tcp_peer_is_proven",
            );
        }
        // Without MPTCP it is missing, and there are no joins.
        if (self.arguments)("mptcp_token_get_sock").is_some() {
            self.add("join", "fe_join", "mptcp_token_get_sock", Attach::Fentry);
        }
        if self.takes("tcp_req_err", 3) {
            self.both("unreachable", ["fe_error", "fx_error"], "tcp_req_err");
        } else {
            self.gap(
                "requests given up because a client cannot be reached are not counted: this kernel \
                 has no tcp_req_err",
            );
        }
        if self.takes("reqsk_timer_handler", 1) {
            self.both("expired", ["fe_timer", "fx_timer"], "reqsk_timer_handler");
        } else {
            self.gap(
                "requests that expire are not counted: this kernel's type information has no \
                 reqsk_timer_handler",
            );
        }
    }

    /// The last ACK, of a request and of a cookie.
    fn last_ack(&mut self) {
        match self.need("tcp_check_req") {
            Some(5) => self.both("ack", ["fe_ack", "fx_ack_5"], "tcp_check_req"),
            Some(6) => self.both("ack", ["fe_ack", "fx_ack_6"], "tcp_check_req"),
            Some(_) => self.unknown.push("tcp_check_req"),
            None => {}
        }
        let v4 = self.takes("cookie_v4_check", 2);
        if v4 {
            self.both("cookie", ["fe_cookie_4", "fx_cookie_4"], "cookie_v4_check");
        } else {
            self.gap(
                "connections by SYN cookies are not counted: this kernel has no cookie_v4_check \
                 (CONFIG_SYN_COOKIES off?)",
            );
        }
        if self.takes("cookie_v6_check", 2) {
            self.both("cookie_v6", ["fe_cookie_6", "fx_cookie_6"], "cookie_v6_check");
        } else if v4 {
            self.gap(
                "IPv6 connections by SYN cookies are not counted: this kernel has no \
                 cookie_v6_check (IPv6 is off, or a module)",
            );
        }
    }

    fn enqueue(&mut self) {
        if self.need("inet_csk_reqsk_queue_add").is_some() {
            self.both("enqueue_special", ["fe_add", "fx_add"], "inet_csk_reqsk_queue_add");
        }
        if self.need("inet_csk_complete_hashdance").is_some() {
            self.both("enqueue", ["fe_handshake", "fx_handshake"], "inet_csk_complete_hashdance");
        }
        // Before 5.14 a connection dies with its listener.
        if self.takes("reuseport_migrate_sock", 3) {
            self.add("migrated", "fx_migrate", "reuseport_migrate_sock", Attach::Fexit);
        }
    }

    /// The accept: grafting comes after the sleep of a blocking one, so it misses none.
    /// What was queued before the start is not known there, and needs a function that
    /// has the listener.
    fn accept(&mut self) {
        let grafts = (self.arguments)("security_sock_graft").is_some();
        let accepts = self.takes("__inet_accept", 3);
        match (grafts, accepts) {
            (true, _) => self.add("accept", "fe_graft", "security_sock_graft", Attach::Fentry),
            (false, true) => {
                self.add("accept", "fe_accept_only", "__inet_accept", Attach::Fentry);
                self.gap(
                    "an accept may be missed when threads preempt each other in it: this kernel \
                     has no security_sock_graft (missed_by_programs counts them)",
                );
                return;
            }
            (false, false) => return self.missing.push("security_sock_graft"),
        }
        if accepts {
            self.add("accept_untimed", "fe_accept", "__inet_accept", Attach::Fentry);
        } else if self.takes("inet_csk_accept", 2) {
            self.add("accept_untimed", "fx_accept_2", "inet_csk_accept", Attach::Fexit);
        } else if self.takes("inet_csk_accept", 4) {
            self.add("accept_untimed", "fx_accept_4", "inet_csk_accept", Attach::Fexit);
        } else {
            self.gap(
                "accepts of connections that were queued before the start are not counted: this \
                 kernel has neither __inet_accept nor an inet_csk_accept that is known",
            );
        }
    }

    /// A listener's birth, its changes and its death.
    fn listener(&mut self) {
        if self.need("inet_csk_listen_start").is_some() {
            self.both("listen", ["fe_open", "fx_open"], "inet_csk_listen_start");
        }
        // A second listen() comes by one or both of these, according to the kernel and to
        // MPTCP; who comes later finds nothing changed.
        if self.takes("inet_listen", 2) {
            self.add("relisten", "fx_listen", "inet_listen", Attach::Fexit);
        }
        if self.takes("__inet_listen_sk", 2) {
            self.add("relisten", "fx_listen_sk", "__inet_listen_sk", Attach::Fexit);
        }
        if self.need("inet_csk_listen_stop").is_some() {
            self.both("close", ["fe_close", "fx_close"], "inet_csk_listen_stop");
        }
        if (self.arguments)("inet_child_forget").is_some() {
            self.add("killed", "fe_forget", "inet_child_forget", Attach::Fentry);
        } else {
            self.gap(
                "connections that die in the queue when a listener closes, or that find it closed, \
                 are not counted: this kernel has no inet_child_forget",
            );
        }
    }

    fn done(self) -> Result<Plan> {
        let Self { plan, missing, unknown, arguments: _ } = self;
        if !unknown.is_empty() {
            bail!(
                "this kernel's {} takes arguments that backlog-trace does not know yet, please \
                 report its `uname -r`",
                unknown.join(", ")
            );
        }
        if !missing.is_empty() {
            bail!(
                "this kernel has no function {}, which tracing cannot do without: backlog-trace \
                 does not know this kernel yet, please report its `uname -r`",
                missing.join(", ")
            );
        }
        Ok(plan)
    }
}

/// Programs that the plan does not use here and that fit all the same: the tests
/// load them as well.
pub(crate) fn spare(plan: &Plan, arguments: impl Fn(&str) -> Option<usize>) -> Vec<Hook> {
    let spare = |program, function, attach| Hook { moment: "spare", program, function, attach };
    let mut fitting = Vec::new();
    if arguments("__inet_accept") == Some(3) {
        fitting.push(spare("fe_accept", "__inet_accept", Attach::Fentry));
        fitting.push(spare("fe_accept_only", "__inet_accept", Attach::Fentry));
    }
    match arguments("inet_csk_accept") {
        Some(2) => fitting.push(spare("fx_accept_2", "inet_csk_accept", Attach::Fexit)),
        Some(4) => fitting.push(spare("fx_accept_4", "inet_csk_accept", Attach::Fexit)),
        _ => {}
    }
    fitting.retain(|hook| plan.hooks.iter().all(|used| used.program != hook.program));
    fitting
}

#[cfg(test)]
mod tests;

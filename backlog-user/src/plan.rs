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
const OPTIONAL: [&str; 3] = ["cookie", "accept_untimed", "killed"];

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
    let mut plan = Plan::default();
    let mut add = |moment, program, function, attach| {
        plan.hooks.push(Hook { moment, program, function, attach });
    };
    let mut missing = Vec::new();
    let mut gaps = Vec::new();
    let mut need = |function: &'static str| {
        let found = arguments(function);
        if found.is_none() {
            missing.push(function);
        }
        found
    };

    // A SYN, and a Fast Open child that is queued within it.
    if need("tcp_conn_request").is_some() {
        add("syn", "fe_syn", "tcp_conn_request", Attach::Fentry);
        add("syn", "fx_syn", "tcp_conn_request", Attach::Fexit);
    }
    if need("inet_csk_reqsk_queue_add").is_some() {
        add("enqueue_special", "fe_add", "inet_csk_reqsk_queue_add", Attach::Fentry);
        add("enqueue_special", "fx_add", "inet_csk_reqsk_queue_add", Attach::Fexit);
    }
    // The last ACK, of a request and of a cookie.
    if need("tcp_check_req").is_some() {
        add("ack", "fe_ack", "tcp_check_req", Attach::Fentry);
        add("ack", "fx_ack", "tcp_check_req", Attach::Fexit);
    }
    if arguments("tcp_get_cookie_sock").is_some() {
        add("cookie", "fe_cookie", "tcp_get_cookie_sock", Attach::Fentry);
        add("cookie", "fx_cookie", "tcp_get_cookie_sock", Attach::Fexit);
    } else {
        gaps.push(
            "connections by SYN cookies are not counted: this kernel has no tcp_get_cookie_sock \
             (CONFIG_SYN_COOKIES off?)"
                .to_owned(),
        );
    }
    if need("inet_csk_complete_hashdance").is_some() {
        add("enqueue", "fe_handshake", "inet_csk_complete_hashdance", Attach::Fentry);
        add("enqueue", "fx_handshake", "inet_csk_complete_hashdance", Attach::Fexit);
    }

    // The accept: grafting comes after the sleep of a blocking one, so it misses
    // none. What was queued before the start is not known there, and needs a
    // function that has the listener.
    let grafts = arguments("security_sock_graft").is_some();
    let accepts = arguments("__inet_accept") == Some(3);
    if grafts {
        add("accept", "fe_graft", "security_sock_graft", Attach::Fentry);
    } else if accepts {
        add("accept", "fe_accept_only", "__inet_accept", Attach::Fentry);
        gaps.push(
            "an accept may be missed when threads preempt each other in it: this kernel has no \
             security_sock_graft (missed_by_programs counts them)"
                .to_owned(),
        );
    } else {
        need("security_sock_graft");
    }
    if grafts && accepts {
        add("accept_untimed", "fe_accept", "__inet_accept", Attach::Fentry);
    } else if grafts {
        match arguments("inet_csk_accept") {
            Some(2) => add("accept_untimed", "fx_accept_2", "inet_csk_accept", Attach::Fexit),
            Some(4) => add("accept_untimed", "fx_accept_4", "inet_csk_accept", Attach::Fexit),
            _ => gaps.push(
                "accepts of connections that were queued before the start are not counted: this \
                 kernel has neither __inet_accept nor an inet_csk_accept that is known"
                    .to_owned(),
            ),
        }
    }

    // A listener's birth and death.
    if need("inet_csk_listen_start").is_some() {
        add("listen", "fe_open", "inet_csk_listen_start", Attach::Fentry);
        add("listen", "fx_open", "inet_csk_listen_start", Attach::Fexit);
    }
    if need("inet_csk_listen_stop").is_some() {
        add("close", "fe_close", "inet_csk_listen_stop", Attach::Fentry);
        add("close", "fx_close", "inet_csk_listen_stop", Attach::Fexit);
    }
    if arguments("inet_child_forget").is_some() {
        add("killed", "fe_forget", "inet_child_forget", Attach::Fentry);
    } else {
        gaps.push("connections that die in the queue when a listener closes are not counted: this kernel has no inet_child_forget".to_owned());
    }

    if !missing.is_empty() {
        bail!(
            "this kernel has no function {}, which tracing cannot do without: backlog-trace does not \
             know this kernel yet, please report its `uname -r`",
            missing.join(", ")
        );
    }
    plan.gaps = gaps;
    Ok(plan)
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
mod tests {
    use super::{Plan, plan};

    /// Numbers of arguments as BTF gives them (kernel.md, section 1).
    fn common(function: &str) -> Option<usize> {
        match function {
            "tcp_conn_request" | "inet_csk_complete_hashdance" => Some(4),
            "inet_csk_reqsk_queue_add" | "inet_child_forget" => Some(3),
            "inet_csk_listen_start" | "inet_csk_listen_stop" => Some(1),
            "security_sock_graft" => Some(2),
            _ => None,
        }
    }

    fn debian_5_10(function: &str) -> Option<usize> {
        match function {
            "tcp_check_req" | "tcp_get_cookie_sock" => Some(5),
            "inet_csk_accept" => Some(4),
            "inet_csk_listen_start" => Some(2),
            other => common(other),
        }
    }

    fn debian_6_18(function: &str) -> Option<usize> {
        match function {
            "tcp_check_req" => Some(6),
            "tcp_get_cookie_sock" => Some(4),
            "inet_csk_accept" => Some(2),
            "__inet_accept" => Some(3),
            other => common(other),
        }
    }

    fn programs(plan: &Plan) -> Vec<&'static str> {
        plan.hooks.iter().map(|hook| hook.program).collect()
    }

    #[test]
    fn a_current_kernel_has_an_accept_function_of_its_own() {
        let plan = plan(debian_6_18).unwrap();
        assert!(plan.gaps.is_empty());
        let programs = programs(&plan);
        for wanted in ["fe_graft", "fe_accept", "fx_cookie"] {
            assert!(programs.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn an_old_kernel_has_not() {
        let plan = plan(debian_5_10).unwrap();
        assert!(plan.gaps.is_empty());
        let programs = programs(&plan);
        for wanted in ["fx_accept_4", "fe_graft", "fx_cookie"] {
            assert!(programs.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn enqueues_are_attached_before_accepts() {
        for kernel in [debian_5_10, debian_6_18] {
            let plan = plan(kernel).unwrap();
            let first_accept = plan.hooks.iter().position(|hook| hook.moment == "accept");
            let last_enqueue = plan
                .hooks
                .iter()
                .rposition(|hook| hook.moment.starts_with("enqueue") || hook.moment == "cookie");
            assert!(last_enqueue < first_accept);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = plan(|function| (function != "tcp_check_req").then_some(4)).unwrap_err();
        assert!(error.to_string().contains("tcp_check_req"), "{error}");
        let without_cookies =
            plan(|function| debian_6_18(function).filter(|_| function != "tcp_get_cookie_sock"));
        assert!(without_cookies.unwrap().gaps[0].contains("SYN cookies"));
    }

    #[test]
    fn without_grafting_one_program_does_both() {
        let plan =
            plan(|function| debian_6_18(function).filter(|_| function != "security_sock_graft"));
        let plan = plan.unwrap();
        assert!(programs(&plan).contains(&"fe_accept_only"));
        assert!(!programs(&plan).contains(&"fe_accept"));
        assert!(plan.gaps[0].contains("preempt"));
    }

    #[test]
    fn what_is_not_used_is_spare() {
        let plan = plan(debian_6_18).unwrap();
        let spare: Vec<_> =
            super::spare(&plan, debian_6_18).iter().map(|hook| hook.program).collect();
        assert_eq!(spare, ["fe_accept_only", "fx_accept_2"]);
    }

    #[test]
    fn program_names_fit_the_kernel() {
        for kernel in [debian_5_10, debian_6_18] {
            assert!(plan(kernel).unwrap().hooks.iter().all(|hook| hook.program.len() <= 15));
        }
    }
}

//! The plan for kernels as their BTF shows them.

use super::{Plan, plan};

/// Numbers of arguments as BTF gives them (kernel.md, section 1).
fn common(function: &str) -> Option<usize> {
    match function {
        "tcp_conn_request" | "inet_csk_complete_hashdance" => Some(4),
        "inet_csk_reqsk_queue_add" | "inet_child_forget" | "tcp_req_err" => Some(3),
        "inet_csk_listen_start" | "inet_csk_listen_stop" | "reqsk_timer_handler" => Some(1),
        "security_sock_graft"
        | "tcp_peer_is_proven"
        | "cookie_v4_check"
        | "cookie_v6_check"
        | "inet_listen" => Some(2),
        _ => None,
    }
}

fn debian_5_10(function: &str) -> Option<usize> {
    match function {
        "tcp_check_req" => Some(5),
        "inet_csk_accept" => Some(4),
        "inet_csk_listen_start" => Some(2),
        other => common(other),
    }
}

fn debian_6_18(function: &str) -> Option<usize> {
    match function {
        "tcp_check_req" => Some(6),
        "inet_csk_accept" | "__inet_listen_sk" | "mptcp_token_get_sock" => Some(2),
        "__inet_accept" | "reuseport_migrate_sock" => Some(3),
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
    for wanted in ["fe_graft", "fe_accept", "fx_cookie_4", "fx_ack_6", "fx_migrate", "fe_join"] {
        assert!(programs.contains(&wanted), "{wanted}");
    }
}

#[test]
fn an_old_kernel_has_not() {
    let plan = plan(debian_5_10).unwrap();
    assert!(plan.gaps.is_empty());
    let programs = programs(&plan);
    for wanted in ["fx_accept_4", "fe_graft", "fx_cookie_4", "fx_ack_5"] {
        assert!(programs.contains(&wanted), "{wanted}");
    }
}

#[test]
fn enqueues_are_attached_before_accepts() {
    for kernel in [debian_5_10, debian_6_18] {
        let plan = plan(kernel).unwrap();
        let first_accept = plan.hooks.iter().position(|hook| hook.moment == "accept");
        let last_enqueue = plan.hooks.iter().rposition(|hook| {
            hook.moment.starts_with("enqueue") || hook.moment.starts_with("cookie")
        });
        assert!(last_enqueue < first_accept);
    }
}

#[test]
fn what_is_missing_is_named() {
    let error = plan(|function| (function != "tcp_check_req").then_some(4)).unwrap_err();
    assert!(error.to_string().contains("tcp_check_req"), "{error}");
    let without_cookies =
        plan(|function| debian_6_18(function).filter(|_| function != "cookie_v4_check"));
    assert!(without_cookies.unwrap().gaps[0].contains("SYN cookies"));
    let changed = |function: &str| match function {
        "tcp_check_req" => Some(7),
        other => debian_6_18(other),
    };
    assert!(plan(changed).unwrap_err().to_string().contains("arguments"));
}

#[test]
fn without_grafting_one_program_does_both() {
    let plan = plan(|function| debian_6_18(function).filter(|_| function != "security_sock_graft"));
    let plan = plan.unwrap();
    assert!(programs(&plan).contains(&"fe_accept_only"));
    assert!(!programs(&plan).contains(&"fe_accept"));
    assert!(plan.gaps[0].contains("preempt"));
}

#[test]
fn what_is_not_used_is_spare() {
    let plan = plan(debian_6_18).unwrap();
    let spare: Vec<_> = super::spare(&plan, debian_6_18).iter().map(|hook| hook.program).collect();
    assert_eq!(spare, ["fe_accept_only", "fx_accept_2"]);
}

#[test]
fn program_names_fit_the_kernel() {
    for kernel in [debian_5_10, debian_6_18] {
        assert!(plan(kernel).unwrap().hooks.iter().all(|hook| hook.program.len() <= 15));
    }
}

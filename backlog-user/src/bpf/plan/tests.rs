//! Plans for kernels with different BTF.

use backlog_core::run::Backend;

use super::{Hook, KernelFacts, Plan, Way, Ways, plan};

type Functions = fn(&str) -> Option<usize>;

/// Numbers of arguments as BTF gives them (kernel.md, section 1).
fn common(function: &str) -> Option<usize> {
    match function {
        "tcp_conn_request" => Some(4),
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

/// Tracepoints and the number of their arguments.
fn tracepoints_6_18(tracepoint: &str) -> Option<usize> {
    match tracepoint {
        "inet_sock_set_state" => Some(3),
        "tcp_destroy_sock" => Some(1),
        "kfree_skb" => Some(4),
        "consume_skb" | "sys_exit" => Some(2),
        _ => None,
    }
}

fn ways(refused: &[Way]) -> Ways {
    let mut ways = Ways::default();
    for way in Way::ALL {
        let result = if refused.contains(&way) { Err("refused".to_owned()) } else { Ok(()) };
        ways.tried(way, result);
    }
    ways
}

fn make(
    function: &dyn Fn(&str) -> Option<usize>,
    tracepoint: Functions,
    refused: &[Way],
    backend: Backend,
) -> anyhow::Result<Plan> {
    plan(
        KernelFacts {
            function,
            tracepoint: &tracepoint,
            ways: &ways(refused),
            lacking: &[],
            uring_requests: true,
        },
        backend,
    )
}

fn fentry(function: impl Fn(&str) -> Option<usize>) -> anyhow::Result<Plan> {
    make(&function, tracepoints_6_18, &[], Backend::Fentry)
}

fn programs(plan: &Plan) -> Vec<&'static str> {
    plan.first().map(|hook| hook.program).collect()
}

#[test]
fn a_current_kernel_has_an_accept_function_of_its_own() {
    let plan = fentry(debian_6_18).unwrap();
    assert!(plan.gaps.is_empty());
    let programs = programs(&plan);
    for wanted in ["fe_graft", "fx_cookie_4", "fx_ack_6", "fx_migrate", "it_queued"] {
        assert!(programs.contains(&wanted), "{wanted}");
    }
}

#[test]
fn an_old_kernel_has_not() {
    let plan = fentry(debian_5_10).unwrap();
    assert!(plan.gaps.is_empty());
    let programs = programs(&plan);
    for wanted in ["it_queued", "fe_graft", "fx_cookie_4", "fx_ack_5"] {
        assert!(programs.contains(&wanted), "{wanted}");
    }
}

#[test]
fn enqueues_are_attached_before_accepts() {
    for kernel in [debian_5_10, debian_6_18] {
        for backend in [Backend::Fentry, Backend::Kprobe] {
            let plan = make(&kernel, tracepoints_6_18, &[], backend).unwrap();
            let place = |wanted: fn(&str) -> bool| {
                plan.moments.iter().rposition(|moment| wanted(moment.name)).unwrap()
            };
            let enqueue = |name: &str| name.starts_with("enqueue") || name.starts_with("cookie");
            assert!(place(enqueue) < place(|name| name == "accept"));
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let error = fentry(|function| (function != "tcp_check_req").then_some(4)).unwrap_err();
    assert!(error.to_string().contains("tcp_check_req"), "{error}");
    let without_cookies =
        fentry(|function| debian_6_18(function).filter(|_| function != "cookie_v4_check"));
    assert!(without_cookies.unwrap().gaps[0].contains("SYN cookies"));
}

#[test]
fn arguments_that_are_not_known_are_no_matter_to_a_kprobe() {
    let changed = |function: &str| match function {
        "tcp_check_req" => Some(7),
        other => debian_6_18(other),
    };
    let refused = [Way::Kprobe];
    let error = make(&changed, tracepoints_6_18, &refused, Backend::Fentry).unwrap_err();
    assert!(error.to_string().contains("arguments"));
    let plan = fentry(changed).unwrap();
    assert!(programs(&plan).contains(&"kr_ack") && programs(&plan).contains(&"fx_syn"));
}

#[test]
fn without_grafting_one_program_does_both() {
    let plan =
        fentry(|function| debian_6_18(function).filter(|_| function != "security_sock_graft"));
    let plan = plan.unwrap();
    assert!(programs(&plan).contains(&"fe_accept_only"));
    assert!(plan.gaps[0].contains("preempt"));
}

#[test]
fn each_function_hook_falls_back_to_a_kprobe() {
    let plan = fentry(debian_6_18).unwrap();
    for moment in plan.moments.iter().filter(|moment| moment.name != "queued") {
        assert_eq!(moment.choices.len(), 2, "{}", moment.name);
    }
    let refused = [Way::Kprobe];
    let plan = make(&debian_6_18, tracepoints_6_18, &refused, Backend::Fentry).unwrap();
    assert!(plan.hooks().all(|hook| hook.attach.way() != Way::Kprobe));
}

#[test]
fn kprobes_do_not_sit_where_a_packet_may_interrupt_an_accept() {
    let plan = make(&debian_6_18, tracepoints_6_18, &[], Backend::Kprobe).unwrap();
    assert!(plan.hooks().all(|hook| hook.target != "__inet_accept"), "{plan:?}");
    assert!(programs(&plan).contains(&"it_queued"));
    let kprobe = |hook: &Hook| [Way::Kprobe, Way::Iter].contains(&hook.attach.way());
    assert!(plan.hooks().all(kprobe));
}

#[test]
fn a_backend_needs_its_way() {
    for (backend, way) in [(Backend::Fentry, Way::Fentry), (Backend::Kprobe, Way::Kprobe)] {
        let error = make(&debian_6_18, tracepoints_6_18, &[way], backend).unwrap_err();
        assert_eq!(error.to_string(), "refused");
    }
    let both = [Way::BtfTracepoint, Way::RawTracepoint];
    assert!(make(&debian_6_18, tracepoints_6_18, &both, Backend::Tracepoint).is_err());
}

#[test]
fn tracepoints_come_with_and_without_types() {
    let refused = [Way::BtfTracepoint, Way::Tracepoint];
    let plan = make(&debian_6_18, tracepoints_6_18, &refused, Backend::Tracepoint).unwrap();
    assert_eq!(
        programs(&plan),
        ["rt_state", "rt_kfree", "rt_consume", "rt_destroy", "rt_exit", "it_queued"]
    );
    let plan = make(&debian_6_18, tracepoints_6_18, &[], Backend::Tracepoint).unwrap();
    // Both twins, since the kernel skips a program that a packet interrupts.
    for wanted in ["tb_state", "rt_state", "tb_destroy", "tp_accept"] {
        assert!(programs(&plan).contains(&wanted), "{wanted}");
    }
    assert!(!programs(&plan).contains(&"rt_destroy"));
}

#[test]
fn fields_that_only_tracepoints_need_are_named() {
    let lacking = ["dst_entry.dev".to_owned()];
    let shown = KernelFacts {
        function: &debian_6_18,
        tracepoint: &tracepoints_6_18,
        ways: &ways(&[]),
        lacking: &lacking,
        uring_requests: true,
    };
    assert!(plan(shown, Backend::Fentry).is_ok());
    let error = plan(shown, Backend::Tracepoint).unwrap_err().to_string();
    assert!(error.contains("dst_entry.dev"), "{error}");
}

#[test]
fn what_is_not_used_is_spare() {
    let ways = ways(&[]);
    let shown = KernelFacts {
        function: &debian_6_18,
        tracepoint: &tracepoints_6_18,
        ways: &ways,
        lacking: &[],
        uring_requests: true,
    };
    let plan = plan(shown, Backend::Fentry).unwrap();
    let spare: Vec<_> = super::spare(&plan, shown).iter().map(|hook| hook.program).collect();
    assert_eq!(spare, ["fe_accept_only", "kp_accept_only", "rt_failed", "rt_uring_failed"]);
}

#[test]
fn program_names_fit_the_kernel() {
    for kernel in [debian_5_10, debian_6_18] {
        for backend in Backend::ALL {
            let plan = make(&kernel, tracepoints_6_18, &[], backend).unwrap();
            assert!(plan.hooks().all(|hook| hook.program.len() <= 15));
        }
    }
}

//! Prints synthetic reports, and checks the verdict on them.

use backlog_core::run::Backend;

use super::report::{
    Check, Global, Kernel, Line, Moment, Process, Readiness, Refused, Report, Right, Seen, Tried,
    Used,
};
use super::{SCHEMA, judge, needs, text};
use crate::bpf::plan::Way;
use crate::output::schema;
use crate::rights::capability::{Capabilities, Capability};
use crate::rights::table::Uses;

const NO_RIGHT: &str = "no permission to load eBPF programs (CAP_BPF and CAP_PERFMON are \
    missing): run it as root (sudo backlog-trace ...)";
const NO_FENTRY: &str = "the kernel refuses fentry and fexit programs (a hardened kernel, \
                         lockdown, or too few capabilities) (fe_open on inet_csk_listen_start: \
                         Operation not permitted (os error 1))";
const NO_KPROBE: &str = "this kernel has no kprobes (CONFIG_KPROBES off), or none on this \
    function (kp_open on inet_csk_listen_start: No such file or directory (os error 2))";

fn no(why: &str) -> Check {
    Check::No { why: why.to_owned() }
}

fn value(text: &str) -> Seen<String> {
    Seen::Value(text.to_owned())
}

fn missing() -> Seen<String> {
    Seen::NotReadable("not there".into())
}

fn kernel() -> Kernel {
    let config = [
        ("CONFIG_BPF_JIT", "y"),
        ("CONFIG_BPF_SYSCALL", "y"),
        ("CONFIG_KPROBES", "y"),
        ("CONFIG_MPTCP", "n"),
    ];
    Kernel {
        release: value("6.12.0-made-up"),
        arch: "x86_64",
        btf_bytes: Seen::Value(4_722_487),
        config: Seen::Value(config.map(|(name, value)| (name, value.to_owned())).into()),
        lockdown: value("none"),
        sysctls: [
            ("kernel.perf_event_paranoid", value("2")),
            ("net.core.bpf_jit_enable", Seen::NotReadable("no permission to read it".into())),
        ]
        .into(),
        tracefs: Check::Yes,
    }
}

fn process(effective: bool) -> Process {
    let right = |name, purpose: &str| Right { name, effective, purpose: purpose.to_owned() };
    let held = if effective { Capabilities::of(&Capability::ALL) } else { Capabilities::NONE };
    Process {
        capabilities: Some(vec![
            right("CAP_BPF", "eBPF programs and maps: needed"),
            right("CAP_DAC_READ_SEARCH", "a purpose that is longer than what fits on its line"),
        ]),
        needs: Some(needs::of_run(held, Some(Backend::Fentry), needs::Host::default(), None)),
        in_user_namespace: false,
        namespaces: if effective { 3 } else { 1 },
        unseen_namespaces: (!effective).then(|| "2 others are not looked into".to_owned()),
    }
}

fn tried(names: impl IntoIterator<Item = &'static str>, check: fn() -> Check) -> Vec<Tried> {
    names.into_iter().map(|name| Tried { name, check: check() }).collect()
}

fn ways() -> impl Iterator<Item = &'static str> {
    Way::ALL.iter().map(|way| way.name())
}

fn backends() -> impl Iterator<Item = &'static str> {
    Backend::ALL.iter().map(|backend| backend.name())
}

fn used(program: &'static str, attach: &'static str, target: &'static str) -> Used {
    Used { program, attach, target, walked: Some(3946) }
}

fn moment(name: &'static str, used: Vec<Used>) -> Moment {
    Moment { name, needed: true, used, refused: Vec::new() }
}

fn values() -> Vec<Global> {
    let value = |name, value, source: &str| Global { name, value, source: source.to_owned() };
    vec![
        value("SKC_DADDR", Some(0), "sock_common.skc_daddr"),
        value("MPTCP_FIRST", None, "mptcp_sock.first"),
        value("HAS_DATA_READY", Some(1), ""),
    ]
}

/// A host that permits everything, with few gaps.
fn well() -> Report {
    let backends = tried(backends(), || Check::Yes);
    Report {
        schema: SCHEMA,
        version: "0.0.0",
        verdict: judge(None, &backends, None),
        kernel: kernel(),
        process: process(true),
        ring_buffer: Check::Yes,
        ways: tried(ways(), || Check::Yes),
        backends,
        shown: Some("fentry"),
        hooks: Some(vec![
            moment(
                "syn",
                vec![
                    used("fe_syn", "fentry", "tcp_conn_request"),
                    used("fx_syn", "fexit", "tcp_conn_request"),
                ],
            ),
            Moment {
                name: "enqueue_special",
                needed: true,
                used: vec![
                    used("kp_add", "kprobe", "inet_csk_reqsk_queue_add"),
                    Used {
                        walked: None,
                        ..used("kr_add", "kretprobe", "inet_csk_reqsk_queue_add")
                    },
                ],
                refused: vec![Refused {
                    by: "fentry+fexit inet_csk_reqsk_queue_add".into(),
                    why: "its arguments do not fit".into(),
                }],
            },
        ]),
        values: Some(values()),
        gaps: Some(Vec::new()),
    }
}

/// A user without privileges.
fn without_rights() -> Report {
    let not_tried = || Check::NotChecked { why: "no program can be loaded".into() };
    let backends = tried(backends(), not_tried);
    Report {
        verdict: judge(Some(NO_RIGHT.into()), &backends, None),
        process: process(false),
        ring_buffer: Check::NotChecked { why: NO_RIGHT.into() },
        ways: tried(ways(), not_tried),
        backends,
        shown: None,
        hooks: None,
        gaps: None,
        ..well()
    }
}

/// A hardened kernel: neither fentry nor kprobes.
fn hardened() -> Report {
    let mut ways = tried(ways(), || Check::Yes);
    ways[0].check = no(NO_FENTRY);
    ways[1].check = no(NO_KPROBE);
    let mut backends = tried(backends(), || Check::Yes);
    backends[0].check = no(NO_FENTRY);
    backends[1].check = no(NO_KPROBE);
    Report {
        verdict: judge(None, &backends, None),
        kernel: Kernel {
            config: Seen::NotReadable("/boot/config-6.12.0-made-up: not there".into()),
            lockdown: missing(),
            tracefs: no("not mounted (mount -t tracefs tracefs /sys/kernel/tracing)"),
            ..kernel()
        },
        ways,
        backends,
        shown: Some("tracepoint"),
        hooks: Some(vec![
            moment("ack", vec![used("tb_kfree", "tp_btf", "kfree_skb")]),
            Moment { needed: false, ..moment("ready", Vec::new()) },
        ]),
        gaps: Some(vec!["requests that expire in the SYN queue are not counted, ".repeat(2)]),
        ..well()
    }
}

fn lines_fit(text: &str) {
    for line in text.lines() {
        assert!(line.is_ascii() && line.len() <= 80 && line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn all_is_well() {
    let text = text::render(&well(), true);
    lines_fit(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn no_rights() {
    let text = text::render(&without_rights(), false);
    lines_fit(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn only_tracepoints() {
    let text = text::render(&hardened(), false);
    lines_fit(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn needs_of_one_run() {
    let asked = needs::Asked {
        words: vec!["--cmd".into(), "ab -n 9 x".into()],
        uses: Uses { command: true, files: true, ..Uses::default() },
        backend: None,
    };
    let held = Capabilities::of(&[Capability::Bpf, Capability::Perfmon]);
    let needs = needs::of_run(held, None, needs::Host::default(), Some(&asked));
    let report = Report { process: Process { needs: Some(needs), ..process(true) }, ..well() };
    let text = text::render(&report, false);
    lines_fit(&text);
    let run = text.split_once("  For the run").unwrap().1.split("\n\n").next().unwrap();
    insta::assert_snapshot!(run);
    schema::check(&serde_json::to_value(Line::Doctor(&report)).unwrap());
}

#[test]
fn json() {
    for report in [hardened(), without_rights()] {
        schema::check(&serde_json::to_value(Line::Doctor(&report)).unwrap());
    }
    let object = serde_json::to_value(Line::Doctor(&hardened())).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap());
}

#[test]
fn the_verdict_is_on_what_was_asked_for() {
    let backends = hardened().backends;
    let works = |verdict: Readiness| (verdict.works, verdict.backend);
    assert_eq!(works(judge(None, &backends, None)), (true, Some("tracepoint")));
    let asked = judge(None, &backends, Some(Backend::Fentry));
    assert!(asked.why.as_ref().unwrap().contains("would work with tracepoint"), "{asked:?}");
    assert_eq!(works(asked), (false, None));
    let blocked = judge(Some("because".into()), &backends, None);
    assert_eq!(blocked.why.as_deref(), Some("because"));
}

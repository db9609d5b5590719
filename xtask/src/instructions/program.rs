//! Parses the output of the tool's `--check-programs`: a line of JSON for each program. Pure.

use serde_json::Value;

/// Prefixes of program names, and the attach types that the tool prints for them.
const WAYS: [(&str, &str); 8] = [
    ("fe_", "fentry"),
    ("fx_", "fexit"),
    ("kp_", "kprobe"),
    ("kr_", "kretprobe"),
    ("tb_", "tp_btf"),
    ("rt_", "raw_tp"),
    ("tp_", "tracepoint"),
    ("it_", "iter"),
];

/// A program that the verifier has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// The function or tracepoint that it was loaded for.
    pub(crate) function: String,
    /// Instructions that the verifier has processed; None if the kernel does not report them.
    pub(crate) walked: Option<u64>,
}

impl Program {
    /// Does this program belong to a hook such as `fentry tcp_conn_request`?
    pub(crate) fn is_on(&self, hook: &str) -> bool {
        let Some((way, function)) = hook.split_once(' ') else {
            return false;
        };
        function == self.function
            && WAYS.iter().any(|(prefix, its)| way == *its && self.name.starts_with(prefix))
    }
}

/// Finds the lines among others, alone or after `walked: `.
pub(crate) fn programs(output: &str) -> Vec<Program> {
    let programs = output.lines().filter_map(|line| {
        let line = line.split_once("walked: ").map_or(line, |(_, json)| json);
        let value: Value = serde_json::from_str(line).ok()?;
        Some(Program {
            name: value.get("program")?.as_str()?.to_owned(),
            function: value.get("function")?.as_str()?.to_owned(),
            walked: value.get("walked")?.as_u64(),
        })
    });
    programs.collect()
}

#[cfg(test)]
mod tests {
    use super::{Program, programs};

    #[test]
    fn lines_are_found_with_their_mark_and_without() {
        let output = "test a ... walked: {\"program\":\"fe_syn\",\"function\":\"a\",\"walked\":7}\n\
            ok\n{\"program\":\"kp_syn\",\"function\":\"a\",\"walked\":null}\n{\"type\":\"meta\"}\n";
        let of = |name: &str, walked| Program {
            name: name.to_owned(),
            function: "a".to_owned(),
            walked,
        };
        assert_eq!(programs(output), [of("fe_syn", Some(7)), of("kp_syn", None)]);
    }

    #[test]
    fn a_hook_has_a_program() {
        let output = "{\"program\":\"kp_syn\",\"function\":\"a\",\"walked\":1}";
        let [program] = &programs(output)[..] else { panic!("{output}") };
        assert!(program.is_on("kprobe a"));
        assert!(!program.is_on("kretprobe a") && !program.is_on("kprobe b"));
    }
}

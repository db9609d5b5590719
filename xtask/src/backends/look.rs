//! The tool's report on a kernel: how each backend attaches, and the verifier's figures for each
//! program. The same script collects it in a guest and natively.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::apart::{self, End};
use crate::backend::Backend;
use crate::kernels::Kernel;
use crate::native;
use crate::process;
use crate::test::suite::Built;
use crate::vm::{self, ConsoleLog, Emulation, Guest, Saved, Sinks};

/// Each part of the output begins with a heading.
const SCRIPT: &str = "\
for backend in fentry kprobe tracepoint; do
	echo \"= $backend\"
	backlog-trace --backend $backend --duration 0.2 --output json 2>&1
done
echo '= programs'
backlog-trace --check-programs 2>&1
";
const LIMIT: Duration = Duration::from_mins(3);

/// The parts of the report.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    /// How each backend attaches, or why it does not.
    pub(super) backends: BTreeMap<Backend, Result<Attached, String>>,
    /// The lines of `--check-programs`.
    pub(super) programs: String,
}

/// An attached backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attached {
    /// The probe points, and how each is attached.
    pub(super) hooks: Vec<(String, String)>,
    /// What it cannot see.
    pub(super) gaps: Vec<String>,
    /// What was not attached as planned.
    pub(super) reasons: Vec<String>,
}

/// Collects the report in a guest.
pub(super) fn in_guest(kernel: &Kernel, built: &Built) -> Result<Looked> {
    let guest = Guest {
        kernel,
        cpus: vm::CPUS,
        memory: vm::MEMORY,
        emulation: Emulation::InTurn,
        limit: LIMIT,
        quiet_limit: None,
        added: &built.programs_added(),
        disk: None,
        command: &["sh", "-c", SCRIPT].map(OsString::from),
    };
    let log = ConsoleLog::new(kernel)?;
    let output = Saved::default();
    let outcome = vm::boot(&guest, || {
        Ok(Sinks {
            stdout: Box::new(output.clone()),
            stderr: Box::new(output.clone()),
            console: Box::new(log.writer()?),
        })
    })?;
    vm::describe(&guest, &outcome).with_context(|| format!("console: {}", log.path.display()))?;
    parse(&output.text())
}

/// Collects the report on this machine, with the kernel's release. The error says why this is
/// impossible.
pub(super) fn natively(tool: &Path) -> Result<(String, Looked)> {
    let found = native::look(tool, None)?;
    let mut output = native::file()?;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).stdin(Stdio::null());
    command.stdout(native::copy(&output)?).stderr(native::copy(&output)?);
    let folder = tool.parent().unwrap_or(tool).display();
    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
    process::say(&format!("looking at this machine's kernel {}", found.kernel));
    match apart::run(&mut command, LIMIT)? {
        End::Status(_) => Ok((found.kernel, parse(&native::text(&mut output)?)?)),
        End::TimedOut => bail!("no end within {} s", LIMIT.as_secs()),
    }
}

/// Parses the output of the script.
fn parse(output: &str) -> Result<Looked> {
    let mut looked = Looked::default();
    let mut parts = format!("\n{output}");
    parts.push('\n');
    for part in parts.split("\n= ").skip(1) {
        let (heading, lines) = part.split_once('\n').unwrap_or((part, ""));
        match Backend::named(heading) {
            Some(backend) => {
                looked.backends.insert(backend, attached(lines));
            }
            None => lines.clone_into(&mut looked.programs),
        }
    }
    if looked.backends.len() < Backend::ALL.len() || looked.programs.trim().is_empty() {
        bail!("the tool did not say all: {}", output.trim());
    }
    Ok(looked)
}

fn attached(lines: &str) -> Result<Attached, String> {
    let Some(meta) = native::meta(lines) else {
        return Err(native::one_line(lines));
    };
    let texts = |key: &str| -> Vec<String> {
        let list = meta.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let hooks = meta.get("hooks").and_then(Value::as_object).into_iter().flatten();
    let hooks = hooks.filter_map(|(moment, how)| Some((moment.clone(), how.as_str()?.to_owned())));
    Ok(Attached { hooks: hooks.collect(), gaps: texts("gaps"), reasons: texts("reasons") })
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Attached, Looked, parse};
    use crate::backend::Backend;

    /// The report of a kernel without kprobes.
    pub(crate) fn looked() -> Looked {
        let output = r#"= fentry
{"type":"meta","hooks":{"syn":"fentry a_syn + fexit a_syn","v6":"fentry b"},"gaps":[],"reasons":[]}
= kprobe
backlog-trace: no kprobe
= tracepoint
backlog-trace: words
{"type":"meta","hooks":{"syn":"tp_btf consume"},"gaps":["timers"],"reasons":["not as planned"]}
{"type":"end"}
= programs
{"program":"fe_syn","function":"a_syn","walked":7,"translated":9}
{"program":"fx_syn","function":"a_syn","walked":1234,"translated":9}
{"program":"tb_consume","function":"consume","walked":null,"translated":9}
"#;
        parse(output).unwrap()
    }

    #[test]
    fn the_parts_of_the_output_are_told_apart() {
        let looked = looked();
        assert_eq!(looked.backends[&Backend::Kprobe], Err("no kprobe".to_owned()));
        let expected = Attached {
            hooks: vec![("syn".into(), "tp_btf consume".into())],
            gaps: vec!["timers".into()],
            reasons: vec!["not as planned".into()],
        };
        assert_eq!(looked.backends[&Backend::Tracepoint], Ok(expected));
        assert_eq!(looked.programs.trim().lines().count(), 3);
        assert!(parse("= fentry\n").is_err());
    }
}

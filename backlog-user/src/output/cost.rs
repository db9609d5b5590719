//! The cost of tracing, as text: the tool's own CPU time and memory, and the most expensive
//! programs.

use std::fmt::Write as _;

use backlog_core::run::cost::{Cost, Cpu, Looks, ProgramCost, Runs};
use backlog_core::text::format::plural;
use backlog_core::text::outside::safe;

/// The number of programs with a row of their own.
const ROWS: usize = 6;

/// Renders the block at the end of the summary.
pub(crate) fn render(text: &mut String, cost: &Cost) {
    let _ = writeln!(text, "\nCost of tracing in {:.1} s", cost.elapsed_ns as f64 / 1e9);
    let _ = writeln!(text, "  CPU          {}", cpu(cost));
    let _ = writeln!(text, "  memory       {}", memory(cost));
    let _ = writeln!(text, "  owners       {}", looks(&cost.looks));
    let _ = writeln!(text, "  programs     {}", runs(cost));
    table(text, cost);
}

fn cpu(cost: &Cost) -> String {
    let seconds = |us: u64| us as f64 / 1e6;
    let Some(cpu) = cost.cpu else {
        return "not known".into();
    };
    let Cpu { user_us, system_us } = cpu;
    let mut text = format!(
        "{:.3} s ({:.3} user, {:.3} system), {:.2} % of one CPU",
        seconds(cpu.sum_us()),
        seconds(user_us),
        seconds(system_us),
        cost.percent(cpu.sum_us().saturating_mul(1000)),
    );
    if let Some(before) = cost.cpu_before {
        let _ = write!(
            text,
            "\n               {:.3} s before, to load and attach",
            seconds(before.sum_us())
        );
    }
    text
}

fn memory(cost: &Cost) -> String {
    let memory = &cost.memory;
    format!(
        "{} resident ({} anonymous), peak {};\n               \
         in the kernel {} of maps, {} of programs",
        mebibytes(memory.resident),
        mebibytes(memory.anonymous),
        mebibytes(memory.peak),
        mebibytes(cost.maps_bytes),
        mebibytes(cost.programs_bytes),
    )
}

fn looks(looks: &Looks) -> String {
    let Looks { count, elapsed, last } = looks;
    format!(
        "{} in {:.3} s; the last at {} descriptors of {} processes",
        plural(*count, "look"),
        elapsed.as_secs_f64(),
        last.descriptors,
        last.processes,
    )
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".into(), |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))
}

fn runs(cost: &Cost) -> String {
    match (cost.runs(), &cost.refusal) {
        (Some(runs), _) => {
            let each = runs.mean_ns().map_or(String::new(), |ns| format!(" of {ns} ns"));
            format!(
                "{} runs{each}: {:.3} s, {:.2} % of one CPU",
                runs.count,
                runs.time_ns as f64 / 1e9,
                cost.percent(runs.time_ns),
            )
        }
        (None, Some(why)) => format!("their runs are not counted:\n   {}", safe(why)),
        (None, None) => "their runs are unknown".into(),
    }
}

/// The most expensive programs, and all others in one row.
fn table(text: &mut String, cost: &Cost) {
    let ran: Vec<&ProgramCost> =
        cost.programs.iter().flatten().filter(|program| program.run.count > 0).collect();
    if ran.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{:>9} {:>7} {:>6}  PROGRAM", "RUNS", "NS EACH", "CPU%");
    let mut row = |run: Runs, name: &str, hook: &str| {
        let mean = run.mean_ns().unwrap_or(0);
        let share = cost.percent(run.time_ns);
        let (name, hook) = (safe(name), safe(hook));
        let line = format!("{:>9} {mean:>7} {share:>6.2}  {name:<14} {hook}", run.count);
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let (most, others) = ran.split_at(ran.len().min(ROWS));
    for ProgramCost { program, hook, run } in most {
        let more = hook.matches(" + ").count();
        match hook.split_once(" + ") {
            Some((first, _)) => row(*run, program, &format!("{first} +{more}")),
            None => row(*run, program, hook),
        }
    }
    if !others.is_empty() {
        let sum = others.iter().map(|program| program.run).sum();
        row(sum, &format!("{} others", others.len()), "");
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use backlog_core::run::cost::{Cost, Cpu, Looks, Memory, ProgramCost, Runs};

    fn text(cost: &Cost) -> String {
        let mut text = String::new();
        render(&mut text, cost);
        text
    }

    fn cost() -> Cost {
        let program = |index: u64| ProgramCost {
            program: ["fx_handshake", "fe_graft"][usize::from(index % 2 == 1)].into(),
            hook: "fexit inet_csk_complete_hashdance".into(),
            run: Runs { count: index * 1000, time_ns: index * 1_000_000 },
        };
        Cost {
            elapsed_ns: 4_000_000_000,
            cpu: Some(Cpu { user_us: 12_345, system_us: 60_000 }),
            cpu_before: Some(Cpu { user_us: 300_000, system_us: 540_000 }),
            memory: Memory {
                resident: Some(22 << 20),
                peak: Some(30 << 20),
                anonymous: Some(3 << 20),
            },
            maps_bytes: Some(45_000_000),
            programs_bytes: None,
            programs: Some((0..9).rev().map(program).collect()),
            refusal: None,
            connections: Some(1000),
            looks: Looks::default(),
        }
    }

    #[test]
    fn the_longest_have_a_row_each() {
        let text = text(&cost());
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_program_on_several_hooks_shows_the_first() {
        let hook = "tracepoint syscalls:sys_exit_accept4 + tracepoint syscalls:sys_exit_accept";
        let run = Runs { count: 501, time_ns: 9_000_000 };
        let one = ProgramCost { program: "tp_accept".into(), hook: hook.into(), run };
        let text = text(&Cost { elapsed_ns: 1 << 30, programs: Some(vec![one]), ..cost() });
        let row = text.lines().last().unwrap();
        assert!(row.len() <= 80 && row.ends_with("syscalls:sys_exit_accept4 +1"), "{row}");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        let refusal = Some("no right to it".to_owned());
        insta::assert_snapshot!(text(&Cost { refusal, ..Cost::default() }));
        let quiet = Cost { programs: Some(Vec::new()), ..Cost::default() };
        assert!(text(&quiet).contains("0 runs: 0.000 s"), "{}", text(&quiet));
    }
}

//! Renders the tables of docs/measured/SCALE.md for one kernel: a sentence on what each shows, and
//! its cells. Values above 1.1 times that of the first row are marked. Pure.

use std::fmt::Write as _;

use super::super::page::cell;
use super::super::rows::{Extra, Rows};

/// A curve that rises by more than this factor is not flat.
const FLAT: f64 = 1.1;
/// Tolerance, so that a factor of exactly 1.1 counts as flat.
const ROUNDING: f64 = 1e-9;
const LISTENERS: [u32; 3] = [1, 100, 10_000];
const DEPTHS: [u32; 3] = [0, 1_000, 65_000];
/// Instructions per second, for figures that are given as a time.
const PER_SECOND: f64 = 1e9;
const KIB_PER_MIB: f64 = 1024.0;

/// The tables of a kernel.
pub(super) struct Tables<'a> {
    rows: &'a Rows,
    /// The name of the tool's row.
    tool: &'a str,
}

impl<'a> Tables<'a> {
    /// Prepares the tables of these rows.
    pub(super) fn new(rows: &'a Rows) -> Self {
        let mut rows_of_tool = rows.tracers().map(|row| row.tracer.as_str());
        let tool = rows_of_tool.find(|tracer| tracer.starts_with("backlog-trace"));
        Self { rows, tool: tool.unwrap_or("backlog-trace") }
    }

    /// Renders all tables that were measured.
    pub(super) fn render(&self, text: &mut String) {
        self.connections(text);
        self.memory(text);
        self.queue(text);
        self.cpus(text);
        self.flood(text);
        self.start(text);
        for (table, why) in &self.rows.missing {
            let _ = writeln!(text, "\nNot measured here: {table}: {why}");
        }
    }

    fn connections(&self, text: &mut String) {
        let scenarios = |to: &str| LISTENERS.map(|count| format!("listeners {count}, {to}"));
        let (one, all) = (scenarios("one"), scenarios("all"));
        let Some(base) = self.extra(&one[0]) else { return };
        text.push_str(
            "\n### Listeners: a connection\n\nWhat the tool adds to a connection, by number of \
             listeners: always to the same one, and to all in turns. Its process reports each \
             listener with activity in an interval; with all in turns, that is one per \
             connection.\n\n\
             | listeners | without, to one | + | without, round all | + |\n|---|---|---|---|---|\n",
        );
        for (place, count) in LISTENERS.iter().enumerate() {
            let [one, all] =
                [&one[place], &all[place]].map(|name| (self.base(name), self.added(name, base)));
            let _ = writeln!(text, "| {count} | {} | {} | {} | {} |", one.0, one.1, all.0, all.1);
        }
    }

    fn memory(&self, text: &mut String) {
        let names = LISTENERS.map(|count| format!("listeners {count}"));
        let Some(first) = self.value(&names[0], "rss_kib") else { return };
        text.push_str(
            "\n### Listeners: start, idle seconds, memory\n\nWhat the tool itself executes \
             until it traces and per idle second (in millions), its memory in MiB, and the \
             additional memory per listener. The tool lists all listeners at the start and in \
             each interval and keeps state for each, so these rise with their number.\n\n\
             | listeners | start | idle second | VmRSS | VmHWM | maps | programs | VmRSS and \
             maps for each |\n|---|---|---|---|---|---|---|---|\n",
        );
        let kept = |name: &str| Some(self.value(name, "rss_kib")? + self.value(name, "maps_kib")?);
        let start = kept(&names[0]).unwrap_or(first);
        for (count, name) in LISTENERS.iter().zip(&names) {
            let cells = [
                ("start", 1e6, 1),
                ("idle", 1e6, 2),
                ("rss_kib", KIB_PER_MIB, 1),
                ("hwm_kib", KIB_PER_MIB, 1),
                ("maps_kib", KIB_PER_MIB, 1),
                ("programs_kib", KIB_PER_MIB, 1),
            ];
            let cells = cells.map(|(what, unit, digits)| {
                let (first, value) = (self.value(&names[0], what), self.value(name, what));
                number(value.map(|value| value / unit), digits) + &mark(value, first)
            });
            let more = (*count > 1).then(|| kept(name)).flatten();
            let each = more.map(|kib| (kib - start) * 1024.0 / f64::from(count - 1));
            let each = each.map_or(String::new(), |bytes| format!("{bytes:.0} B"));
            let _ = writeln!(text, "| {count} | {} | {each} |", cells.join(" | "));
        }
    }

    fn queue(&self, text: &mut String) {
        let names = DEPTHS.map(|depth| format!("queue {depth}"));
        let Some(base) = self.extra(&names[0]) else { return };
        text.push_str(
            "\n### A long queue\n\nWhat the tool adds to a connection, by length of the queue, \
             with one accept per enqueue, and its memory in MiB.\n\n\
             | in the queue | without | + | VmRSS | maps |\n|---|---|---|---|---|\n",
        );
        for (depth, name) in DEPTHS.iter().zip(&names) {
            let mib = |what| number(self.value(name, what).map(|kib| kib / KIB_PER_MIB), 1);
            let (without, with) = (self.base(name), self.added(name, base));
            let (rss, maps) = (mib("rss_kib"), mib("maps_kib"));
            let _ = writeln!(text, "| {depth} | {without} | {with} | {rss} | {maps} |");
        }
        let told: Vec<String> = ["enqueued", "untimed", "untracked", "lost_records"]
            .into_iter()
            .filter_map(|what| {
                let value = self.value(&names[names.len() - 1], what)?;
                Some(format!("{what} {value:.0}"))
            })
            .collect();
        if !told.is_empty() {
            let _ = writeln!(text, "\nCounts in the tool's summary: {}.", told.join(", "));
        }
    }

    fn cpus(&self, text: &mut String) {
        let names = ["cpus 1", "cpus 2"];
        let Some(base) = self.extra(names[0]) else { return };
        text.push_str(
            "\n### CPUs\n\nClient and server are threads, both on one CPU or each on its own: \
             what the tool adds to a connection on all CPUs together. (In these guests the CPUs \
             take turns, so the cost of contended memory is not included.)\n\n\
             | | without | + |\n|---|---|---|\n",
        );
        for (name, head) in names.iter().zip(["on one CPU", "on two CPUs"]) {
            let _ = writeln!(text, "| {head} | {} | {} |", self.base(name), self.added(name, base));
        }
    }

    fn flood(&self, text: &mut String) {
        if self.rows.base("flood 1, syns").is_none() {
            return;
        }
        let _ = write!(
            text,
            "\n### Floods\n\nWall-clock cost of a refused SYN and of a connection in a flood \
             on one CPU, without the tool, with it, and both again: everything that the host \
             executes, including the tool's process.\n\n\
             | | without | with | without | with | the tool's process | its CPU seconds for \
             a million |\n|---|---|---|---|---|---|---|\n",
        );
        for (what, head) in [("syns", "refused SYN"), ("connections", "connection")] {
            let names = [1, 2].map(|time| format!("flood {time}, {what}"));
            let cells: Vec<String> = names
                .iter()
                .flat_map(|name| {
                    let without = self.rows.base(name);
                    let extra = self.rows.extra(self.tool, name);
                    let with = without.zip(extra).map(|(without, extra)| without + extra.path);
                    [number(without, 0), number(with, 0)]
                })
                .collect();
            let process = self.rows.extra(self.tool, &names[1]).map(|extra| extra.process);
            let seconds = process.map(|process| process * 1e6 / PER_SECOND);
            let (cells, process) = (cells.join(" | "), number(process, 0));
            let seconds = number(seconds, 2);
            let _ = writeln!(text, "| {head} | {cells} | {process} | {seconds} |");
        }
        self.shares(text);
    }

    /// The share of the tool in what a refused SYN costs.
    fn shares(&self, text: &mut String) {
        let name = "flood 2, syns";
        let (Some(without), Some(extra)) = (self.rows.base(name), self.rows.extra(self.tool, name))
        else {
            return;
        };
        let with = without + extra.path;
        let hooks = (extra.path - extra.process).max(0.0);
        let percent = |part: f64, whole: f64| format!("{:.1} %", 100.0 * part / whole.max(1.0));
        let _ = write!(
            text,
            "\nThe host refuses {:.0} SYNs in a thousand million instructions without the tool \
             and {:.0} with it. The hooks are {} of everything that a refused SYN executes \
             then",
            PER_SECOND / without,
            PER_SECOND / with,
            percent(hooks, with),
        );
        // Sending a packet is not part of the softirq, and receiving it below TCP is not part of
        // TCP.
        for (what, before) in [("the softirq", "sent"), ("its part in TCP", "discarded")] {
            if let Some(before) = self.rows.base(before) {
                let share = percent(hooks, without - before + hooks);
                let _ = write!(text, ", {share} of {what} ({:.0} without)", without - before);
            }
        }
        text.push_str(".\n");
    }

    fn start(&self, text: &mut String) {
        let started: Vec<_> =
            self.rows.tracers().filter(|row| self.of(&row.tracer, "cpu").is_some()).collect();
        if started.is_empty() {
            return;
        }
        text.push_str(
            "\n### Start\n\nUntil the first line of output, in millions: wall-clock time \
             (including the kernel's work and grace periods), instructions of the tool's own \
             process, and its instructions until it sleeps. (bpftrace prints its line before it \
             attaches.)\n\n\
             | | wall | own | own, until it sleeps | first line |\n|---|---|---|---|---|\n",
        );
        for row in started {
            let [wall, cpu, all] = ["wall", "cpu", "all"]
                .map(|what| number(self.of(&row.tracer, what).map(|value| value / 1e6), 0));
            let line = row.attached.as_deref().unwrap_or_default().replace('|', " ");
            let _ = writeln!(text, "| {} | {wall} | {cpu} | {all} | `{line}` |", row.tracer);
        }
        for row in self.rows.tracers() {
            if let Some(absent) = &row.absent {
                let _ = writeln!(text, "\n**{}** cannot run here: {absent}", row.tracer);
            }
        }
    }

    fn of(&self, tracer: &str, what: &str) -> Option<f64> {
        self.rows.value(tracer, "start", what)
    }

    fn value(&self, scenario: &str, what: &str) -> Option<f64> {
        self.rows.value(self.tool, scenario, what)
    }

    fn base(&self, scenario: &str) -> String {
        number(self.rows.base(scenario), 0)
    }

    fn extra(&self, scenario: &str) -> Option<Extra> {
        self.rows.extra(self.tool, scenario)
    }

    fn added(&self, scenario: &str, first: Extra) -> String {
        let Some(extra) = self.extra(scenario) else { return String::new() };
        // The path and the process separately, since they grow for different reasons.
        let path =
            cell(Extra { process: 0.0, ..extra }) + &mark(Some(extra.path), Some(first.path));
        if extra.process < 1.0 {
            return path;
        }
        let process = mark(Some(extra.process), Some(first.process));
        format!("{path} + {:.0}{process}", extra.process)
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

/// The mark of a value; empty if the curve is flat so far.
fn mark(value: Option<f64>, first: Option<f64>) -> String {
    match value.zip(first).map(|(value, first)| value / first.max(1.0)) {
        Some(ratio) if ratio > FLAT + ROUNDING => format!(" (**{ratio:.2} times**)"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = r#"
{"tracer":"none","scenario":"listeners 1, one","figure":70000.0,"process":0.0}
{"tracer":"none","scenario":"listeners 100, one","figure":70010.0,"process":0.0}
{"tracer":"none","scenario":"flood 1, syns","figure":8000.0,"process":0.0}
{"tracer":"none","scenario":"flood 2, syns","figure":8000.0,"process":0.0}
{"tracer":"none","scenario":"sent","figure":3200.0,"process":0.0}
{"tracer":"none","scenario":"discarded","figure":4200.0,"process":0.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 1, one","figure":70400.0,"process":100.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 100, one","figure":70510.0,"process":110.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 1","name":"rss_kib","value":8192.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 1","name":"maps_kib","value":1024.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 100","name":"rss_kib","value":8291.0}
{"tracer":"backlog-trace fentry","scenario":"listeners 100","name":"maps_kib","value":1024.0}
{"tracer":"backlog-trace fentry","scenario":"flood 2, syns","figure":8210.0,"process":10.0}
{"tracer":"backlog-trace fentry","attached":"{\"type\""}
{"tracer":"backlog-trace fentry","scenario":"start","name":"cpu","value":2.0e8}
"#;

    #[test]
    fn what_is_not_flat_is_marked() {
        let mut rows = Rows::parse(OUTPUT).unwrap();
        rows.miss("cpus", "it does not come up\nconsole: ...");
        let mut text = String::new();
        Tables::new(&rows).render(&mut text);
        for line in [
            "| 1 | 70000 | 400 + 100 |  |  |",
            "| 100 | 70010 | 500 (**1.25 times**) + 110 |  |  |",
            "| 100 |  |  | 8.1 |  | 1.0 |  | 1024 B |",
            "\nNot measured here: cpus: it does not come up\n",
            "| refused SYN | 8000 |  | 8000 | 8210 | 10 | 0.01 |",
            "| backlog-trace fentry |  | 200 |  | `{\"type\"` |",
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
        assert!(text.contains("are 2.4 % of everything"), "{text}");
        assert!(text.contains("4.0 % of the softirq (4800 without)"), "{text}");
        assert!(text.contains("5.0 % of its part in TCP (3800 without)"), "{text}");
    }
}

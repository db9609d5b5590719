//! Renders docs/measured/SCALE.md. Pure.

use std::fmt::Write as _;

use super::super::verdicts::{self, Measured};
use super::tables::Tables;

const HEAD: &str = "\
# How it scales

Written by `cargo xtask bench --part scale`. As in COST.md, instructions are counted in guests whose
clock counts them; `a + b`: what the process that connects and accepts executes in addition with the
tool, and what the tool's own process executes for it. A connection is connect, accept, and close of
both ends over IPv4 on loopback. Figures above 1.1 times the first row are marked as growing. The
figures are for one kernel unless others are named (`--kernel`), since the tables that grow are the
tool's own. For CPU seconds, a second is a thousand million instructions.

Memory is that of the tool's process (VmRSS, VmHWM of /proc/PID/status) and that of its BPF
maps and programs in the kernel (the sum of `memlock` in /proc/PID/fdinfo).
";

/// Renders the whole file; `versions` are those of the other tracers.
pub(in crate::bench) fn render(versions: &str, kernels: &[Measured]) -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\nThe others are Debian's: {versions}.");
    verdicts::render(&mut text, kernels);
    for Measured { series, version, rows, .. } in kernels {
        let _ = writeln!(text, "\n## {series} ({version})");
        Tables::new(rows).render(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::rows::Rows;
    use super::*;

    #[test]
    fn a_kernel_without_a_table_has_a_heading() {
        let (series, version) = ("6.1".to_owned(), "6.1.9".to_owned());
        let rows = Rows::default();
        let text = render("none", &[Measured { series, version, rows, verdicts: Vec::new() }]);
        assert!(text.ends_with("## 6.1 (6.1.9)\n"), "{text}");
    }
}

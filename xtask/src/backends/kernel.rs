//! A kernel in the tables. Pure.

use super::look::{Attached, Looked};
use crate::backend::Backend;
use crate::instructions;
use crate::test::native::NAME;

/// A kernel, and the tool's report on it.
pub(super) struct Kernel {
    pub(super) series: String,
    pub(super) version: String,
    pub(super) looked: Looked,
}

impl Kernel {
    /// The heading of its column. For a native kernel, the version would not say where it runs.
    pub(super) fn name(&self) -> String {
        if self.series == NAME { format!("native {}", self.version) } else { self.version.clone() }
    }

    /// How a backend attaches, or why it does not.
    pub(super) fn has(&self, backend: Backend) -> Result<&Attached, &str> {
        match self.looked.backends.get(&backend) {
            Some(attached) => attached.as_ref().map_err(String::as_str),
            None => Err("not asked"),
        }
    }

    /// The instruction count of a probe point, if this kernel attaches it in this way.
    pub(super) fn cell(&self, backend: Backend, moment: &str, how: &str) -> String {
        let so = |(its, way): &(String, String)| its == moment && way == how;
        if !self.has(backend).is_ok_and(|attached| attached.hooks.iter().any(so)) {
            return String::new();
        }
        let programs = instructions::programs(&self.looked.programs);
        let walked: Vec<String> = how
            .split(" + ")
            .map(|hook| match programs.iter().find(|program| program.is_on(hook)) {
                None => "same".to_owned(),
                Some(program) => program.walked.map_or("yes".to_owned(), |count| count.to_string()),
            })
            .collect();
        // Kernels without counts, and shared programs, need only one entry.
        for word in ["yes", "same"] {
            if walked.iter().any(|one| one == word)
                && walked.iter().all(|one| one == word || one == "same")
            {
                return word.to_owned();
            }
        }
        walked.join(" + ")
    }
}

/// Shortens programs on one function, so that its name appears once.
pub(super) fn short(how: &str) -> String {
    let hooks: Vec<(&str, &str)> =
        how.split(" + ").map(|hook| hook.split_once(' ').unwrap_or((hook, ""))).collect();
    match hooks[..] {
        [(first, function), (second, same)] if function == same => {
            format!("{first} + {second} {function}")
        }
        _ => how.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::tests::looked;
    use super::{Kernel, short};
    use crate::backend::Backend;

    #[test]
    fn a_cell_has_a_number_for_each_program() {
        let kernel = Kernel { series: "6.1".into(), version: "6.1.9".into(), looked: looked() };
        let cell = |how| kernel.cell(Backend::Fentry, "syn", how);
        assert_eq!(cell("fentry a_syn + fexit a_syn"), "7 + 1234");
        assert_eq!(cell("fentry elsewhere"), "");
        assert_eq!(kernel.cell(Backend::Fentry, "v6", "fentry b"), "same");
        assert_eq!(kernel.cell(Backend::Tracepoint, "syn", "tp_btf consume"), "yes");
        assert_eq!(kernel.cell(Backend::Kprobe, "syn", "kprobe a_syn"), "");
    }

    #[test]
    fn a_function_is_named_once() {
        assert_eq!(short("fentry a + fexit a"), "fentry + fexit a");
        assert_eq!(short("kprobe a + kprobe b"), "kprobe a + kprobe b");
        assert_eq!(short("iter tcp"), "iter tcp");
    }
}

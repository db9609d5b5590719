//! Checks the direction of imports: there must be no cycle among the modules of a crate, at any
//! level, and no layer of the binary may import a higher one. Crates cannot form a cycle, but
//! modules can, and then none of them can be understood alone.

mod graph;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use self::graph::Graph;
use crate::paths;

/// The crates to check: name and sources.
const CRATES: [(&str, &str); 3] = [
    ("backlog-core", "backlog-user/core/src"),
    ("backlog-user", "backlog-user/src"),
    ("backlog-ebpf", "backlog-ebpf/src"),
];

/// What each layer of the binary may import in addition to its own modules. Layers that are not
/// listed may import everything.
const LAYERS: [(&str, &[&str]); 9] = [
    ("bpf", &["clock", "host", "notice", "rights"]),
    ("cli", &["host", "output"]),
    ("clock", &[]),
    ("exit", &[]),
    ("host", &["clock", "rights"]),
    ("notice", &["outlet"]),
    ("outlet", &["rights"]),
    ("output", &["notice", "outlet", "rights"]),
    ("rights", &[]),
];

/// Fails if modules import each other in a cycle, or from a higher layer.
pub(super) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    for (name, folder) in CRATES {
        let graph = graph(&paths::root().join(folder))?;
        wrong.extend(graph.cycles().into_iter().map(|cycle| format!("\n  {name}: {cycle}")));
        if name == "backlog-user" {
            wrong.extend(upwards(&graph).into_iter().map(|edge| format!("\n  {name}: {edge}")));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("imports against the layers, or in a cycle:{}", wrong.concat())
}

fn graph(folder: &Path) -> Result<Graph> {
    Ok(Graph::of(&source::read(folder)?))
}

/// The imports that violate the layers.
fn upwards(graph: &Graph) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for (from, to) in graph.edges() {
        let (Some(layer), Some(known)) = (from.first(), to.first()) else { continue };
        let allowed = LAYERS.iter().find(|(name, _)| name == layer);
        if layer != known && allowed.is_some_and(|(_, allowed)| !allowed.contains(&known.as_str()))
        {
            wrong.insert(format!(
                "{} imports {}, and {layer} must not know {known}",
                from.join("::"),
                to.join("::")
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::graph::Graph;
    use super::source::Source;
    use super::upwards;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let sources: Vec<Source> =
            files.iter().map(|(module, text)| Source::parse(module, text).unwrap()).collect();
        Graph::of(&sources)
    }

    #[test]
    fn a_circle_is_found_at_its_level_and_named_by_its_files() {
        let cycles = graph(&[
            ("", "mod a; mod b; mod c;"),
            ("a", "mod inner; use crate::b::{One, two::Three};"),
            ("a::inner", "fn f() { super::super::c::g(); }"),
            ("b", "use crate::c;"),
            ("c", "#[cfg(test)] mod tests { use crate::b; } use crate::a::Type;"),
        ])
        .cycles();
        assert_eq!(cycles.len(), 1, "{cycles:?}");
        assert!(cycles[0].contains("a, b, c"), "{cycles:?}");
        assert!(cycles[0].contains("c imports a"), "{cycles:?}");
    }

    #[test]
    fn tests_and_parents_make_no_circle() {
        let cycles = graph(&[
            ("", "mod a; mod b;"),
            ("a", "mod part; use part::Part; struct Whole;"),
            ("a::part", "use super::Whole; pub struct Part;"),
            ("b", "use crate::a; #[cfg(test)] mod tests;"),
            ("b::tests", "use crate::a;"),
        ])
        .cycles();
        assert_eq!(cycles, Vec::<String>::new());
    }

    #[test]
    fn a_layer_that_looks_up_is_named() {
        let graph = graph(&[
            ("", "mod cli; mod output; mod host;"),
            ("output", "use crate::cli::Args;"),
            ("cli", "use crate::host;"),
            ("host", "fn f() { println!(\"{}\", crate::output::g()); }"),
        ]);
        let wrong: Vec<String> = upwards(&graph).into_iter().collect();
        assert_eq!(
            wrong,
            [
                "host imports output, and host must not know output",
                "output imports cli, and output must not know cli"
            ]
        );
    }
}

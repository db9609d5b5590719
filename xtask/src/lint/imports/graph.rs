//! The import graph of modules, and its cycles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::source::Source;

/// A module, as the list of names from the crate's root.
type Module = Vec<String>;

/// The imports of a crate.
pub(super) struct Graph {
    modules: BTreeSet<Module>,
    edges: BTreeMap<Module, BTreeSet<Module>>,
}

/// The names of a level, and what each of them imports on that level, with an example.
type Level = BTreeMap<String, BTreeMap<String, (Module, Module)>>;

impl Graph {
    /// Builds the graph of these files.
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut modules = BTreeSet::new();
        for source in sources {
            modules.extend((0..=source.module.len()).map(|depth| source.module[..depth].to_vec()));
        }
        let mut graph = Self { modules, edges: BTreeMap::new() };
        for source in sources {
            let to = source.paths.iter().filter_map(|path| graph.module_of(&source.module, path));
            let to = to.filter(|to| *to != source.module).collect();
            graph.edges.insert(source.module.clone(), to);
        }
        graph
    }

    /// All imports, from and to.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&Module, &Module)> {
        self.edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    }

    /// The module that a path in module `here` refers to; None if it is outside the crate.
    fn module_of(&self, here: &[String], path: &[String]) -> Option<Module> {
        let mut base = here.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                base.push(name.to_owned());
                if !self.modules.contains(&base) {
                    return None;
                }
                rest = &path[1..];
            }
        }
        for name in rest {
            base.push(name.clone());
            if !self.modules.contains(&base) {
                base.pop();
                break;
            }
        }
        Some(base)
    }

    /// Cycles among siblings: the direct children of each module, each with all of its descendants.
    pub(super) fn cycles(&self) -> Vec<String> {
        let mut cycles = Vec::new();
        for parent in &self.modules {
            let level = self.level(parent);
            for circle in circles(&level) {
                let place = if parent.is_empty() { "the crate" } else { &parent.join("::") };
                let names = circle.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let mut text = format!("in {place}: {names}");
                for from in &circle {
                    for (to, (one, other)) in level.get(from).into_iter().flatten() {
                        if circle.contains(to) {
                            let _ = write!(
                                text,
                                "\n    {} imports {}",
                                one.join("::"),
                                other.join("::")
                            );
                        }
                    }
                }
                cycles.push(text);
            }
        }
        cycles
    }

    fn level(&self, parent: &[String]) -> Level {
        let mut level = Level::new();
        let below = |module: &Module| {
            module.starts_with(parent).then(|| module.get(parent.len()).cloned()).flatten()
        };
        for (from, to) in self.edges() {
            if let (Some(one), Some(other)) = (below(from), below(to))
                && one != other
            {
                level.entry(one).or_default().insert(other, (from.clone(), to.clone()));
            }
        }
        level
    }
}

/// Sets of names that all reach each other.
fn circles(level: &Level) -> Vec<BTreeSet<String>> {
    let reached = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.clone()];
        while let Some(name) = next.pop() {
            for to in level.get(&name).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> =
        level.keys().map(|name| (name, reached(name))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (name, names) in &all {
        if names.contains(*name) && !circles.iter().any(|circle| circle.contains(*name)) {
            let back = |other: &&String| all.get(other).is_some_and(|seen| seen.contains(*name));
            circles.push(names.iter().filter(back).cloned().collect());
        }
    }
    circles
}

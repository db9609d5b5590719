//! Parses the source files of a crate, and finds the paths in them that begin with `crate`, `self`,
//! `super` or a module of the file itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Macro, UseTree};

/// A source file.
pub(super) struct Source {
    /// Its module path; empty for the crate's root.
    pub(super) module: Vec<String>,
    /// The paths that it names, as segments.
    pub(super) paths: BTreeSet<Vec<String>>,
}

/// Reads all files below a folder, except for tests.
pub(super) fn read(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    read_into(folder, &mut Vec::new(), &mut sources)?;
    Ok(sources)
}

fn read_into(folder: &Path, module: &mut Vec<String>, sources: &mut Vec<Source>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if name == "tests" {
            continue;
        }
        let is_root = module.is_empty() && ["lib", "main"].contains(&name);
        let own = if is_root {
            String::new()
        } else {
            [module.as_slice(), &[name.to_owned()]].concat().join("::")
        };
        if path.is_dir() {
            module.push(name.to_owned());
            read_into(&path, module, sources)?;
            module.pop();
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let source = Source::parse(&own, &text);
            sources.push(source.with_context(|| format!("cannot parse {}", path.display()))?);
        }
    }
    Ok(())
}

impl Source {
    /// Parses the file of a module.
    pub(super) fn parse(module: &str, text: &str) -> Result<Self> {
        let file = syn::parse_file(text)?;
        let mut names = Names::default();
        names.visit_file(&file);
        let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
        Ok(Self { module: module.collect(), paths: names.paths })
    }
}

#[derive(Default)]
struct Names {
    paths: BTreeSet<Vec<String>>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&mut Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// The arguments of a macro are not parsed, so their tokens are searched.
    fn visit_macro(&mut self, item: &'ast Macro) {
        let text = item.tokens.to_string().replace(" :: ", "::");
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        let words = text.split(|letter| !is_part(letter));
        for word in words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
        {
            self.paths.insert(word.split("::").map(str::to_owned).collect());
        }
        visit::visit_macro(self, item);
    }
}

impl Names {
    fn tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(before, &path.tree);
                before.pop();
            }
            UseTree::Name(name) => self.add(before, &name.ident.to_string()),
            UseTree::Rename(name) => self.add(before, &name.ident.to_string()),
            UseTree::Glob(_) => self.add(before, "*"),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(before, tree);
                }
            }
        }
    }

    fn add(&mut self, before: &[String], name: &str) {
        let mut path = before.to_vec();
        if name != "self" || path.is_empty() {
            path.push(name.to_owned());
        }
        self.paths.insert(path);
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
}

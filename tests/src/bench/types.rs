//! IDs of functions and tracepoints in the kernel's BTF, for attaching to them.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};
use btfparse::TypeVariant;

use crate::types::{self, FILE};

/// The IDs by name.
#[derive(Debug)]
pub(super) struct Types {
    functions: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
}

impl Types {
    /// Reads those of the running kernel.
    pub(super) fn read() -> Result<Self> {
        let bytes = fs::read(FILE).with_context(|| format!("cannot read {FILE} (no BTF here?)"))?;
        let types = types::parse(bytes)?;
        let (mut functions, mut typedefs) = (HashMap::new(), HashMap::new());
        for (id, variant) in types.get() {
            match variant {
                TypeVariant::Func(item) => {
                    functions.extend(item.name().as_ref().map(|name| (name.clone(), *id)));
                }
                TypeVariant::Typedef(item) => {
                    typedefs.extend(item.name().as_ref().map(|name| (name.clone(), *id)));
                }
                _ => {}
            }
        }
        Ok(Self { functions, typedefs })
    }

    /// The ID of a function.
    pub(super) fn function(&self, name: &str) -> Result<u32> {
        self.functions.get(name).copied().with_context(|| format!("no function {name} in BTF"))
    }

    /// The ID of a tracepoint: that of the typedef of its callback.
    pub(super) fn tracepoint(&self, name: &str) -> Result<u32> {
        let typedef = format!("btf_trace_{name}");
        self.typedefs.get(&typedef).copied().with_context(|| format!("no tracepoint {name}"))
    }
}

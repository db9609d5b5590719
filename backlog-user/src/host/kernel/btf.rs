//! Looks up the kernel's types in BTF: field offsets, argument counts, and enum values.
//!
//! A start needs some 200 of a kernel's 150,000 types. A library that creates an object for each
//! type takes a quarter of the whole start (`btfparse` 1.3: 0.32 of 1.39 s; `btf-rs` does not, but
//! its licence is not ours). So this stores only the position of each type and parses on demand.
//! The tests compare every answer with that of `btfparse`.

mod raw;

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use raw::{Kind, Member, Raw, Type};

/// Types, functions and enum values of one kernel.
pub(crate) struct Btf {
    raw: Raw,
    structs: HashMap<Box<[u8]>, u32>,
    functions: HashMap<Box<[u8]>, u32>,
    typedefs: HashMap<Box<[u8]>, u32>,
    enums: Vec<u32>,
}

/// The prefix of the typedef of each tracepoint.
const TRACEPOINT: &str = "btf_trace_";

/// The maximum depth of typedefs, and of anonymous structs in structs. Real kernels stay below it.
const DEPTH: u32 = 32;

/// The position of a field in its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The byte in which it begins.
    pub(crate) byte: u32,
    /// The bits of a bitfield within that byte.
    pub(crate) mask: u8,
}

impl Btf {
    /// Parses the content of `/sys/kernel/btf/vmlinux`.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let raw = Raw::index(bytes)?;
        let mut structs = HashMap::new();
        let mut functions = HashMap::new();
        let mut typedefs = HashMap::new();
        let mut enums = Vec::new();
        for (id, item) in raw.types() {
            // A function and a struct may share a name.
            let names = match item.kind {
                Kind::STRUCT => &mut structs,
                Kind::FUNC => &mut functions,
                // Other typedefs are never looked up by name.
                Kind::TYPEDEF if raw.name(item.name).starts_with(TRACEPOINT.as_bytes()) => {
                    &mut typedefs
                }
                Kind::ENUM => {
                    enums.push(id);
                    continue;
                }
                _ => continue,
            };
            let name = raw.name(item.name);
            if !name.is_empty() {
                names.insert(name.into(), id);
            }
        }
        Ok(Self { raw, structs, functions, typedefs, enums })
    }

    /// The field at `path` of a struct, as in `("sock", "sk_socket")`; members of anonymous unions
    /// and structs go by their own name, array elements by `name[index]`.
    pub(crate) fn field(&self, structure: &str, path: &str) -> Option<Field> {
        let mut id = *self.structs.get(structure.as_bytes())?;
        let (mut bit, mut bits) = (0_u32, None);
        for part in path.split('.') {
            let (name, index) = match part.split_once('[') {
                Some((name, index)) => (name, Some(index.strip_suffix(']')?.parse::<u32>().ok()?)),
                None => (part, None),
            };
            let member = self.member(id, name.as_bytes(), DEPTH, &mut HashSet::new())?;
            (id, bit, bits) = (member.of, bit.checked_add(member.bit)?, member.bits);
            if let Some(index) = index {
                let (element, count) = self.raw.array(&self.resolved(id)?)?;
                let bytes = (index < count).then(|| self.size(element))??;
                let bits = index.checked_mul(bytes)?.checked_mul(8)?;
                (id, bit) = (element, bit.checked_add(bits)?);
            }
        }
        let mask = match bits {
            None => u8::MAX,
            Some(bits) => {
                let ones = 1_u32.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
                u8::try_from((ones << (bit % 8)) & 0xff).ok()?
            }
        };
        Some(Field { byte: bit / 8, mask })
    }

    /// The number of arguments of a function; None if it does not exist.
    pub(crate) fn arguments(&self, function: &str) -> Option<usize> {
        let function = self.raw.get(*self.functions.get(function.as_bytes())?)?;
        self.parameters(function.of)
    }

    /// The number of arguments of a tracepoint; None if it does not exist. Its typedef is a pointer
    /// to a function with one more argument.
    pub(crate) fn tracepoint(&self, name: &str) -> Option<usize> {
        let name = format!("{TRACEPOINT}{name}");
        let typedef = self.raw.get(*self.typedefs.get(name.as_bytes())?)?;
        let pointer = self.raw.get(typedef.of).filter(|item| item.kind == Kind::POINTER)?;
        self.parameters(pointer.of)?.checked_sub(1)
    }

    /// The values of enumerators with these names, also in anonymous enums.
    pub(crate) fn enum_values(&self, names: &[&str]) -> HashMap<String, u32> {
        let mut found = HashMap::new();
        let enums = self.enums.iter().filter_map(|id| self.raw.get(*id));
        for (name, value) in enums.flat_map(|item| self.raw.values(item)) {
            if let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name) {
                found.insert((*name).to_owned(), value);
            }
        }
        found
    }

    fn parameters(&self, prototype: u32) -> Option<usize> {
        let prototype = self.raw.get(prototype)?;
        (prototype.kind == Kind::FUNC_PROTO).then_some(prototype.count)
    }

    /// The type behind typedefs and qualifiers.
    fn resolved(&self, mut id: u32) -> Option<Type> {
        for _ in 0..DEPTH {
            let item = self.raw.get(id)?;
            if !item.kind.is_another_name() {
                return Some(item);
            }
            id = item.of;
        }
        None
    }

    /// Finds a member of a struct or union by name, at its offset from that. Structs that were
    /// already searched are skipped: an anonymous struct that contains itself several times would
    /// take forever.
    fn member(
        &self,
        structure: u32,
        name: &[u8],
        depth: u32,
        searched: &mut HashSet<u32>,
    ) -> Option<Member> {
        if !searched.insert(structure) {
            return None;
        }
        let structure = self.resolved(structure)?;
        let deeper = depth.checked_sub(1)?;
        self.raw.members(structure).find_map(|member| match self.raw.name(member.name) {
            found if found == name => Some(member),
            b"" => {
                let inner = self.member(member.of, name, deeper, searched)?;
                Some(Member { bit: member.bit.checked_add(inner.bit)?, ..inner })
            }
            _ => None,
        })
    }

    /// The size of a type in bytes.
    fn size(&self, id: u32) -> Option<u32> {
        let item = self.resolved(id)?;
        match item.kind {
            Kind::POINTER => u32::try_from(size_of::<usize>()).ok(),
            Kind::INT | Kind::STRUCT | Kind::UNION | Kind::ENUM | Kind::ENUM_64 => Some(item.of),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

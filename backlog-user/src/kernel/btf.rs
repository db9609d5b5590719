//! The kernel's types, from BTF: field offsets, numbers of arguments, values of
//! enums. Parsed by the `btfparse` crate; this adds only the names by kind, since
//! a function and a struct may share one.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use btfparse::{Error, ErrorKind, Integer32Value, Offset, Readable, TypeInformation, TypeVariant};

/// Types, functions and enum values of one kernel.
pub(crate) struct Btf {
    types: TypeInformation,
    structs: HashMap<String, u32>,
    functions: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
}

/// How the typedef of each tracepoint begins.
const TRACEPOINT: &str = "btf_trace_";

/// Where a field lies in its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The byte that it begins in.
    pub(crate) byte: u32,
    /// For a field of less than a byte: its bits in that byte.
    pub(crate) mask: u8,
}

/// The file's bytes, as `btfparse` wants to read them.
struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| Error::new(ErrorKind::IOError, "the file is too short"))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl Btf {
    /// Parses the content of `/sys/kernel/btf/vmlinux`.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let types = TypeInformation::new(&Bytes(bytes)).map_err(|error| anyhow!("{error:?}"))?;
        let mut structs = HashMap::new();
        let mut functions = HashMap::new();
        let mut typedefs = HashMap::new();
        for (id, variant) in types.get() {
            match variant {
                TypeVariant::Struct(item) => {
                    if let Some(name) = item.name() {
                        structs.insert(name.clone(), *id);
                    }
                }
                TypeVariant::Func(item) => {
                    if let Some(name) = item.name() {
                        functions.insert(name.clone(), *item.prototype_tid());
                    }
                }
                // Nothing else is looked for by the name of a typedef.
                TypeVariant::Typedef(item) => {
                    if let Some(name) = item.name()
                        && name.starts_with(TRACEPOINT)
                    {
                        typedefs.insert(name.clone(), *item.tid());
                    }
                }
                _ => {}
            }
        }
        Ok(Self { types, structs, functions, typedefs })
    }

    /// The field at `path` of a struct, as in `("sock", "sk_socket")`; members of
    /// anonymous unions and structs are found by their own name.
    pub(crate) fn field(&self, structure: &str, path: &str) -> Option<Field> {
        let id = *self.structs.get(structure)?;
        match self.types.offset_of(id, path).ok()?.1 {
            Offset::ByteOffset(byte) => Some(Field { byte, mask: u8::MAX }),
            Offset::BitOffsetAndSize(bit, size) => {
                let low = bit % 8;
                let bits = (1_u32.checked_shl(size).unwrap_or(0)).wrapping_sub(1);
                Some(Field { byte: bit / 8, mask: u8::try_from((bits << low) & 0xff).ok()? })
            }
        }
    }

    /// How many arguments a function takes; none if it is not there.
    pub(crate) fn arguments(&self, function: &str) -> Option<usize> {
        match self.types.get().get(self.functions.get(function)?)? {
            TypeVariant::FuncProto(prototype) => Some(prototype.parameter_list().len()),
            _ => None,
        }
    }

    /// How many arguments a tracepoint passes; none if it is not there. Its typedef is a
    /// pointer to a function that takes one more.
    pub(crate) fn tracepoint(&self, name: &str) -> Option<usize> {
        let types = self.types.get();
        let pointer = types.get(self.typedefs.get(&format!("{TRACEPOINT}{name}"))?)?;
        let TypeVariant::Ptr(pointer) = pointer else { return None };
        match types.get(pointer.tid())? {
            TypeVariant::FuncProto(prototype) => prototype.parameter_list().len().checked_sub(1),
            _ => None,
        }
    }

    /// Values of enums by name, anonymous ones included: only those asked for.
    pub(crate) fn enum_values(&self, names: &[&str]) -> HashMap<String, u32> {
        let mut found = HashMap::new();
        for variant in self.types.get().values() {
            let TypeVariant::Enum(item) = variant else {
                continue;
            };
            for value in item.named_value_list() {
                if names.contains(&value.name.as_str()) {
                    let number = match value.value {
                        Integer32Value::Signed(number) => number.cast_unsigned(),
                        Integer32Value::Unsigned(number) => number,
                    };
                    found.insert(value.name.clone(), number);
                }
            }
        }
        found
    }
}

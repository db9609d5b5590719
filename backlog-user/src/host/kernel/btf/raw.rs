//! Parses the BTF file format, <https://docs.kernel.org/bpf/btf.html>: a header, the types one
//! after the other, each as long as its kind says, and their names.

use anyhow::{Context as _, Result, bail, ensure};

/// The kind of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u32);

impl Kind {
    pub(super) const INT: Self = Self(1);
    pub(super) const POINTER: Self = Self(2);
    pub(super) const ARRAY: Self = Self(3);
    pub(super) const STRUCT: Self = Self(4);
    pub(super) const UNION: Self = Self(5);
    pub(super) const ENUM: Self = Self(6);
    pub(super) const TYPEDEF: Self = Self(8);
    const VOLATILE: Self = Self(9);
    const CONST: Self = Self(10);
    const RESTRICT: Self = Self(11);
    pub(super) const FUNC: Self = Self(12);
    pub(super) const FUNC_PROTO: Self = Self(13);
    const TYPE_TAG: Self = Self(18);
    pub(super) const ENUM_64: Self = Self(19);

    /// Is it a typedef or qualifier of another type?
    pub(super) fn is_another_name(self) -> bool {
        let names = [Self::TYPEDEF, Self::VOLATILE, Self::CONST, Self::RESTRICT, Self::TYPE_TAG];
        names.contains(&self)
    }

    /// The number of bytes after the header of a type with this many members.
    fn behind(self, count: usize) -> Option<usize> {
        Some(match self.0 {
            // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
            2 | 7..=12 | 16 | 18 => 0,
            // Integers, variables, declaration tags.
            1 | 14 | 17 => 4,
            // Arrays.
            3 => 12,
            // Structs, unions, sections, 64-bit enums.
            4 | 5 | 15 | 19 => 12 * count,
            // Enums, function prototypes.
            6 | 13 => 8 * count,
            _ => return None,
        })
    }
}

/// The header of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    /// The offset of its name, for [`Raw::name`].
    pub(super) name: u32,
    pub(super) kind: Kind,
    /// The number of its members, values or parameters.
    pub(super) count: usize,
    /// The type that it refers to, or its size in bytes.
    pub(super) of: u32,
    /// Do its members store a size in bits?
    tells_bits: bool,
    /// Where the data after the header begins.
    behind: usize,
}

/// A member of a struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// The offset of its name, for [`Raw::name`].
    pub(super) name: u32,
    /// Its type.
    pub(super) of: u32,
    /// The bit at which it begins.
    pub(super) bit: u32,
    /// The number of bits of a bitfield.
    pub(super) bits: Option<u32>,
}

/// The file, and the position of each type in it.
pub(super) struct Raw {
    bytes: Vec<u8>,
    names: usize,
    /// Positions by ID minus one: ID 0 is `void`, which is not stored.
    places: Vec<u32>,
}

const MAGIC: u16 = 0xeb9f;
const HEAD: usize = 12;

impl Raw {
    /// Finds the position of each type.
    pub(super) fn index(bytes: Vec<u8>) -> Result<Self> {
        let magic = bytes.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk));
        ensure!(magic == Some(MAGIC), "it is not BTF in this machine's byte order");
        let field = |index: usize| {
            let number = number(&bytes, 4 + 4 * index).context("its header is truncated")?;
            Ok::<_, anyhow::Error>(number as usize)
        };
        let [header, types, types_length, names, names_length] =
            [field(0)?, field(1)?, field(2)?, field(3)?, field(4)?];
        let (types, names) = (header.saturating_add(types), header.saturating_add(names));
        let types_end = types.saturating_add(types_length);
        if types_end > bytes.len() || names.saturating_add(names_length) > bytes.len() {
            bail!("it is truncated: {} bytes", bytes.len());
        }
        let mut raw = Self { bytes, names, places: Vec::with_capacity(types_length / 24) };
        let mut place = types;
        while place < types_end {
            let item = raw.at(place).context("its last type is truncated")?;
            let behind = item.kind.behind(item.count);
            let behind = behind.with_context(|| format!("type {:?} is unknown", item.kind))?;
            raw.places.push(u32::try_from(place)?);
            place = item.behind + behind;
        }
        Ok(raw)
    }

    /// All types with their IDs.
    pub(super) fn types(&self) -> impl Iterator<Item = (u32, Type)> {
        let heads = self.places.iter().filter_map(|place| self.at(*place as usize));
        (1..).zip(heads)
    }

    /// The type with this ID.
    pub(super) fn get(&self, id: u32) -> Option<Type> {
        let index = (id as usize).checked_sub(1)?;
        self.at(*self.places.get(index)? as usize)
    }

    /// The name at an offset; empty if there is none.
    pub(super) fn name(&self, name: u32) -> &[u8] {
        let text = self.bytes.get(self.names + name as usize..).unwrap_or_default();
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The members of a struct or union.
    pub(super) fn members(&self, structure: Type) -> impl Iterator<Item = Member> {
        let is_one = matches!(structure.kind, Kind::STRUCT | Kind::UNION);
        let count = if is_one { structure.count } else { 0 };
        (0..count).filter_map(move |index| {
            let place = structure.behind + 12 * index;
            let offset = self.number(place + 8)?;
            let (bit, bits) = match offset >> 24 {
                bits if structure.tells_bits && bits > 0 => (offset & 0x00ff_ffff, Some(bits)),
                _ => (offset, None),
            };
            Some(Member { name: self.number(place)?, of: self.number(place + 4)?, bit, bits })
        })
    }

    /// The element type of an array, and the number of elements.
    pub(super) fn array(&self, array: &Type) -> Option<(u32, u32)> {
        let is_one = array.kind == Kind::ARRAY;
        is_one.then(|| Some((self.number(array.behind)?, self.number(array.behind + 8)?)))?
    }

    /// Names and values of a 32-bit enum.
    pub(super) fn values(&self, item: Type) -> impl Iterator<Item = (&[u8], u32)> {
        let count = if item.kind == Kind::ENUM { item.count } else { 0 };
        (0..count).filter_map(move |index| {
            let place = item.behind + 8 * index;
            Some((self.name(self.number(place)?), self.number(place + 4)?))
        })
    }

    fn at(&self, place: usize) -> Option<Type> {
        let info = self.number(place + 4)?;
        Some(Type {
            name: self.number(place)?,
            kind: Kind((info >> 24) & 0x1f),
            count: (info & 0xffff) as usize,
            of: self.number(place + 8)?,
            tells_bits: info >> 31 != 0,
            behind: place + HEAD,
        })
    }

    fn number(&self, place: usize) -> Option<u32> {
        number(&self.bytes, place)
    }
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(place..)?.first_chunk()?))
}

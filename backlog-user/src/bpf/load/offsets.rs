//! Patches field offsets into those loads of the eBPF object that stand for a field
//! ([`backlog_ebpf::field`]). Pure: bytes in, bytes out.

use anyhow::{Context as _, Result};
use backlog_ebpf::ABSENT;
use backlog_ebpf::field::named_by;
use object::{Object as _, ObjectSection as _, SectionKind};

/// Size of an instruction in bytes.
const LENGTH: usize = 8;
/// Position of the 16-bit offset in an instruction.
const OFFSET: usize = 2;
/// The bits of the instruction class in the first byte. Class LDX loads from the address in a
/// register.
const CLASS: u8 = 0x07;
const LDX: u8 = 0x01;
/// The only instruction that takes two slots: it loads a 64-bit immediate.
const LD_IMM64: u8 = 0x18;

/// Returns the object with all offsets patched; `offset_of` finds a field by its name.
pub(super) fn fill(object: &[u8], offset_of: impl Fn(&str) -> Option<u32>) -> Result<Vec<u8>> {
    let mut filled = object.to_vec();
    let parsed = object::File::parse(object).context("reading the eBPF object")?;
    for section in parsed.sections().filter(|section| section.kind() == SectionKind::Text) {
        let Some((start, length)) = section.file_range() else { continue };
        let range = usize::try_from(start)?..usize::try_from(start + length)?;
        let code = filled.get_mut(range).context("the eBPF object is truncated")?;
        fill_code(code, &offset_of)?;
    }
    Ok(filled)
}

fn fill_code(code: &mut [u8], offset_of: &impl Fn(&str) -> Option<u32>) -> Result<()> {
    let mut instructions = code.chunks_exact_mut(LENGTH);
    while let Some(instruction) = instructions.next() {
        if instruction[0] == LD_IMM64 {
            instructions.next();
        }
        if instruction[0] & CLASS != LDX {
            continue;
        }
        let stands = u16::from_le_bytes([instruction[OFFSET], instruction[OFFSET + 1]]);
        let Some(field) = named_by(stands) else { continue };
        let offset = match offset_of(field) {
            // The programs never reach this load on a kernel that lacks the field.
            None | Some(ABSENT) => 0,
            Some(offset) => i16::try_from(offset)
                .with_context(|| format!("the offset of {field} is too large: {offset}"))?,
        };
        instruction[OFFSET..OFFSET + 2].copy_from_slice(&offset.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::fill_code;
    use backlog_ebpf::field::{SKC_NUM, stands_for};

    #[test]
    fn only_loads_that_stand_for_a_field_are_written() {
        let [low, high] = stands_for(SKC_NUM).to_le_bytes();
        let load = [0x61, 0x21, low, high, 0, 0, 0, 0];
        let other = [0x61, 0x21, 8, 0, 0, 0, 0, 0];
        let store = [0x63, 0x21, low, high, 0, 0, 0, 0];
        // The second half of a 64-bit immediate is not an instruction.
        let wide = [0x18, 1, 0, 0, 0, 0, 0, 0, 0x61, 0x21, low, high, 0, 0, 0, 0];
        let mut code = [load, other, store].concat();
        code.extend(wide);
        let mut expected = code.clone();
        expected[2..4].copy_from_slice(&14_i16.to_le_bytes());
        fill_code(&mut code, &|name| (name == "SKC_NUM").then_some(14)).unwrap();
        assert_eq!(code, expected);
    }
}

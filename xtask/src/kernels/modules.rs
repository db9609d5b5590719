//! Finds the dependencies of kernel modules, and an order to load them. Debian's packages contain
//! no modules.dep (the post-install script creates it), but each module lists its direct
//! dependencies in `.modinfo`; soft ones are not needed here. Pure; unpacking is done elsewhere.

use std::collections::BTreeSet;

use anyhow::Result;

/// The modules that the guest tests use. One that is built in or missing is not an error.
pub(crate) const WANTED: [&str; 6] = ["veth", "tun", "dummy", "inet_diag", "tcp_diag", "sch_netem"];

/// The name of a module from its file: `sch_netem` for `sch-netem.ko.xz`.
pub(crate) fn name_of(file: &str) -> Option<String> {
    let (stem, rest) = file.split_once(".ko")?;
    matches!(rest, "" | ".xz" | ".zst" | ".gz").then(|| stem.replace('-', "_"))
}

/// The direct dependencies of a module (an ELF file).
pub(crate) fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    let info = modinfo(module).unwrap_or_default();
    info.split(|&byte| byte == 0)
        .filter_map(|item| item.strip_prefix(KEY))
        .flat_map(|names| names.split(|&byte| byte == b','))
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).replace('-', "_"))
        .collect()
}

/// The wanted modules and all their dependencies, each after those that it needs. `depends_of`
/// returns None for a module without a file.
pub(crate) fn load_order(
    wanted: &[&str],
    mut depends_of: impl FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<Vec<String>> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    // Each name is taken twice: first to add its dependencies, then to add the module itself.
    let mut work: Vec<(String, bool)> =
        wanted.iter().rev().map(|w| ((*w).to_owned(), false)).collect();
    while let Some((name, ready)) = work.pop() {
        if ready {
            order.push(name);
        } else if seen.insert(name.clone())
            && let Some(needs) = depends_of(&name)?
        {
            work.push((name, true));
            work.extend(needs.into_iter().rev().map(|need| (need, false)));
        }
    }
    Ok(order)
}

/// The `.modinfo` section of an ELF64 little-endian file.
fn modinfo(elf: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        let value = bytes.iter().rev().fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        usize::try_from(value).ok()
    };
    elf.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    // Read e_shoff, e_shentsize, e_shnum and e_shstrndx of the ELF header; sh_name, sh_offset and
    // sh_size of a section header.
    let (table, size, count, names) =
        (number(40, 8)?, number(58, 2)?, number(60, 2)?, number(62, 2)?);
    let section = |index: usize| -> Option<(usize, &[u8])> {
        let at = table.checked_add(index.checked_mul(size)?)?;
        let start = number(at.checked_add(24)?, 8)?;
        let length = number(at.checked_add(32)?, 8)?;
        Some((number(at, 4)?, elf.get(start..start.checked_add(length)?).unwrap_or_default()))
    };
    let names = section(names)?.1;
    (0..count).filter_map(section).find_map(|(name, bytes)| {
        let name = names.get(name..)?;
        name.starts_with(b".modinfo\0").then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_module_files() {
        assert_eq!(name_of("tcp_diag.ko").as_deref(), Some("tcp_diag"));
        assert_eq!(name_of("sch-netem.ko.xz").as_deref(), Some("sch_netem"));
        assert_eq!(name_of("modules.order"), None);
        assert_eq!(name_of("tun.ko.sig"), None);
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let order = load_order(&["tcp_diag", "absent", "inet_diag", "a"], |name| {
            Ok(match name {
                "tcp_diag" => Some(vec!["inet_diag".to_owned()]),
                "inet_diag" | "c" => Some(vec![]),
                "a" => Some(vec!["b".to_owned(), "c".to_owned(), "builtin".to_owned()]),
                "b" => Some(vec!["c".to_owned(), "a".to_owned()]),
                _ => None,
            })
        });
        assert_eq!(order.unwrap(), ["inet_diag", "tcp_diag", "c", "b", "a"]);
    }

    #[test]
    fn reads_depends_from_an_elf_file() {
        // The header, names, modinfo, and three section headers.
        let names = b"\0.shstrtab\0.modinfo\0";
        let info = b"license=GPL\0depends=inet_diag,nf-tables\0name=x\0";
        let mut elf = vec![0u8; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf.extend_from_slice(names);
        elf.extend_from_slice(info);
        let table = elf.len();
        elf[40..48].copy_from_slice(&(table as u64).to_le_bytes());
        for (at, value) in [(58, 64u16), (60, 3), (62, 1)] {
            elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        for (name, start, length) in
            [(0u32, 0, 0), (1, 64, names.len()), (11, 64 + names.len(), info.len())]
        {
            let mut header = [0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&(start as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            elf.extend_from_slice(&header);
        }
        assert_eq!(depends(&elf), ["inet_diag", "nf_tables"]);
        assert_eq!(depends(b"not an elf file"), Vec::<String>::new());
        assert_eq!(depends(&elf[..70]), Vec::<String>::new());
    }
}

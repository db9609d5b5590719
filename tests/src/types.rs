//! The kernel's types from its BTF, as the `btfparse` library sees them.

use anyhow::{Result, anyhow};
use btfparse::{Error, ErrorKind, Readable, TypeInformation};

/// The file in which the kernel provides its BTF.
pub const FILE: &str = "/sys/kernel/btf/vmlinux";

/// The bytes of that file, in a form that the library reads.
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

/// The types in such bytes.
///
/// # Errors
///
/// They are not BTF that the library knows.
pub fn parse(bytes: Vec<u8>) -> Result<TypeInformation> {
    TypeInformation::new(&Bytes(bytes)).map_err(|error| anyhow!("{error:?}"))
}

//! The token of the page: users who can read its file may see the page. It changes with each start.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::rand::{GetRandomFlags, getrandom};
use subtle::ConstantTimeEq as _;

use crate::output::folder::Entry;
use crate::output::whole_file::beside;

/// The folder of the token if neither `--token-file` nor a service manager names one.
const FOLDER: &str = "/run/backlog-trace";

/// 128 random bits from the kernel, as hexadecimal digits.
pub(in crate::commands::serve) struct Token {
    digits: String,
    file: PathBuf,
}

impl Token {
    /// Creates a token in this file, or in the runtime directory.
    pub(in crate::commands::serve) fn create(file: Option<&Path>) -> Result<Self> {
        let file = file.map_or_else(default_file, |file| Ok(file.to_owned()))?;
        let mut bytes = [0; 16];
        // Up to 256 bytes, the kernel fills the buffer completely.
        getrandom(&mut bytes, GetRandomFlags::empty()).context("no random numbers")?;
        let digits = format!("{:032x}", u128::from_be_bytes(bytes));
        write(&file, &digits).with_context(|| {
            format!(
                "cannot write the token to {}: name a FILE in a folder of the service's user \
                 with --token-file",
                file.display()
            )
        })?;
        Ok(Self { digits, file })
    }

    /// Compares a token in constant time.
    pub(super) fn is(&self, given: &str) -> bool {
        self.digits.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The file with the token.
    pub(in crate::commands::serve) fn file(&self) -> &Path {
        &self.file
    }

    /// For tests without a file.
    #[cfg(test)]
    pub(super) fn made_up(digits: &str) -> Self {
        Self { digits: digits.to_owned(), file: PathBuf::new() }
    }

    /// The digits, for the cookie.
    pub(super) fn digits(&self) -> &str {
        &self.digits
    }
}

/// The folder that systemd names, or the default.
fn default_file() -> Result<PathBuf> {
    let named = std::env::var("RUNTIME_DIRECTORY").ok();
    let named = named.as_deref().and_then(|folders| folders.split(':').next());
    if let Some(folder) = named.filter(|folder| !folder.is_empty()) {
        return Ok(Path::new(folder).join("token"));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(FOLDER);
    made.with_context(|| {
        format!("cannot create {FOLDER} for the token: name a FILE elsewhere with --token-file")
    })?;
    Ok(Path::new(FOLDER).join("token"))
}

/// Writes the token so that only its owner can read it. Does not follow links.
fn write(file: &Path, digits: &str) -> io::Result<()> {
    let entry = Entry::open(file)?;
    let mut new = beside(&entry)?;
    writeln!(new, "{digits}")?;
    new.persist(entry.path())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Token;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn it_is_another_one_each_time_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("token"), folder.path().join("other"));
        fs::write(&other, "stays").unwrap();
        symlink(&other, &file).unwrap();
        let first = Token::create(Some(&file)).unwrap();
        let second = Token::create(Some(&file)).unwrap();
        assert_eq!(first.digits().len(), 32);
        assert!(second.is(second.digits()) && !second.is(first.digits()));
        assert!(!second.is("") && !second.is(&second.digits()[1..]));
        let data = fs::symlink_metadata(&file).unwrap();
        assert!(data.is_file() && data.permissions().mode() & 0o777 == 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), second.digits());
        assert_eq!(fs::read_to_string(&other).unwrap(), "stays");
    }

    #[test]
    fn an_error_says_what_to_do() {
        let error = Token::create(Some("/nowhere/token".as_ref())).err().unwrap();
        assert!(format!("{error:#}").contains("--token-file"), "{error:#}");
    }
}

//! Writes a program's truth: one JSON object, alone on stdout or in a file. All other output goes
//! to stderr.

use std::fs;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes `truth` as one line to `file`, or to stdout without one.
///
/// # Errors
/// When it cannot be written; a closed reader is not an error.
pub fn write_truth<T: Serialize>(truth: &T, file: Option<&Path>) -> Result<()> {
    let mut line = serde_json::to_string(truth).context("cannot express the truth as JSON")?;
    line.push('\n');
    let Some(path) = file else {
        return match stdout().lock().write_all(line.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to stdout")
            }
            _ => Ok(()),
        };
    };
    // Write to a device or pipe: a rename would remove it for everybody.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return fs::write(path, line).with_context(|| format!("cannot write {}", path.display()));
    }
    // By rename, so that a waiting reader never reads half of the file.
    let part = path.with_extension("part");
    fs::write(&part, line).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot create {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::write_truth;
    use std::fs;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_file_is_put_in_the_place_of_another() {
        let folder = std::env::temp_dir().join(format!("backlog-output-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, socket) = (folder.join("truth.json"), folder.join("socket"));
        fs::write(&file, "old").unwrap();
        write_truth(&1, Some(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
        // It cannot be written to, but must not be replaced.
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(write_truth(&1, Some(&socket)).is_err());
        assert!(!socket.metadata().unwrap().is_file());
        fs::remove_dir_all(&folder).unwrap();
    }
}

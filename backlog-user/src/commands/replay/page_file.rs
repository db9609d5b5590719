//! Chooses the file of a recording's HTML page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::output::record::parts;
use crate::output::record::sink::is_name_of;
use crate::output::report::Destination;
use crate::output::whole_file::WholeFile;

/// Extensions of recordings, which the name of the page drops.
const ENDINGS: [&str; 3] = ["zst", "jsonl", "json"];

/// The destination of a page that is written in addition to other output.
pub(super) fn beside(page: Option<&Path>, recording: &Path) -> Result<Option<Destination>> {
    page.map(|page| place(page, recording).context("--report")).transpose()
}

/// Opens the destination; fails if it is a file of the recording.
pub(crate) fn place(page: &Path, recording: &Path) -> Result<Destination> {
    let real = fs::canonicalize(page);
    let same = |part: &PathBuf| {
        fs::canonicalize(part).is_ok_and(|part| real.as_ref().is_ok_and(|real| *real == part))
    };
    let is_part = parts(recording).take_while(|part| part.exists()).any(|part| same(&part));
    // A recording in progress will be renamed to further names of rotated files.
    if is_part || is_name_of(recording, page, u32::MAX) {
        bail!("{} is a file of the recording: name another file", page.display());
    }
    Ok(Destination::File(WholeFile::check(page)?))
}

/// For example `run.html` for `run.jsonl.zst`.
pub(crate) fn page_of(recording: &Path) -> PathBuf {
    let mut page = recording.to_owned();
    while page.extension().is_some_and(|end| ENDINGS.iter().any(|one| end == *one)) {
        page.set_extension("");
    }
    page.as_mut_os_string().push(".html");
    page
}

#[cfg(test)]
mod tests {
    use super::{page_of, place};
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_page_has_the_recordings_name() {
        for (recording, page) in [
            ("run.jsonl.zst", "run.html"),
            ("/a/run.zst", "/a/run.html"),
            ("web.example", "web.example.html"),
            ("run.zst.3", "run.zst.3.html"),
            ("a.b/run", "a.b/run.html"),
        ] {
            assert_eq!(page_of(Path::new(recording)), Path::new(page));
        }
    }

    #[test]
    fn no_recording_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        for name in ["run", "run.1"] {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        for name in ["run", "run.1", "link", "run.old", "run.3"] {
            let error = place(&folder.path().join(name), &path).unwrap_err();
            assert!(error.to_string().contains("name another file"), "{error:#}");
        }
        place(&folder.path().join("run.html"), &path).unwrap();
    }
}

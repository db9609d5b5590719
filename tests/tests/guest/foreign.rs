//! Folders that other users may write to. Whatever these create there, and whatever they swap while
//! the tool writes, nothing is written through it, and only the tool's user can read what the tool
//! writes.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backlog_tests::tracer;

use super::help::{LIMIT, PORT_TEXT, in_guest_once, is_native, scratch};

/// The other user.
const NOBODY: u32 = 65_534;

const SECRET: &str = "root:secret:1:0:99999:7:::\n";

/// Switches this thread to the other user for good. Unlike the functions of libc, the system calls
/// only affect the calling thread.
fn become_nobody() {
    // SAFETY: the first takes a length of zero, the others numbers.
    let done = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()),
            libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY),
            libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY),
        ]
    };
    assert_eq!(done, [0; 3], "{}", io::Error::last_os_error());
}

/// Runs a function as the other user.
fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            become_nobody();
            act()
        });
        done.join().unwrap()
    })
}

fn pipe(path: &Path) -> io::Result<()> {
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a C string that outlives the call.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o666) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A folder that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(mode: u32, owner: u32) -> Self {
        let path = scratch("folder");
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file and a folder that the other user must not affect.
struct Victims(Folder);

impl Victims {
    fn new() -> Self {
        let folder = Folder::new(0o755, 0);
        fs::write(folder.at("shadow"), SECRET).unwrap();
        fs::set_permissions(folder.at("shadow"), Permissions::from_mode(0o600)).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.at("shadow")
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.0.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["shadow"]);
        let data = fs::symlink_metadata(self.file()).unwrap();
        assert!(data.is_file());
        assert_eq!((data.uid(), data.mode() & 0o777), (0, 0o600));
        assert_eq!(fs::read_to_string(self.file()).unwrap(), SECRET);
    }
}

/// Asserts that the file is new and only the tool's user can read it.
#[track_caller]
fn assert_own(path: &Path) {
    let data = fs::symlink_metadata(path).unwrap();
    assert!(data.is_file() && data.len() > 0, "{}: {data:?}", path.display());
    assert_eq!((data.uid(), data.mode() & 0o777), (0, 0o600), "{}", path.display());
}

fn traced(arguments: &[&str]) -> tracer::Run {
    let arguments = [&["--port", PORT_TEXT, "-d", "0.3s"], arguments].concat();
    tracer::run(&arguments, LIMIT).unwrap()
}

#[test]
fn links_in_a_sticky_folder_are_replaced() {
    in_guest_once(|| {
        let (folder, victims) = (Folder::new(0o1777, 0), Victims::new());
        as_nobody(|| {
            for name in ["run.jsonl", "run.jsonl.old", "page.html"] {
                symlink(victims.file(), folder.at(name)).unwrap();
            }
            // Its target does not exist.
            symlink(victims.0.at("new"), folder.at("dangling.jsonl")).unwrap();
        });
        let (record, report) = (folder.text("run.jsonl"), folder.text("page.html"));
        let run = traced(&["--record", &record, "--report", &report]);
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        let dangling = folder.text("dangling.jsonl");
        let run = traced(&["--record", &dangling]);
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        for path in [record, report, dangling] {
            assert_own(path.as_ref());
        }
        // The link itself was moved aside.
        assert!(folder.at("run.jsonl.old").is_symlink());
        victims.assert_untouched();
    });
}

#[test]
fn another_users_pipe_is_refused_and_ones_own_is_written_to() {
    in_guest_once(|| {
        let folder = Folder::new(0o1777, 0);
        let theirs = folder.at("theirs");
        as_nobody(|| pipe(&theirs).unwrap());
        // The pipe has a reader.
        let mut ends = File::options().read(true).write(true).open(&theirs).unwrap();
        let name = theirs.to_str().unwrap();
        let run = traced(&["--record", name]);
        assert_eq!(run.code(), Some(2));
        assert!(run.stderr.contains("a pipe of user 65534"), "{}", run.stderr);
        let run = traced(&["--report", name]);
        assert_eq!(run.code(), Some(2));
        assert!(run.stderr.contains("a device or a pipe"), "{}", run.stderr);
        // This must be all that is read from it.
        io::Write::write_all(&mut ends, b"nothing").unwrap();
        let mut text = [0; 100];
        let length = ends.read(&mut text).unwrap();
        assert_eq!(&text[..length], b"nothing");
        drop(ends);
        // A pipe of root, and one of the user who called sudo.
        let own = folder.at("own");
        pipe(&own).unwrap();
        assert_recorded(&own, &mut tracer::command());
        assert_recorded(&theirs, tracer::command().env("SUDO_UID", NOBODY.to_string()));
    });
}

/// Asserts that the whole recording comes through the pipe.
fn assert_recorded(pipe: &Path, command: &mut Command) {
    thread::scope(|scope| {
        let text = scope.spawn(|| fs::read_to_string(pipe).unwrap());
        // Opened by the thread above; otherwise the tool would report that there is no reader.
        let writer = File::options().write(true).open(pipe).unwrap();
        let arguments = ["--port", PORT_TEXT, "-d", "0.3s", "--record"];
        let run = command.args(arguments).arg(pipe).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        drop(writer);
        let text = text.join().unwrap();
        assert!(text.starts_with("{\"header\"") && text.contains("\"end\""), "{text}");
    });
}

/// File names that the tool uses in its folder.
const NAMES: [&str; 5] =
    ["run.jsonl", "run.jsonl.old", "run.jsonl.1", "page.html", "replayed.html"];

/// Swaps these names as fast as possible: removes them, or replaces them by links to a file, a
/// folder and nothing, a pipe, a file, or a folder. Also swaps files that the tool creates next to
/// them.
fn swap_until(over: &AtomicBool, folder: &Folder, victims: &Victims) -> u64 {
    let mut random = fastrand::Rng::with_seed(7);
    let mut swaps = 0;
    while !over.load(Ordering::SeqCst) {
        let entries = fs::read_dir(&folder.0).unwrap().flatten();
        let temporary = entries
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.'));
        let names: Vec<PathBuf> =
            NAMES.iter().map(|name| folder.at(name)).chain(temporary).collect();
        let path = &names[random.usize(..names.len())];
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        let swapped = match random.u32(..7) {
            0 => Ok(()),
            1 => symlink(victims.file(), path),
            2 => symlink(&victims.0.0, path),
            3 => symlink(victims.0.at("new"), path),
            4 => pipe(path),
            5 => fs::write(path, "mine"),
            _ => fs::create_dir(path),
        };
        // The tool may have been faster.
        swaps += u64::from(swapped.is_ok());
    }
    swaps
}

/// The number of traces and of reports while the names are swapped. Races are the same in an
/// emulated kernel, where each start takes seconds.
fn runs() -> (u32, u32) {
    if is_native() { (4, 60) } else { (1, 15) }
}

/// A recording outside of the folder.
fn recording() -> PathBuf {
    let path = scratch("run.jsonl");
    let run = traced(&["--record", path.to_str().unwrap()]);
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    path
}

/// Runs something while the other user swaps names; returns the number of swaps.
fn while_swapping(swap: impl FnOnce(&AtomicBool) -> u64 + Send, runs: impl FnOnce()) -> u64 {
    let over = AtomicBool::new(false);
    let swaps = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            become_nobody();
            swap(&over)
        });
        // A failure must not leave the swapper running, since this scope would wait for it.
        let result = catch_unwind(AssertUnwindSafe(runs));
        over.store(true, Ordering::SeqCst);
        let swaps = swapping.join().unwrap();
        result.unwrap_or_else(|failure| resume_unwind(failure));
        swaps
    });
    assert!(swaps > 100, "only {swaps} swaps");
    swaps
}

/// Traces into these files; returns whether everything was written.
fn writes_run(record: &Path, page: &Path) -> bool {
    let files = ["--record", record.to_str().unwrap(), "--report", page.to_str().unwrap()];
    let run = traced(&[&files[..], &["--record-rotate", "64K"]].concat());
    assert!(matches!(run.code(), Some(0 | 2)), "{:?}: {}", run.code(), run.stderr);
    run.code() == Some(0)
}

/// Writes the page of a recording; returns whether that succeeded.
fn writes_page(page: &Path, recording: &Path, rescue: Option<&Path>) -> bool {
    let mut command = Command::new(tracer::path());
    command.envs(rescue.map(|folder| ("TMPDIR", folder)));
    let run = command.args(["report", "-o"]).arg(page).arg(recording).output().unwrap();
    assert!(matches!(run.status.code(), Some(0 | 2)), "{run:?}");
    run.status.success()
}

/// Whatever a run finds, it ends by itself and affects nothing outside.
#[test]
fn nothing_is_written_through_names_that_are_swapped_meanwhile() {
    in_guest_once(|| {
        let (traces, reports) = runs();
        let (folder, victims) = (Folder::new(0o755, NOBODY), Victims::new());
        let recording = recording();
        let mut written = 0;
        let swap = |over: &AtomicBool| swap_until(over, &folder, &victims);
        let swaps = while_swapping(swap, || {
            for _ in 0..traces {
                let done = writes_run(&folder.at("run.jsonl"), &folder.at("page.html"));
                written += u32::from(done);
            }
            for _ in 0..reports {
                // A page whose name is now a folder is written to where the user wants it instead.
                let page = folder.at("replayed.html");
                written += u32::from(writes_page(&page, &recording, Some(&folder.0)));
            }
        });
        println!("{written} of {} runs wrote all, during {swaps} swaps", traces + reports);
        assert!(written > 0, "no run could write anything");
        fs::remove_file(&recording).unwrap();
        victims.assert_untouched();
    });
}

/// Swaps a folder for a link to another one and back, as fast as possible.
fn swap_folder_until(over: &AtomicBool, folder: &Path, other: &Path) -> u64 {
    let aside = folder.with_extension("aside");
    let mut swaps = 0;
    while !over.load(Ordering::SeqCst) {
        fs::rename(folder, &aside).unwrap();
        symlink(other, folder).unwrap();
        thread::yield_now();
        fs::remove_file(folder).unwrap();
        fs::rename(&aside, folder).unwrap();
        swaps += 1;
    }
    swaps
}

/// The output goes to the folder that was opened at the start, or is not written.
#[test]
fn nothing_is_written_through_a_folder_that_is_swapped_meanwhile() {
    in_guest_once(|| {
        let (traces, reports) = runs();
        let (outer, victims) = (Folder::new(0o755, NOBODY), Victims::new());
        let folder = outer.at("folder");
        as_nobody(|| fs::create_dir(&folder).unwrap());
        let recording = recording();
        let [record, page] = ["run.jsonl", "page.html"].map(|name| folder.join(name));
        let mut written = 0;
        let swap = |over: &AtomicBool| swap_folder_until(over, &folder, &victims.0.0);
        let swaps = while_swapping(swap, || {
            for _ in 0..traces {
                written += u32::from(writes_run(&record, &page));
            }
            for _ in 0..reports {
                written += u32::from(writes_page(&page, &recording, None));
            }
        });
        println!("{written} of {} runs wrote all, during {swaps} swaps", traces + reports);
        fs::remove_file(&recording).unwrap();
        victims.assert_untouched();
        // With the original folder, runs succeed; with a link of the other user, none begins.
        let run = traced(&["--report", page.to_str().unwrap()]);
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert_own(&page);
        let link = outer.at("link");
        as_nobody(|| symlink(&folder, &link).unwrap());
        let through = link.join("page.html");
        for option in ["--report", "--record"] {
            let run = traced(&[option, through.to_str().unwrap()]);
            assert_eq!(run.code(), Some(2), "{}", run.stderr);
            assert!(run.stderr.contains("link is a link of user 65534"), "{}", run.stderr);
        }
    });
}

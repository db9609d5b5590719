//! Least privilege: each thread of a run keeps only what its options need, and counts as with all
//! capabilities; `--cmd` keeps the rights of the caller; and the sets in the report of `doctor` are
//! sufficient without root.

mod named;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backlog_tests::clock::wait_until;
use backlog_tests::tracer::{self, Kind, Line, Run, Summary, Tracer};
use backlog_tests::{load, netns, sysctl};

use super::blind::{self, assert_count};
use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest, scratch, stop};

/// The user and group "nobody".
const NOBODY: u32 = 65534;

const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const FOWNER: u64 = 1 << 3;
const KILL: u64 = 1 << 5;
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// The capabilities that finding owners needs.
const LOOK: u64 = SYS_PTRACE | DAC_READ_SEARCH;

/// More clients than a small queue holds. The queue has three places, and refused clients retry
/// together after 1, 3 and 7 s: four times three are served on the slowest machine.
const LOAD: &str = "--backlog 2 --count 12 --connect nonblocking --connect-timeout 10s \
                    --accept-delay 5ms";

/// The fields of a thread in /proc.
#[derive(Debug)]
struct Status(BTreeMap<String, String>);

impl Status {
    fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn own() -> Self {
        Self::parse(&fs::read_to_string("/proc/thread-self/status").unwrap())
    }

    fn field(&self, name: &str) -> &str {
        self.0.get(name).unwrap()
    }

    fn set(&self, name: &str) -> u64 {
        u64::from_str_radix(self.field(name), 16).unwrap()
    }
}

/// All threads of a process, except for those that have just ended.
fn threads(process: u32) -> Vec<Status> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    texts.map(|text| Status::parse(&text)).collect()
}

/// Waits until the tool has reduced its rights, which it does after its first lines.
fn settled(tracer: &Tracer) -> Vec<Status> {
    let filtered = |status: &Status| status.field("Seccomp") == "2";
    wait_until("a filter on each thread", LIMIT, || {
        let threads = threads(tracer.id());
        Ok(!threads.is_empty() && threads.iter().all(filtered))
    })
    .unwrap();
    threads(tracer.id())
}

/// Does this kernel refuse every `bpf()` call without `CAP_BPF`?
fn bpf_is_reserved() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    version < (5, 19) && sysctl::get("kernel.unprivileged_bpf_disabled").unwrap() != "0"
}

/// Asserts that every thread has exactly the capabilities that it needs of `kept`, and cannot gain
/// any.
fn assert_reduced(what: &str, threads: &[Status], kept: u64) {
    let own = Status::own().set("CapPrm");
    assert!(threads.len() >= 5, "{what}: {threads:?}");
    for thread in threads {
        let name = thread.field("Name");
        let wanted = match name {
            "backlog-trace" => kept,
            "guard" => kept & (BPF | KILL),
            _ => 0,
        };
        for set in ["CapPrm", "CapEff"] {
            assert_eq!(thread.set(set), wanted, "{what}: {set} of {name}: {thread:?}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(thread.set(set), 0, "{what}: {set} of {name}: {thread:?}");
        }
        if own & SETPCAP != 0 && thread.field("Uid").starts_with("0\t") {
            assert_eq!(thread.set("CapBnd"), 0, "{what}: {name}: {thread:?}");
        }
        assert_eq!(thread.field("NoNewPrivs"), "1", "{what}: {name}: {thread:?}");
    }
}

/// The listener of this test, since on a machine in use, other namespaces may use the port.
fn own_summary(run: &Run) -> &Summary {
    let netns = netns::inode().unwrap();
    let is_ours = |one: &&Summary| one.listener.port == PORT && one.listener.netns == netns;
    run.summaries().find(is_ours).unwrap()
}

/// Asserts that the tool's counts are those of the load.
fn assert_counts(what: &str, run: &Run, truth: &load::Truth) {
    let missed = blind::missed(run);
    let summary = own_summary(run);
    assert!(truth.accepted > 0, "{what}: the load did nothing: {truth:?}");
    let enqueued = truth.accepted + truth.left_in_queue;
    assert_count(summary.enqueued, enqueued, missed, &format!("{what}: enqueued"));
    assert_count(summary.accepted, truth.accepted, missed, &format!("{what}: accepted"));
    let overflows = truth.kernel.get("ListenOverflows").copied().unwrap_or(0);
    assert!(overflows > 0, "{what}: nothing was refused: {truth:?}");
    blind::assert_close(summary.drops.total, overflows, &format!("{what}: drops"));
}

fn start(command: &mut Command) -> Tracer {
    let mut tracer = Tracer::spawn(command).unwrap();
    let has_meta = |lines: &[Line]| lines.iter().any(|line| matches!(line.kind, Kind::Meta(_)));
    tracer.wait_for("the meta line", LIMIT, has_meta).unwrap();
    tracer
}

/// A folder that belongs to the user "nobody".
fn nobodys_folder() -> PathBuf {
    let folder = scratch("nobody");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    folder
}

#[test]
fn each_run_keeps_what_its_options_need() {
    in_guest(|| {
        let folder = nobodys_folder();
        let theirs = folder.join("report.html");
        let (ours, recording) = (scratch("report.html"), scratch("run.zst"));
        let [theirs, ours, recording] =
            [&theirs, &ours, &recording].map(|one| one.to_str().unwrap());
        let netns = netns::inode().unwrap().to_string();
        let always = LOOK | if bpf_is_reserved() { BPF } else { 0 };
        let others = always | SYS_ADMIN;
        let runs: [(&[&str], u64); 6] = [
            (&[], others),
            (&["--netns", &netns], always),
            (&["--cmd", "sleep 1000"], others | KILL),
            (&["-v", "--record", recording, "--report", ours], others),
            (&["--report", theirs], others | DAC_OVERRIDE | FOWNER),
            (&["--user", "65534:65534", "--netns", &netns], always),
        ];
        for (options, kept) in runs {
            let what = options.join(" ");
            let load = Load::listening(PORT, LOAD);
            let tracer = start(tracer::command().args(["--port", PORT_TEXT]).args(options));
            let threads = settled(&tracer);
            assert_reduced(&what, &threads, kept & Status::own().set("CapPrm"));
            load.go();
            let truth = load.finish();
            let run = stop(tracer);
            assert_counts(&what, &run, &truth);
            let owner = own_summary(&run).listener.owner.as_ref();
            assert!(owner.is_some(), "{what}: no owner: {}", run.stderr);
        }
        assert!(Path::new(theirs).exists() && Path::new(ours).exists());
        fs::remove_dir_all(folder).unwrap();
        for file in [ours, recording] {
            fs::remove_file(file).unwrap();
        }
    });
}

#[test]
fn another_user_owns_all_threads_and_files() {
    in_guest(|| {
        let folder = nobodys_folder();
        let (recording, report) = (folder.join("run.zst"), folder.join("report.html"));
        let files = [&recording, &report].map(|file| file.to_str().unwrap());
        let [record, page] = files;
        let options = ["--user", "65534:65534", "--record", record, "--report", page];
        let tracer = start(tracer::command().args(["--port", PORT_TEXT]).args(options));
        for thread in settled(&tracer) {
            let four = format!("{NOBODY}\t").repeat(4);
            assert_eq!(thread.field("Uid"), four.trim_end(), "{thread:?}");
            assert_eq!(thread.field("Gid"), four.trim_end(), "{thread:?}");
            assert_eq!(thread.field("Groups"), "", "{thread:?}");
        }
        stop(tracer);
        for file in files {
            let data = fs::metadata(file).unwrap();
            assert_eq!((data.uid(), data.gid(), data.mode() & 0o777), (NOBODY, NOBODY, 0o600));
        }
        fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn a_user_that_cannot_be_is_named() {
    in_guest(|| {
        let folder = scratch("root");
        fs::create_dir(&folder).unwrap();
        let report = folder.join("report.html");
        let report = report.to_str().unwrap();
        for (options, words) in [
            (vec!["--user", "no-such-user"], "there is no user `no-such-user`"),
            (vec!["--user", "65534:no-such-group"], "there is no group `no-such-group`"),
            (vec!["--user", "65534:65534", "--report", report], "cannot write in"),
            (vec!["--user", "65534:65534", "--record", report], "Permission denied"),
        ] {
            let run = tracer::run(&options, LIMIT).unwrap();
            assert_eq!(run.code(), Some(2), "{options:?}: {}", run.stderr);
            assert!(run.stderr.contains(words), "{options:?}: {}", run.stderr);
        }
        let mut command = tracer::command();
        as_nobody(command.args(["--user", "1:1"]), BPF | PERFMON | SYS_ADMIN);
        let run = Tracer::spawn(&mut command).unwrap().wait(LIMIT).unwrap();
        assert_eq!(run.code(), Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("CAP_SETUID"), "{}", run.stderr);
        fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn the_command_has_the_rights_of_the_caller() {
    in_guest(|| {
        let script = |file: &Path| {
            let file = file.display();
            format!("cat /proc/self/status >{file}; umask >>{file}; ulimit -l >>{file}")
        };
        let (ours, theirs) = (scratch("ours"), scratch("theirs"));
        let status =
            Command::new("sh").args(["-c", &script(&ours)]).stdin(Stdio::null()).status().unwrap();
        assert!(status.success());
        let command = script(&theirs);
        for options in [&[][..], &["--user", "65534:65534"]] {
            let arguments = [options, &["--cmd", &command]].concat();
            let run = tracer::run(&arguments, LIMIT).unwrap();
            assert_eq!(run.code(), Some(0), "{}", run.stderr);
            let [caller, child] = [&ours, &theirs].map(|file| fs::read_to_string(file).unwrap());
            // The umask and the limit come last.
            let last = |text: &str| text.lines().rev().take(2).collect::<Vec<_>>().join(" ");
            assert_eq!(last(&child), last(&caller));
            let [caller, child] = [&caller, &child].map(|text| Status::parse(text));
            for field in [
                "Uid",
                "Gid",
                "Groups",
                "CapInh",
                "CapPrm",
                "CapEff",
                "CapBnd",
                "CapAmb",
                "NoNewPrivs",
                "Seccomp",
                "SigBlk",
                "SigIgn",
            ] {
                assert_eq!(child.field(field), caller.field(field), "{field} {options:?}");
            }
            fs::remove_file(&theirs).unwrap();
        }
        fs::remove_file(&ours).unwrap();
    });
}

/// Runs the command as nobody, with these capabilities in its ambient set, as systemd's
/// `AmbientCapabilities` does.
fn as_nobody(command: &mut Command, capabilities: u64) {
    // SAFETY: it makes system calls only, and touches no memory but its own.
    unsafe { command.pre_exec(move || become_nobody(capabilities)) };
}

fn become_nobody(capabilities: u64) -> io::Result<()> {
    let done = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let version: [u32; 2] = [0x2008_0522, 0];
    let [low, high] = [capabilities, capabilities >> 32].map(|bits| (bits & 0xffff_ffff) as u32);
    let sets = [low, low, low, high, high, high];
    let id = u64::from(NOBODY);
    // SAFETY: they take numbers, and pointers to arrays that the kernel only reads.
    unsafe {
        done(libc::prctl(libc::PR_SET_KEEPCAPS, 1).into())?;
        done(libc::syscall(libc::SYS_setgroups, 0, 0))?;
        done(libc::syscall(libc::SYS_setresgid, id, id, id))?;
        done(libc::syscall(libc::SYS_setresuid, id, id, id))?;
        done(libc::syscall(libc::SYS_capset, version.as_ptr(), sets.as_ptr()))?;
        for number in (0..64_u64).filter(|number| capabilities & (1 << number) != 0) {
            let raise = libc::PR_CAP_AMBIENT_RAISE;
            done(libc::prctl(libc::PR_CAP_AMBIENT, raise, number, 0, 0).into())?;
        }
    }
    Ok(())
}

//! Tests with sockets of this process and its children, and with processes in a synthetic `/proc`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use backlog_core::owner::PIDS;
use backlog_core::run::cost::Scan;

use super::Finder;

fn real() -> Finder {
    Finder::new(Path::new("/proc"), Path::new("/etc/passwd"))
}

/// A listener and its inode number.
fn listener() -> (TcpListener, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let copy = File::from(OwnedFd::from(listener.try_clone().unwrap()));
    let inode = copy.metadata().unwrap().ino();
    (listener, inode)
}

/// A child that holds a listener (as its stderr) until its stdin is closed.
fn child(listener: &TcpListener) -> Child {
    let listener = OwnedFd::from(listener.try_clone().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(listener);
    let mut child = command.spawn().unwrap();
    // Only after this output does it run its own program, without the other descriptors of this
    // process.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// No redirection, since a shell moves descriptors for that.
const SCRIPT: &str = "echo; read line; exit 0";

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_parent_owns_what_its_child_holds_too() {
    let (listener, inode) = listener();
    let (_other, other) = self::listener();
    let (child, own) = (child(&listener), std::process::id());
    let mut finder = real();
    // Other tests start children at the same time, which hold all descriptors of this process until
    // exec. So the exact number of holders is unknown in a full scan.
    let owners = finder.scan(&[inode, other, 1].into());
    let owner = &owners[&inode];
    assert_eq!((owner.main.pid, owner.pids[0]), (own, own));
    assert!(owner.pids.contains(&child.id()) && !owners[&other].pids.contains(&child.id()));
    assert!(!owners.contains_key(&1));
    assert_eq!(owner.main.comm, fs::read_to_string("/proc/self/comm").unwrap().trim_end());
    let cost = finder.last();
    assert!(cost.processes >= 2 && cost.descriptors >= 6, "{cost:?}");
    assert!(!cost.elapsed.is_zero());

    let owners = finder.ask(&[inode].into(), &[child.id(), own]);
    let owner = &owners[&inode];
    assert_eq!((owner.processes, &owner.pids[..]), (2, &[own, child.id()][..]));
    // The process has more threads than that of this test.
    assert!(owner.threads >= 3, "{}", owner.threads);
    assert_eq!(finder.last(), cost);
    end(child);
}

#[test]
fn who_has_closed_it_owns_it_no_longer() {
    let (listener, inode) = listener();
    let (child, own) = (child(&listener), std::process::id());
    drop(listener);
    let mut finder = real();
    let owners = finder.ask(&[inode].into(), &[own, child.id()]);
    let owner = &owners[&inode];
    assert_eq!((owner.main.pid, owner.processes, owner.threads), (child.id(), 1, 1));
    let cmdline = format!("sh -c {SCRIPT}");
    assert_eq!((&*owner.main.comm, &owner.main.cmdline), ("sh", &cmdline));
    assert!(finder.sockets_of(child.id()).unwrap().contains(&inode));
    assert!(finder.ask(&[inode].into(), &[own]).is_empty());
    let gone = child.id();
    end(child);
    assert!(finder.ask(&[inode].into(), &[own, gone]).is_empty());
}

#[test]
fn no_such_process_is_named_with_the_cure() {
    let error = real().sockets_of(u32::MAX).unwrap_err().to_string();
    assert!(error.contains("no process 4294967295") && error.contains("pgrep"), "{error}");
}

/// Drops all capabilities of a thread that ends with the test.
fn without_rights<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let drop_rights = || {
        // Version 3 of the call, for this thread; then two words for each of three sets.
        let header = [0x2008_0522_u32, 0];
        let none = [0_u32; 6];
        // SAFETY: both are as long as version 3 wants them, and outlive the call, which
        // changes this thread only.
        let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
        assert_eq!(result, 0);
        work()
    };
    thread::scope(|scope| scope.spawn(drop_rights).join().unwrap())
}

#[test]
fn processes_of_others_are_counted_as_unreadable() {
    let (shut, cost, error) = without_rights(|| {
        let mut finder = real();
        finder.scan(&[1].into());
        (fs::read_link("/proc/1/fd/0").is_err(), finder.last(), finder.sockets_of(1))
    });
    // If process 1 belongs to the same user and has no capabilities either, nothing is hidden.
    if shut {
        assert!(cost.unreadable >= 1, "{cost:?}");
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("process 1:") && error.contains("CAP_SYS_PTRACE"), "{error}");
    }
}

/// Creates a process in a synthetic `/proc`.
fn made(root: &Path, pid: u32, parent: u32, comm: &str, sockets: &[u64]) {
    let folder = root.join(pid.to_string());
    fs::create_dir_all(folder.join("fd")).unwrap();
    for (number, inode) in sockets.iter().enumerate() {
        symlink(format!("socket:[{inode}]"), folder.join("fd").join(number.to_string())).unwrap();
    }
    let rest = " 0".repeat(48);
    let stat = format!("{pid} ({comm}) S {parent}{}\n", rest.replacen(" 0", "", 0));
    // The 20th field is the number of threads.
    let mut fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[17] = "3";
    fs::write(folder.join("stat"), format!("{pid} ({comm}) {}", fields.join(" "))).unwrap();
}

fn finder(root: &Path) -> Finder {
    let passwd = root.join("passwd");
    let uid = fs::metadata(root).unwrap().uid();
    fs::write(&passwd, format!("web:x:{uid}:0::/:/bin/sh\n")).unwrap();
    Finder::new(root, &passwd)
}

#[test]
fn a_service_that_systemd_has_started_by_its_socket_owns_it() {
    let root = tempfile::tempdir().unwrap();
    made(root.path(), 1, 0, "systemd", &[5, 6]);
    made(root.path(), 812, 1, "a) (b", &[5, 5]);
    made(root.path(), 813, 812, "a) (b", &[5, 7]);
    let folder = root.path().join("812");
    fs::write(folder.join("cmdline"), "a\0-b\0").unwrap();
    fs::write(folder.join("cgroup"), "0::/system.slice/a.service\n").unwrap();
    let mut finder = finder(root.path());
    let owners = finder.scan(&[5, 6].into());
    let owner = &owners[&5];
    assert_eq!((owner.processes, owner.threads, &owner.pids[..]), (3, 9, &[812, 1, 813][..]));
    assert_eq!(owner.unit.as_deref(), Some("a.service"));
    assert_eq!((&*owner.main.comm, &*owner.main.cmdline), ("a) (b", "a -b"));
    assert_eq!(owner.main.user.as_deref(), Some("web"));
    assert_eq!(owner.main.cgroup.as_deref(), Some("/system.slice/a.service"));
    assert_eq!((owners[&6].main.pid, owners[&6].main.cgroup.as_ref()), (1, None));
    assert_eq!(owners.len(), 2);
    let Scan { processes, descriptors, unreadable, .. } = finder.last();
    assert_eq!((processes, descriptors, unreadable), (3, 6, 0));
}

#[test]
fn one_in_a_container_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    made(root.path(), 812, 1, "nginx", &[5]);
    let id = "0123456789abcdef".repeat(4);
    let text = format!("0::/system.slice/docker-{id}.scope\n");
    fs::write(root.path().join("812/cgroup"), text).unwrap();
    let owners = finder(root.path()).scan(&[5].into());
    assert_eq!(owners[&5].unit, Some(format!("docker-{id}.scope")));
    assert_eq!(owners[&5].container.as_ref().unwrap().id, id);
}

#[test]
fn one_that_ends_meanwhile_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    made(root.path(), 812, 1, "nginx", &[5]);
    made(root.path(), 813, 812, "nginx", &[5, 6]);
    // Its descriptors were readable, but it has ended since.
    fs::remove_file(root.path().join("813/stat")).unwrap();
    fs::create_dir(root.path().join("814")).unwrap();
    let mut finder = finder(root.path());
    let owners = finder.scan(&[5, 6].into());
    assert_eq!(owners.keys().collect::<Vec<_>>(), [&5]);
    assert_eq!((owners[&5].processes, finder.last().unreadable), (1, 0));
}

#[test]
fn of_many_holders_some_pids_are_kept_and_the_main_one() {
    let root = tempfile::tempdir().unwrap();
    for pid in 100..200 {
        made(root.path(), pid, 999, "nginx", &[5]);
    }
    made(root.path(), 999, 1, "nginx", &[5]);
    let owner = &finder(root.path()).scan(&[5].into())[&5];
    assert_eq!((owner.processes, owner.pids.len(), owner.pids[0]), (101, PIDS, 999));
    assert_eq!((owner.pids[1], owner.threads), (100, 303));
}

#[test]
fn nothing_wanted_is_nothing_looked_at() {
    let mut finder = real();
    assert!(finder.scan(&HashSet::new()).is_empty());
    assert_eq!((finder.last().processes, finder.last().descriptors), (0, 0));
    assert!(
        Finder::new(Path::new("/no/proc"), Path::new("/no/passwd")).scan(&[1].into()).is_empty()
    );
}

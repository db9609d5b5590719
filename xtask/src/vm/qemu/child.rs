//! The QEMU process: its command line, and its end.

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Emulation, Machine, PORTS};
use crate::process;

pub(super) fn command(machine: &Machine, ports: &[UnixStream]) -> Command {
    let Machine { vmlinuz, initramfs, disk, cpus, memory, emulation, .. } = machine;
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    // Use TCG even if /dev/kvm exists, since nested virtualisation may hang.
    command.args(["-cpu", "max", "-m", &format!("{memory}M")]);
    let accel = match emulation {
        // Counting requires a single thread.
        Emulation::InTurn | Emulation::Counting => "tcg,thread=single",
        Emulation::Parallel => "tcg,thread=multi",
    };
    command.args(["-smp", &cpus.to_string(), "-accel", accel]);
    if *emulation == Emulation::Counting {
        command.args(["-icount", "shift=0,sleep=off"]);
    }
    let mut inherited = vec![initramfs.as_raw_fd()];
    for (number, port) in ports.iter().enumerate() {
        let fd = port.as_raw_fd();
        inherited.push(fd);
        command.args(["-chardev", &format!("socket,id=s{number},fd={fd}")]);
        if number < PORTS - 1 {
            command.args(["-serial", &format!("chardev:s{number}")]);
        } else {
            command.args(["-mon", &format!("chardev=s{number},mode=readline")]);
        }
    }
    command.arg("-kernel").arg(vmlinuz);
    command.args(["-initrd", &format!("/proc/self/fd/{}", initramfs.as_raw_fd())]);
    if let Some(disk) = disk {
        // Each of these kernels has the driver built in, unlike most others. A comma ends a value
        // unless it is doubled.
        let file = disk.display().to_string().replace(',', ",,");
        command.arg("-drive").arg(format!("if=none,id=disk,format=raw,readonly=on,file={file}"));
        command.args(["-device", "nvme,drive=disk,serial=disk"]);
    }
    // Any oops ends the guest immediately.
    let mut append =
        "console=ttyS0 panic=-1 oops=panic unknown_nmi_panic random.trust_cpu=on".to_owned();
    if *emulation == Emulation::Counting {
        // Fixed addresses remove a source of noise.
        append.push_str(" nokaslr");
    }
    command.args(["-append", &append]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: between fork and exec only the async-signal-safe prctl, getppid
    // and fcntl are called, and nothing is allocated.
    unsafe {
        let parent = libc::getpid();
        command.pre_exec(move || prepare_child(parent, &inherited));
    }
    command
}

/// Runs in the child: makes it die with the parent, and keeps the given descriptors open.
fn prepare_child(parent: libc::pid_t, inherited: &[RawFd]) -> io::Result<()> {
    // SAFETY: plain system calls with integers; the descriptors are open in
    // the parent, hence here.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the call above.
        if libc::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &fd in inherited {
            if libc::fcntl(fd, libc::F_SETFD, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// A running QEMU, killed when dropped.
pub(super) struct Qemu(Child);

impl Qemu {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| {
            format!("cannot start (apt-get install qemu-system-x86): {}", process::line(command))
        })?;
        Ok(Self(child))
    }

    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! The folder with the servers and their dependencies, which `cargo xtask test` creates, and
//! programs that run in it. Each program sees it with the kernel's file systems and a /tmp of its
//! own, by mounts that are visible only to itself.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::io::{self, Error};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr;

use anyhow::{Context, Result, ensure};

/// The environment variable with the folder's path.
pub const VARIABLE: &str = "BACKLOG_SERVERS";

/// The kernel's file systems that Debian's programs expect.
const SHOWN: [&str; 3] = ["proc", "sys", "dev"];

/// The folder.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The folder that the environment names.
    ///
    /// # Errors
    /// When it names none, or there are no servers in it.
    pub fn find() -> Result<Self> {
        let path = env::var_os(VARIABLE).map(PathBuf::from);
        let path = path.with_context(|| format!("{VARIABLE} names no folder with servers"))?;
        ensure!(path.join("usr/sbin/nginx").exists(), "no servers in {}", path.display());
        Ok(Self(path))
    }

    /// A command that runs one of the folder's programs, with `scratch` as its /tmp.
    ///
    /// # Errors
    /// When a path has a null byte.
    pub fn command(&self, program: &str, scratch: &Path) -> Result<Command> {
        let mut shown = Vec::new();
        for name in SHOWN {
            shown.push(Shown::new(&Path::new("/").join(name), &self.0.join(name))?);
        }
        shown.push(Shown::new(scratch, &self.0.join("tmp"))?);
        let root = c_string(self.0.as_os_str())?;
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin").env("HOME", "/root");
        command.stdin(Stdio::null()).current_dir("/");
        // SAFETY: between fork and exec only system calls are made, and nothing is
        // allocated: the strings are here, and the errors hold a number.
        unsafe {
            command.pre_exec(move || enter(&root, &shown));
        }
        Ok(command)
    }
}

/// A folder, and where it is mounted in addition.
#[derive(Debug)]
struct Shown {
    from: CString,
    to: CString,
}

impl Shown {
    fn new(from: &Path, to: &Path) -> Result<Self> {
        Ok(Self { from: c_string(from.as_os_str())?, to: c_string(to.as_os_str())? })
    }
}

/// Makes the folder the calling process's root.
fn enter(root: &CStr, shown: &[Shown]) -> io::Result<()> {
    // SAFETY: it takes flags only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // Mounts from now on are not visible to other processes.
    mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    for Shown { from, to } in shown {
        mount(Some(from), to, libc::MS_BIND | libc::MS_REC)?;
    }
    // SAFETY: both take a C string that outlives the call.
    unsafe {
        check(libc::chroot(root.as_ptr()))?;
        check(libc::chdir(c"/".as_ptr()))
    }
}

fn mount(from: Option<&CStr>, to: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let from = from.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: C strings that outlive the call, or null where the kernel looks at none.
    check(unsafe { libc::mount(from, to.as_ptr(), ptr::null(), flags, ptr::null()) })
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).with_context(|| format!("{} is no path", text.display()))
}

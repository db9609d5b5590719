//! System calls as a 32-bit program makes them: by `int 0x80`, with the numbers of i386, from a
//! 64-bit program. To the kernel this is the same as a call by a 32-bit program.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_void};

/// Numbers of `arch/x86/entry/syscalls/syscall_32.tbl`.
const GETPID: u32 = 20;
const SOCKETCALL: u32 = 102;
const LISTEN: u32 = 363;
const ACCEPT4: u32 = 364;

/// First arguments of `socketcall`, of `include/uapi/linux/net.h`.
const CALL_LISTEN: u32 = 4;
const CALL_ACCEPT: u32 = 5;

/// How a 32-bit program makes the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a system call number for each call.
    Direct,
    /// By `socketcall`, with the arguments in memory: older C libraries do this, and accept(2) in
    /// any.
    Socketcall,
}

/// Can this kernel run 32-bit programs? A child tries it, since a kernel that cannot would kill the
/// process.
///
/// # Errors
/// With the reason why it cannot.
pub fn works() -> Result<()> {
    // SAFETY: the child makes two system calls and touches no memory.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            let known = libc::getpid();
            libc::_exit(c_int::from(call(GETPID, [0; 4]) != known));
        }
        child
    };
    if child < 0 {
        return Err(Error::last_os_error());
    }
    let mut status = 0;
    // SAFETY: a child of our own, and room for its status.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(Error::last_os_error());
    }
    if status == 0 {
        return Ok(());
    }
    Err(Error::other("this kernel runs no 32-bit programs (CONFIG_IA32_EMULATION, ia32_emulation)"))
}

/// Calls listen(2).
///
/// # Errors
/// When the kernel refuses.
pub fn listen(socket: &impl AsRawFd, backlog: c_int, way: Way) -> Result<()> {
    let (socket, backlog) = (word(socket.as_raw_fd()), word(backlog));
    let returned = match way {
        Way::Direct => call(LISTEN, [socket, backlog, 0, 0]),
        Way::Socketcall => {
            let arguments = Low::of(&[socket, backlog])?;
            call(SOCKETCALL, [CALL_LISTEN, arguments.address()?, 0, 0])
        }
    };
    checked(returned).map(drop)
}

/// Calls accept(2), without the client's address.
///
/// # Errors
/// When the kernel refuses.
pub fn accept(socket: &impl AsRawFd, way: Way) -> Result<OwnedFd> {
    let socket = word(socket.as_raw_fd());
    let returned = match way {
        Way::Direct => call(ACCEPT4, [socket, 0, 0, word(libc::SOCK_CLOEXEC)]),
        Way::Socketcall => {
            let arguments = Low::of(&[socket, 0, 0])?;
            call(SOCKETCALL, [CALL_ACCEPT, arguments.address()?, 0, 0])
        }
    };
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    checked(returned).map(|new| unsafe { OwnedFd::from_raw_fd(new) })
}

fn checked(returned: i32) -> Result<RawFd> {
    if returned < 0 { Err(Error::from_raw_os_error(-returned)) } else { Ok(returned) }
}

fn word(number: c_int) -> u32 {
    number.cast_unsigned()
}

/// Words in memory that a 32-bit pointer can reach.
struct Low(*mut c_void);

impl Low {
    const BYTES: usize = 4096;

    fn of(words: &[u32]) -> Result<Self> {
        // SAFETY: new memory, wherever there is room below 2 GiB.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        // SAFETY: a few words fit, and the memory is as aligned as a page.
        unsafe { ptr::copy_nonoverlapping(words.as_ptr(), memory.cast(), words.len()) };
        Ok(Self(memory))
    }

    fn address(&self) -> Result<u32> {
        u32::try_from(self.0 as usize).map_err(Error::other)
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: our own memory, of just this length.
        unsafe { libc::munmap(self.0, Self::BYTES) };
    }
}

/// Makes a call; returns the result of i386.
#[cfg(target_arch = "x86_64")]
fn call(number: u32, [first, second, third, fourth]: [u32; 4]) -> i32 {
    let mut returned = u64::from(number);
    // SAFETY: the kernel takes its arguments from these registers and keeps all but the result
    // (old kernels clear r8 to r11). The compiler keeps rbx for itself, so it is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inlateout("rax") returned,
            in("rcx") u64::from(second),
            in("rdx") u64::from(third),
            in("rsi") u64::from(fourth),
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    // A 32-bit program sees only the lower half.
    (returned & u64::from(u32::MAX)).try_into().map_or(-1, u32::cast_signed)
}

/// This architecture has no such calls.
#[cfg(not(target_arch = "x86_64"))]
fn call(_: u32, _: [u32; 4]) -> i32 {
    -libc::ENOSYS
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ways_listen_and_accept() {
        if let Err(error) = works() {
            println!("absent: 32-bit calls: {error}");
            return;
        }
        for way in [Way::Direct, Way::Socketcall] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listen(&listener, 7, way).unwrap();
            assert_eq!(crate::socket::queue(&listener).unwrap().limit, 7);
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let accepted = TcpStream::from(accept(&listener, way).unwrap());
            assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
            listener.set_nonblocking(true).unwrap();
            let error = accept(&listener, way).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        }
    }
}

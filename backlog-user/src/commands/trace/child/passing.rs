//! Passes a descriptor to a child process, along with some bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends both. If the child is gone, this is an error, not a SIGPIPE.
pub(crate) fn send(
    line: &OwnedFd,
    bytes: &[u8],
    descriptor: BorrowedFd<'_>,
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let bytes = [IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(line, &bytes, &mut control, flags | SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Waits for both. Returns the number of bytes; None if the other end is closed.
pub(crate) fn receive(line: &OwnedFd, bytes: &mut [u8]) -> io::Result<Option<(usize, OwnedFd)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(bytes)];
    let received =
        retry_on_intr(|| recvmsg(line, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptor
        .map(|descriptor| Some((received.bytes, descriptor)))
        .ok_or_else(|| Errno::BADMSG.into())
}

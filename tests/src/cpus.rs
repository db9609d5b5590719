//! CPUs: lists those that this thread may run on, and pins it to one, so that the kernel processes
//! its packets and their timers there, one by one.

use std::io::{Error, Result};
use std::mem::{MaybeUninit, size_of};

/// The CPUs that the calling thread may run on.
///
/// # Errors
/// When the kernel has more of them than the set has room for.
pub fn allowed() -> Result<Vec<usize>> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: `set` has room for the given number of bytes.
    let done =
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) };
    if done != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: an array of integers, zero at first: valid whatever was filled.
    let set = unsafe { set.assume_init() };
    let most = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: every number asked for is below the size of the set.
    Ok((0..most).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Pins the calling thread, and threads that it starts from now on, to a CPU.
///
/// # Errors
/// When there is no such CPU or it is not permitted.
pub fn stay_on(cpu: usize) -> Result<()> {
    // SAFETY: an array of integers: all zero is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the number is below the size of the set, as was just tested.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a valid set that outlives the call; 0 is this thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_told() {
        // In a thread of its own, since the test's thread may run other tests.
        let stays = || {
            let last = *allowed().unwrap().last().unwrap();
            stay_on(last).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
            assert!(stay_on(usize::MAX).is_err());
        };
        thread::spawn(stays).join().unwrap();
    }
}

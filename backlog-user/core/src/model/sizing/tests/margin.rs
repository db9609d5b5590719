//! The backlog that is recommended after one episode suffices when the same load repeats.

use fastrand::Rng;

use super::simulated::{Load, nanoseconds};
use super::{MS, SECOND, judged};

/// A realistic burst: this many clients at random times within half a second, and one worker with a
/// random time per connection.
fn once(random: &mut Rng) -> Load {
    let mut arrivals: Vec<u64> =
        (0..random.u32(52..=68)).map(|_| SECOND + nanoseconds(random.f64() / 2.0)).collect();
    arrivals.sort_unstable();
    Load::of(arrivals, random.u64(18_000..22_000) * MS / 1000, 9 * SECOND)
}

#[test]
fn the_same_load_again_is_not_refused() {
    let mut random = Rng::with_seed(21);
    let (mut right, mut runs) = (0, 0);
    for _ in 0..100 {
        let (sizing, _) = judged(&once(&mut random), 16);
        let backlog = sizing.backlog.unwrap();
        let enough = (0..10).filter(|_| judged(&once(&mut random), backlog).1 == 0).count();
        right += u32::from(enough >= 9);
        runs += 1;
    }
    assert!(right * 100 >= runs * 95, "{right} of {runs}");
}

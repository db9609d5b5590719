//! Short-lived namespaces while the tool runs.

use super::*;

/// Most end before they can be compared; their drops are counted, and so are they.
#[test]
fn namespaces_that_come_and_go_are_each_counted_and_compared_if_they_live_to_be() {
    in_guest(|| come_and_go(COME_AND_GO));
}

fn come_and_go(count: u64) {
    let mut tracer = Tracer::start(&["0.2", "-P", PORT_TEXT], LIMIT).unwrap();
    let mut truths = Vec::new();
    for number in 0..count {
        let stays = number % STAYS == 0;
        let behind = if stays { tracer.lines().unwrap().len() } else { 0 };
        let work = || {
            let _resident = Resident::settle().unwrap();
            let full = Full::listen();
            full.refuse(1 + number % 3);
            if stays {
                wait_for_comparison(&mut tracer, behind, full.truth());
                // Clients that continue until the end, after or before the last reading.
                full.refuse(2);
            }
            full.truth()
        };
        truths.push(netns::fresh(work).unwrap());
    }
    let run = stop(tracer);
    for truth in &truths {
        // If too many others had closed before it, its summary may be left out.
        let Some(seen) = seen_at(&run, truth.socket) else { continue };
        assert_close(seen, truth.overflows, &format!("{truth:?}"));
    }
    assert_no_difference(&run);
    let ended = &end(&run)["namespaces_ended"];
    let number = |name: &str| ended[name].as_u64().unwrap();
    let inodes: BTreeSet<u64> = truths.iter().map(|truth| truth.netns).collect();
    let _ = writeln!(
        stderr(),
        "{count} namespaces with {} inode numbers came and went: {ended}; possibly uncounted: {}; \
         summaries left out: {}",
        inodes.len(),
        end(&run)["drops_possibly_uncounted"],
        end(&run)["summaries_left_out"],
    );
    assert!(number("equal") >= count / STAYS, "{ended}");
    assert_eq!(number("equal") + number("different") + number("uncompared"), count, "{ended}");
}

/// Namespaces created before the tool starts, while it starts, and later.
#[test]
fn namespaces_made_before_at_and_after_the_start_lose_and_invent_nothing() {
    in_guest(|| {
        let (begun, ends) = (AtomicBool::new(false), AtomicBool::new(false));
        let within = AtomicUsize::new(0);
        // An older one that stays.
        let _resident = Resident::settle().unwrap();
        let old = Full::listen();
        old.refuse(5);
        let before = old.truth();
        let (run, made) = thread::scope(|scope| {
            let churn = scope.spawn(|| {
                let mut made: Vec<(bool, Truth)> = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    let after = begun.load(Ordering::Relaxed);
                    let work = || {
                        let full = Full::listen();
                        full.refuse(2);
                        full.truth()
                    };
                    let one = netns::fresh(work).unwrap();
                    // Was its whole lifetime within the run?
                    let whole = after && !ends.load(Ordering::Relaxed);
                    within.fetch_add(usize::from(whole), Ordering::Relaxed);
                    made.push((whole, one));
                }
                made
            });
            let run = Tracer::start(&["0.2", "-P", PORT_TEXT], LIMIT).and_then(|tracer| {
                begun.store(true, Ordering::Relaxed);
                old.refuse(3);
                let enough = || Ok(within.load(Ordering::Relaxed) >= 6);
                wait_until("namespaces within the run", LIMIT, enough)?;
                ends.store(true, Ordering::Relaxed);
                tracer.stop(LIMIT)
            });
            ends.store(true, Ordering::Relaxed);
            (run.unwrap(), churn.join().unwrap())
        });
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert_close(seen_at(&run, before.socket).unwrap_or(0), 3, "the old one");
        let hidden = end(&run)["drops_possibly_uncounted"].as_u64().unwrap();
        let mut later = 0;
        for (within, truth) in &made {
            let seen = seen_at(&run, truth.socket).unwrap_or(0);
            assert!(seen <= truth.overflows, "{seen}, {truth:?}");
            if *within {
                later += 1;
                assert_close(seen, truth.overflows, "made after the start");
            }
        }
        assert!(later >= 6, "{later} of {}", made.len());
        let _ = writeln!(stderr(), "{} made, {later} after the start, {hidden} hidden", made.len());
        for line in &run.lines {
            if let Some((kernel, seen)) = counted(line) {
                assert!(seen <= kernel && kernel - seen <= hidden + blind::slack(), "{}", line.raw);
            }
        }
    });
}

//! What becomes of refused clients: admitted is who is still there when the server accepts its
//! connection. Provoked by crafted packets, so that the truth is known of each client.

use backlog_tests::packets::Truth;

use super::blind;
use super::compare::assert_as_sent;
use super::help::{Part, in_guest, trace_packets};

/// The counts of clients, by what became of them.
const OUTCOMES: [&str; 5] = ["admitted", "gave_up", "reset", "trying", "unknown"];

/// Each client is in one of the counts.
fn assert_outcomes(part: &Part<Truth>, expected: &[(&str, u64)]) {
    let Part { name, missed, .. } = part;
    let drops = &part.summary().drops;
    let told: Vec<(&str, u64)> = OUTCOMES.iter().map(|one| (*one, drops.of(one))).collect();
    let sum: u64 = told.iter().map(|(_, count)| count).sum();
    assert_eq!(Some(sum), drops.clients, "{name}: {told:?}");
    for (outcome, count) in expected {
        blind::assert_count(drops.of(outcome), *count, *missed, &format!("{name}: {outcome}"));
    }
}

#[test]
fn a_fin_is_no_return_and_a_reset_is_an_end() {
    in_guest(|| {
        let plays = ["v4", "v6"].map(|family| {
            ["cookie-returns", "abort-on-overflow"]
                .map(|play| format!("{play} --family {family} --current-netns"))
        });
        let plays = plays.concat();
        let variants: Vec<_> = plays.iter().map(|play| (play.as_str(), play.clone())).collect();
        let batch = trace_packets(&variants);
        for part in &batch.parts {
            assert_as_sent(part);
            if part.name.starts_with("cookie") {
                assert_outcomes(part, &[("admitted", 2), ("gave_up", 2), ("believing", 2)]);
            } else {
                let refused = part.truth.clients.len() as u64;
                assert_outcomes(part, &[("reset", refused), ("admitted", 0), ("trying", 0)]);
            }
        }
    });
}

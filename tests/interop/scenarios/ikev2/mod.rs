//! IKEv2 with real peers, beyond what a negotiation needs: rekeys under load, peers that vanish, bad networks,
//! and every mismatch.

mod cookies;
mod daemons;
mod faults;
mod fragments;
mod liveness;
mod nat;
mod rekeys;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let kinds = [
        rekeys::scenarios(),
        daemons::scenarios(),
        liveness::scenarios(),
        nat::scenarios(),
        fragments::scenarios(),
        cookies::scenarios(),
        faults::scenarios(),
    ];
    kinds.into_iter().flatten().collect()
}

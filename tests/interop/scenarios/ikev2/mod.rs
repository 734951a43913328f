//! IKEv2 with real peers, beyond what a negotiation needs: rekeys under load, peers that vanish, bad networks.

mod rekeys;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [rekeys::scenarios()].into_iter().flatten().collect()
}

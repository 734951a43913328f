//! All scenarios, one folder per kind.

mod bad_input;
mod baseline;
mod certificates;
mod control;
mod esplanade;
mod fail_closed;
mod families;
mod flood;
mod ikev2;
mod linux;
mod malformed;
mod packet;
mod peer_config;
mod restart;
mod static_keys;
mod strongswan;
mod terminal;
mod vrf;

use crate::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    let kinds = [
        baseline::scenarios(),
        esplanade::scenarios(),
        strongswan::scenarios(),
        certificates::scenarios(),
        ikev2::scenarios(),
        linux::scenarios(),
        fail_closed::scenarios(),
        restart::scenarios(),
        bad_input::scenarios(),
        terminal::scenarios(),
        vrf::scenarios(),
        static_keys::scenarios(),
        packet::scenarios(),
        peer_config::scenarios(),
        malformed::scenarios(),
        flood::scenarios(),
    ];
    kinds.into_iter().flatten().collect()
}

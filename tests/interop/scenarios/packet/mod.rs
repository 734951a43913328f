//! What becomes of every kind of packet: sizes, fragments, families, errors.

mod after;
mod host;
mod ipv6;
mod mtu;
mod path;
mod probe;
mod seeing;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let kinds = [
        after::scenarios(),
        host::scenarios(),
        mtu::scenarios(),
        probe::scenarios(),
        ipv6::scenarios(),
        seeing::scenarios(),
    ];
    kinds.into_iter().flatten().collect()
}

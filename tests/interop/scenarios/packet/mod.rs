//! What becomes of every kind of packet: sizes, fragments, families, errors.

mod host;
mod ipv6;
mod mtu;
mod path;
mod probe;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [host::scenarios(), mtu::scenarios(), probe::scenarios(), ipv6::scenarios()]
        .into_iter()
        .flatten()
        .collect()
}

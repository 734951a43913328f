//! What becomes of every kind of packet: sizes, fragments, families, errors.

mod host;
mod ipv6;
mod mtu;
mod path;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [host::scenarios(), mtu::scenarios(), ipv6::scenarios()].into_iter().flatten().collect()
}

//! What becomes of every kind of packet: sizes, fragments, families, errors.

mod mtu;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [mtu::scenarios()].into_iter().flatten().collect()
}

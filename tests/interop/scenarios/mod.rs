//! All scenarios, one folder per kind.

mod esplanade;
mod fail_closed;
mod linux;
mod restart;
mod strongswan;

use crate::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    [
        esplanade::scenarios(),
        strongswan::scenarios(),
        linux::scenarios(),
        fail_closed::scenarios(),
        restart::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

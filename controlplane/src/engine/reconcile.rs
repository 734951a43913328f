//! What to do with the SAs that the data plane has when a session begins. Pure.
//!
//! | In the data plane | IKE knows it | Its tunnel is configured | Then |
//! |---|---|---|---|
//! | installed | yes | | adopted: nothing happens to it |
//! | installed | no, nor anything newer | yes | kept until a new child of its tunnel is up, then deleted |
//! | installed | no, but its IKE SA | yes | deleted: the IKE SA has given it up |
//! | installed | no | no | deleted |
//! | reserved | no, nor its IKE SA | | released |
//! | lingering | | | left: it frees itself |
//! | missing | as installed | | replaced |

use std::collections::{BTreeMap, BTreeSet};

use shm::message::{OwnerTag, SaRecord, SaState, Spi};

/// What IKE has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Children, by our inbound SPI; true once they are installed.
    pub children: BTreeMap<u32, bool>,
    /// IKE SAs.
    pub ike_sas: BTreeSet<u64>,
    /// Configured tunnels.
    pub tunnels: BTreeSet<u32>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// SAs that stay as they are.
    pub adopted: BTreeMap<Spi, OwnerTag>,
    /// SAs to delete when a new child of the tunnel is up.
    pub orphans: BTreeMap<u32, Vec<Spi>>,
    /// SAs to delete now.
    pub delete: Vec<Spi>,
    /// Reserved SPIs to give back.
    pub release: Vec<Spi>,
    /// Children that IKE believes installed and that are not there.
    pub missing: Vec<u32>,
}

/// Compares what the data plane has with what IKE knows.
#[must_use]
pub fn reconcile(found: &[SaRecord], known: &Known) -> Verdict {
    let mut verdict = Verdict::default();
    for sa in found {
        let claimed = known.children.contains_key(&sa.spi.value());
        let tunnel = sa.owner.tunnel.0;
        match sa.state {
            SaState::Lingering => {}
            SaState::Reserved => {
                if !claimed && !known.ike_sas.contains(&sa.owner.ike_sa) {
                    verdict.release.push(sa.spi);
                }
            }
            SaState::Installed if claimed => {
                verdict.adopted.insert(sa.spi, sa.owner);
            }
            SaState::Installed => {
                let given_up = known.ike_sas.contains(&sa.owner.ike_sa);
                if given_up || !known.tunnels.contains(&tunnel) {
                    verdict.delete.push(sa.spi);
                } else {
                    verdict.orphans.entry(tunnel).or_default().push(sa.spi);
                }
            }
        }
    }
    let is_there = |spi: &u32| Spi::new(*spi).is_some_and(|spi| verdict.adopted.contains_key(&spi));
    let believed = known.children.iter().filter(|(_, installed)| **installed).map(|(spi, _)| *spi);
    verdict.missing = believed.filter(|spi| !is_there(spi)).collect();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::message::{ConnectionId, SaTotals, Suite, TunnelId};

    fn sa(spi: u32, state: SaState, ike_sa: u64, tunnel: u32) -> SaRecord {
        SaRecord {
            spi: Spi::new(spi).expect("an SPI"),
            state,
            owner: OwnerTag { connection: ConnectionId(1), tunnel: TunnelId(tunnel), ike_sa, generation: 1 },
            tunnel: TunnelId(tunnel),
            suite: Suite { encryption: 20, key_bits: 128, integrity: 0 },
            esn: false,
            replay_window: 1024,
            worker: 0,
            age_ms: 0,
            outer: None,
            outbound: None,
            totals: SaTotals::default(),
        }
    }

    fn known() -> Known {
        Known {
            children: BTreeMap::from([(0x1000, true), (0x1001, true), (0x1002, false)]),
            ike_sas: BTreeSet::from([7]),
            tunnels: BTreeSet::from([1, 2]),
        }
    }

    fn spis(list: &[Spi]) -> Vec<u32> {
        list.iter().map(|spi| spi.value()).collect()
    }

    #[test]
    fn each_row_of_the_table() {
        use SaState::{Installed, Lingering, Reserved};
        let found = [
            sa(0x1000, Installed, 3, 1),  // adopted, though its IKE SA was rekeyed since
            sa(0x2000, Installed, 99, 2), // nobody's: make before break
            sa(0x2001, Installed, 7, 1),  // given up by its IKE SA
            sa(0x2002, Installed, 99, 5), // tunnel no longer configured
            sa(0x3000, Reserved, 99, 1),
            sa(0x3001, Reserved, 7, 1), // an exchange in flight
            sa(0x1002, Reserved, 7, 1), // about to be installed
            sa(0x4000, Lingering, 99, 5),
        ];
        let verdict = reconcile(&found, &known());
        assert_eq!(verdict.adopted.keys().map(|spi| spi.value()).collect::<Vec<_>>(), [0x1000]);
        assert_eq!(verdict.orphans.len(), 1);
        assert_eq!(spis(&verdict.orphans[&2]), [0x2000]);
        assert_eq!(spis(&verdict.delete), [0x2001, 0x2002]);
        assert_eq!(spis(&verdict.release), [0x3000]);
        assert_eq!(verdict.missing, [0x1001]);
    }

    #[test]
    fn an_empty_data_plane_misses_every_installed_child() {
        let verdict = reconcile(&[], &known());
        assert_eq!(verdict, Verdict { missing: vec![0x1000, 0x1001], ..Verdict::default() });
    }
}

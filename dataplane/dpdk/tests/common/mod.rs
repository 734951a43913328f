//! What every test of EAL needs. EAL starts once in a process, so each file of tests/ has one test.

use dpdk::{Eal, EalConfig, LcorePlan, Mempool, MempoolConfig};

/// EAL on this machine as it is, with one worker that may run anywhere, and a small pool.
pub(crate) fn start() -> (Eal, Mempool) {
    let config = EalConfig { memory_mib: 64, lcores: LcorePlan::automatic(1), ..EalConfig::default() };
    let eal = Eal::init(&config).expect("EAL starts as root with and without hugepages");
    let pool = Mempool::new(&eal, "packets", &MempoolConfig { mbufs: 2047, ..MempoolConfig::default() })
        .expect("8 MiB of packets");
    (eal, pool)
}

//! Starting without hugepages, beside a second process that does the same.

use std::path::Path;
use std::process::Command;

use dpdk::{Eal, EalConfig, EalError, Memory, MemoryMode, Mempool, MempoolConfig};

/// Set in the second process.
const CHILD: &str = "DPDK_TEST_CHILD";

#[test]
fn ordinary_pages_suffice_and_two_processes_coexist() {
    let insists = EalConfig { memory: MemoryMode::Hugepages, memory_mib: u32::MAX, ..EalConfig::default() };
    let error = Eal::init(&insists).expect_err("4 PiB of hugepages");
    assert!(matches!(error, EalError::NoHugepages { .. }), "{error}");

    let config = EalConfig { memory: MemoryMode::Ordinary, memory_mib: 64, ..EalConfig::default() };
    let eal = Eal::init(&config).expect("EAL starts without hugepages");
    let directory = format!("/var/run/dpdk/esplanade-{}", std::process::id());
    assert!(!Path::new(&directory).exists(), "EAL's empty directory is removed");
    assert_eq!(*eal.memory(), Memory::Ordinary { mib: 128, free_mib: None });
    let pool = Mempool::new(&eal, "packets", &MempoolConfig { mbufs: 1023, ..MempoolConfig::default() });
    assert_eq!(pool.expect("a pool").available(), 1023);
    assert!(dpdk::tsc_hz() > 100_000_000);
    let before = dpdk::tsc();
    assert!(dpdk::tsc() > before);

    if std::env::var_os(CHILD).is_none() {
        let me = std::env::current_exe().expect("the test's own binary");
        let child = Command::new(me).env(CHILD, "1").output().expect("a second process");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    }
}

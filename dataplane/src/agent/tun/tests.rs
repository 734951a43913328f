#![allow(unsafe_code, reason = "a thread that leaves the network namespace of the others")]

use super::*;

fn addresses(name: &str) -> String {
    let output = std::process::Command::new("ip").args(["-o", "addr", "show", "dev", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// In a network namespace of its own, entered by this test's thread alone.
#[test]
fn devices_follow_what_is_wanted() {
    // SAFETY: the descriptor table stays shared; only this thread sees other network devices.
    let apart = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    if !rustix::process::geteuid().is_root() || apart.is_err() {
        return;
    }
    let own = |address: &str, prefix_len| InterfaceAddress { address: address.parse().unwrap(), prefix_len };
    let mut devices = TunDevices::default();
    let mut wanted = HostAddresses::new();
    wanted.insert(VrfId(7), vec![own("169.254.10.1", 30), own("fd00::1", 64)]);
    assert_eq!(devices.set(&wanted), 0);
    assert!(addresses("esplanade7").contains("169.254.10.1/30"));
    assert!(devices.fd().is_some());
    wanted.insert(VrfId(7), vec![own("169.254.10.5", 30)]);
    assert_eq!(devices.set(&wanted), 0);
    let shown = addresses("esplanade7");
    assert!(shown.contains("169.254.10.5/30") && !shown.contains("169.254.10.1/30"), "{shown}");
    assert!(!devices.send(VrfId(8), &[0x45; 20]), "no such device");
    devices.set(&HostAddresses::new());
    assert_eq!(addresses("esplanade7"), "");
    assert!(devices.fd().is_none());
}

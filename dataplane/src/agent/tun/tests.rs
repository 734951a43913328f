#![allow(unsafe_code, reason = "a thread that leaves the network namespace of the others")]

use std::net::UdpSocket;

use packet::headers::icmpv4::{IcmpError, MAX_ERROR_LEN, build_error};
use packet::headers::ipv4::Ipv4Repr;
use packet::headers::protocol;

use super::*;

const VRF: VrfId = VrfId(7);
const HOST: [&str; 2] = ["169.254.10.1", "fd00::1"];
/// Where the machine's own default route leads.
const DECOY: VrfId = VrfId(99);

/// Enters a network namespace of this thread's own; false where that is not allowed.
fn apart() -> bool {
    // SAFETY: the descriptor table stays shared; only this thread sees other network devices.
    let apart = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    rustix::process::geteuid().is_root() && apart.is_ok()
}

fn ip(args: &str) -> String {
    let output = std::process::Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn addresses(name: &str) -> String {
    let output = std::process::Command::new("ip").args(["-o", "addr", "show", "dev", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn own(address: &str, prefix_len: u8) -> InterfaceAddress {
    InterfaceAddress { address: address.parse().unwrap(), prefix_len }
}

fn rules() -> String {
    ip("rule show") + &ip("-6 rule show")
}

/// Sends a datagram from each address to one that no route of the machine but the default names.
fn send(sockets: &[UdpSocket]) {
    for (socket, far) in sockets.iter().zip(["203.0.113.9:9", "[2001:db8::9]:9"]) {
        // Refused where it may go nowhere.
        let _ = socket.send_to(b"secret", far);
    }
}

/// How many datagrams of [`send`] are among what can be read.
fn secrets(mut read: impl FnMut(&mut [u8]) -> Option<usize>) -> usize {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| read(&mut buffer).map(|len| buffer[..len].ends_with(b"secret")))
        .filter(|secret| *secret)
        .count()
}

/// A machine whose default routes lead to a decoy, with host addresses and a program on each.
struct Machine {
    decoy: Device,
    devices: TunDevices,
    wanted: HostAddresses,
    programs: [UdpSocket; 2],
}

impl Machine {
    fn new() -> Self {
        let mut decoy = Device::open(DECOY).unwrap();
        decoy.set_addresses(&[own("192.0.2.1", 24), own("2001:db8:1::1", 64)]).unwrap();
        ip("link set lo up");
        ip("route add default dev esplanade99");
        ip("-6 route add default dev esplanade99");
        let wanted = HostAddresses::from([(VRF, vec![own(HOST[0], 30), own(HOST[1], 64)])]);
        let mut devices = TunDevices::default();
        assert_eq!(devices.set(&wanted), 0);
        let programs = HOST.map(|host| UdpSocket::bind((host, 0)).unwrap());
        Self { decoy, devices, wanted, programs }
    }

    /// Where datagrams from both addresses go: to the data plane, and by the default route.
    fn sent(&mut self) -> (usize, usize) {
        send(&self.programs);
        let ours = secrets(|buffer| self.devices.receive(buffer).map(|(_, len)| len));
        (ours, secrets(|buffer| rustix::io::read(&self.decoy, buffer).ok()))
    }
}

#[test]
fn nothing_from_a_host_address_takes_the_default_route() {
    if !apart() {
        return;
    }
    let mut machine = Machine::new();
    assert_eq!(machine.sent(), (2, 0));
    ip("rule flush protocol 69");
    ip("-6 rule flush protocol 69");
    let (_, leaked) = machine.sent();
    assert!(leaked > 0, "the decoy is a way out");
    machine.devices.set(&machine.wanted);
    assert_eq!(machine.sent(), (2, 0), "made again");
    ip("link del esplanade7");
    assert_eq!(machine.sent(), (0, 0), "without the device, nowhere");
    machine.devices.set(&machine.wanted);
    assert_eq!(machine.sent(), (2, 0));
}

#[test]
fn a_dead_data_plane_leaves_no_way_out_and_the_next_takes_over() {
    if !apart() {
        return;
    }
    let mut machine = Machine::new();
    machine.devices = TunDevices::default();
    assert_eq!(machine.sent(), (0, 0), "dead");
    ip("-6 rule flush protocol 69");
    assert_eq!(
        machine.sent(),
        (0, 1),
        "the kernel sends from an IPv6 address that is gone: so the rules stay"
    );
    let one = HostAddresses::from([(VRF, vec![own(HOST[0], 30)])]);
    assert_eq!(machine.devices.set(&one), 0);
    assert!(rules().contains("169.254.10.1") && !rules().contains("fd00::1"), "{}", rules());
    machine.devices.set(&HostAddresses::new());
    assert!(!rules().contains("69") && !rules().contains("esplanade"), "{}", rules());
}

#[test]
fn what_is_bound_to_the_device_alone_goes_there() {
    if !apart() {
        return;
    }
    let _machine = Machine::new();
    for get in ["route get 203.0.113.9 oif esplanade7", "-6 route get 2001:db8::9 oif esplanade7"] {
        let shown = ip(get);
        assert!(shown.contains("table 1000000007"), "{shown}");
    }
}

#[test]
fn the_kernel_believes_an_error_from_the_address_that_is_nobodys() {
    if !apart() {
        return;
    }
    let mut machine = Machine::new();
    send(&machine.programs[..1]);
    let mut buffer = [0; 2048];
    let sent =
        std::iter::from_fn(|| machine.devices.receive(&mut buffer).map(|(_, len)| buffer[..len].to_vec()))
            .find(|packet| packet.ends_with(b"secret"))
            .unwrap();
    let mut error = [0; MAX_ERROR_LEN];
    let too_big = IcmpError::FragmentationNeeded { mtu: 1300 };
    let len = build_error(too_big, &sent, [192, 0, 0, 8].into(), &mut error).unwrap();
    assert!(machine.devices.send(VRF, &error[..len]));
    let shown = ip("route get 203.0.113.9 from 169.254.10.1");
    assert!(shown.contains("mtu 1300"), "{shown}");
}

#[test]
fn answers_pass_the_reverse_path_filter() {
    if !apart() {
        return;
    }
    let mut machine = Machine::new();
    for of in ["all", "esplanade7"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter"), "1").unwrap();
    }
    let [program, _] = &machine.programs;
    let ip = Ipv4Repr {
        tos: 0,
        identification: 0,
        dont_fragment: true,
        ttl: 64,
        protocol: protocol::UDP,
        src: [203, 0, 113, 9].into(),
        dst: [169, 254, 10, 1].into(),
        payload_len: 14,
    };
    let [high, low] = program.local_addr().unwrap().port().to_be_bytes();
    let answer = [&ip.emit()[..], &[0, 9, high, low, 0, 14, 0, 0], b"secret"].concat();
    assert!(machine.devices.send(VRF, &answer));
    program.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    assert_eq!(program.recv_from(&mut [0; 64]).unwrap().0, 6);
}

#[test]
fn devices_follow_what_is_wanted() {
    if !apart() {
        return;
    }
    let mut devices = TunDevices::default();
    let mut wanted = HostAddresses::new();
    wanted.insert(VRF, vec![own(HOST[0], 30), own(HOST[1], 64)]);
    assert_eq!(devices.set(&wanted), 0);
    assert!(addresses("esplanade7").contains("169.254.10.1/30"));
    assert!(devices.fd().is_some());
    wanted.insert(VRF, vec![own("169.254.10.5", 30)]);
    assert_eq!(devices.set(&wanted), 0);
    let shown = addresses("esplanade7");
    assert!(shown.contains("169.254.10.5/30") && !shown.contains("169.254.10.1/30"), "{shown}");
    assert!(!devices.send(VrfId(8), &[0x45; 20]), "no such device");
    devices.set(&HostAddresses::new());
    assert_eq!(addresses("esplanade7"), "");
    assert!(devices.fd().is_none());
}

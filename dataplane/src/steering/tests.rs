//! Plans for the devices there are, the hash of the specification, and the life of rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dpdk::{FlowMatch, HashFields, HashTable};
use packet::esp::{Encap, OuterEndpoints};
use packet::{PortId, Spi, VrfId};

use super::hash::{Prophet, toeplitz};
use super::plan::{Form, Found, Obstacle, Path, Pattern, RuleForms, Steering, believed, hashes};
use super::rules::{Peer, Rules, Steer};
use super::testing::{FakeDevices, both_kinds};

const NONE: HashFields = HashFields::NONE;
const PLAIN: HashFields = HashFields { addresses: true, rest: true, ports: true, ..NONE };

/// What a driver offers to hash, whether it takes rules by SPI, by ports, and whether rules spread ESP.
struct Device {
    driver: &'static str,
    offered: HashFields,
    by_spi: bool,
    in_udp: Option<Pattern>,
    spread: bool,
}

impl Device {
    /// The plan for it if it keeps all that it promises.
    fn plan(&self) -> Steering {
        self.plan_with(hashes(believed(self.driver, self.offered))[0])
    }

    fn plan_with(&self, hashing: HashFields) -> Steering {
        let form = |pattern| Some(Form { pattern, whole: true });
        let offered = believed(self.driver, self.offered);
        Steering::new(Found {
            driver: self.driver.to_owned(),
            queues: 4,
            offered,
            hashing,
            hash_refused: (hashing != hashes(offered)[0]).then(|| "no".to_owned()),
            rules: RuleForms {
                native: [if self.by_spi { form(Pattern::Spi) } else { None }; 2],
                in_udp: [self.in_udp.and_then(form); 2],
            },
            rule_refused: (!self.by_spi).then(|| "item not supported".to_owned()),
            spread_by_spi: self.spread && !self.by_spi,
        })
    }
}

/// What the drivers say of themselves: read in the sources of DPDK 22.11 and 24.11, of bnxt only in those of
/// 24.11. No device was asked.
const DEVICES: &[(Device, Path, HashFields)] = &[
    // ice_ethdev.h ICE_RSS_OFFLOAD_ALL; ice_fdir_filter.c has eth/ipv4|ipv6/esp and eth/ipv4|ipv6/udp/esp.
    (
        Device { driver: "net_ice", offered: PLAIN, by_spi: true, in_udp: Some(Pattern::Spi), spread: true },
        Path::SpiRules,
        HashFields { ports: false, ..PLAIN },
    ),
    // The same with a package that has no ESP in its flow director: ice_hash.c spreads it by rule.
    (
        Device {
            driver: "net_ice",
            offered: PLAIN,
            by_spi: false,
            in_udp: Some(Pattern::Ports),
            spread: true,
        },
        Path::SpiHash,
        HashFields { ports: false, ..PLAIN },
    ),
    // i40e_ethdev.h I40E_RSS_OFFLOAD_ALL has no RTE_ETH_RSS_IPV4; ESP needs a DDP profile (i40e_flow.c).
    (
        Device {
            driver: "net_i40e",
            offered: HashFields { addresses: false, ..PLAIN },
            by_spi: false,
            in_udp: Some(Pattern::Ports),
            spread: false,
        },
        Path::AddressHash,
        HashFields { rest: true, ports: true, ..NONE },
    ),
    // ixgbe_ethdev.h IXGBE_RSS_OFFLOAD_ALL; ixgbe_flow.c has UDP, and ESP only for inline cryptography.
    (
        Device {
            driver: "net_ixgbe",
            offered: HashFields { rest: false, ..PLAIN },
            by_spi: false,
            in_udp: Some(Pattern::Ports),
            spread: false,
        },
        Path::AddressHash,
        HashFields { addresses: true, ..NONE },
    ),
    // mlx5_defs.h MLX5_RSS_HF_MASK; mlx5_flow_dv.c takes ESP behind IP, but not behind UDP.
    (
        Device {
            driver: "mlx5_pci",
            offered: HashFields { spi: true, ..PLAIN },
            by_spi: true,
            in_udp: Some(Pattern::Ports),
            spread: true,
        },
        Path::SpiRules,
        HashFields { addresses: true, rest: true, spi: true, ..NONE },
    ),
    // bnxt_ethdev.c of 24.11: RTE_ETH_RSS_LEVEL_MASK, and RTE_ETH_RSS_ESP where the firmware has it.
    (
        Device {
            driver: "net_bnxt",
            offered: HashFields { innermost: true, ..PLAIN },
            by_spi: false,
            in_udp: Some(Pattern::Ports),
            spread: false,
        },
        Path::InnerHash,
        HashFields { addresses: true, rest: true, innermost: true, ..NONE },
    ),
    // virtio_ethdev.c: by VIRTIO_NET_F_RSS of the host, without rte_flow; then without it.
    (
        Device { driver: "net_virtio", offered: PLAIN, by_spi: false, in_udp: None, spread: false },
        Path::AddressHash,
        HashFields { ports: false, ..PLAIN },
    ),
    (
        Device { driver: "net_virtio", offered: NONE, by_spi: false, in_udp: None, spread: false },
        Path::Elsewhere,
        NONE,
    ),
    // tap_flow.c: UDP and TCP behind IP, no ESP; the hash is the kernel's.
    (
        Device {
            driver: "net_tap",
            offered: PLAIN,
            by_spi: false,
            in_udp: Some(Pattern::Ports),
            spread: false,
        },
        Path::Elsewhere,
        NONE,
    ),
    (
        Device { driver: "net_af_packet", offered: NONE, by_spi: false, in_udp: None, spread: false },
        Path::Elsewhere,
        NONE,
    ),
    // rte_eth_null.c promises RTE_ETH_RSS_PROTO_MASK; net_ring promises nothing.
    (
        Device {
            driver: "net_null",
            offered: HashFields { spi: true, ..PLAIN },
            by_spi: false,
            in_udp: None,
            spread: false,
        },
        Path::HandOver,
        NONE,
    ),
    (
        Device { driver: "net_ring", offered: NONE, by_spi: false, in_udp: None, spread: false },
        Path::HandOver,
        NONE,
    ),
];

#[test]
fn every_driver_gets_the_best_that_it_has() {
    for (device, path, hashing) in DEVICES {
        let plan = device.plan();
        assert_eq!((plan.path, plan.hashing), (*path, *hashing), "{}", device.driver);
        println!("{}: {plan}", device.driver);
    }
}

#[test]
fn ports_are_hashed_only_where_udp_would_else_not_be_spread() {
    for (device, ..) in DEVICES {
        for fields in hashes(believed(device.driver, device.offered)) {
            assert_eq!(fields.ports, !fields.addresses && fields.rest, "{}: {fields:?}", device.driver);
        }
    }
}

#[test]
fn what_is_refused_gives_way_and_is_said() {
    let mlx5 = &DEVICES.iter().find(|(device, ..)| device.driver == "mlx5_pci").expect("listed").0;
    let plan =
        Device { by_spi: false, spread: false, ..*mlx5 }.plan_with(HashFields { ports: false, ..PLAIN });
    assert_eq!(plan.path, Path::AddressHash);
    let refused = |reason: &str| Obstacle::Refused(reason.to_owned());
    let obstacles = [
        (Path::SpiRules, refused("item not supported")),
        (Path::SpiHash, refused("no")),
        (Path::InnerHash, Obstacle::NotOffered),
    ];
    assert_eq!(plan.obstacles, obstacles);
    assert_eq!(
        plan.to_string(),
        "address-hash: packets are spread by their addresses, workers hand over the rest; rules for ESP in UDP over \
         IPv4 by ports, ESP in UDP over IPv6 by ports; spi-rules refused (item not supported); spi-hash refused \
         (no); the driver has no inner-hash"
    );
}

#[test]
fn one_worker_needs_nothing() {
    let found = Found {
        driver: "net_ice".to_owned(),
        queues: 1,
        offered: PLAIN,
        hashing: NONE,
        hash_refused: None,
        rules: RuleForms::default(),
        rule_refused: None,
        spread_by_spi: false,
    };
    assert_eq!(Steering::new(found).to_string(), "one-worker");
}

/// The key of "Verifying the RSS hash calculation" (Microsoft, Windows Driver Kit).
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Source and destination with ports, the hash with ports, and the hash of the addresses.
type Verified = ([u8; 4], u16, [u8; 4], u16, u32, u32);

const IPV4: [Verified; 5] = [
    ([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, 0x51cc_c178, 0x323e_8fc2),
    ([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, 0xc626_b0ea, 0xd718_262a),
    ([24, 19, 198, 95], 12898, [12, 22, 207, 184], 38024, 0x5c2b_394a, 0xd2d0_a5de),
    ([38, 27, 205, 30], 48228, [209, 142, 163, 6], 2217, 0xafc7_327f, 0x8298_9176),
    ([153, 39, 163, 191], 44251, [202, 188, 127, 2], 1303, 0x10e8_28a2, 0x5d18_09c5),
];

#[test]
fn the_hash_is_that_of_the_specification() {
    for (source, source_port, destination, port, with_ports, addresses) in IPV4 {
        let mut input = [source, destination].concat();
        assert_eq!(toeplitz(&KEY, &input), addresses, "{source:?}");
        input.extend(source_port.to_be_bytes());
        input.extend(port.to_be_bytes());
        assert_eq!(toeplitz(&KEY, &input), with_ports, "{source:?}");
    }
    let ipv6 = |source: &str, destination: &str| {
        let octets = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
        toeplitz(&KEY, &[octets(source), octets(destination)].concat())
    };
    assert_eq!(ipv6("3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1"), 0x2cc1_8cd5);
    assert_eq!(ipv6("3ffe:501:8::260:97ff:fe40:efab", "ff02::1"), 0x0f0c_461c);
    assert_eq!(ipv6("3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf"), 0x4b61_e985);
}

fn outer(remote: [u8; 4], local: [u8; 4], encap: Encap) -> OuterEndpoints {
    let address = |octets: [u8; 4]| IpAddr::from(Ipv4Addr::from(octets));
    OuterEndpoints { vrf: VrfId(0), remote: address(remote), local: address(local), encap, keepalive_secs: 0 }
}

fn spi(value: u32) -> Spi {
    Spi::new(value).expect("an SPI")
}

#[test]
fn a_queue_is_foretold_by_what_is_hashed() {
    let queues: Vec<u16> = (0..128).map(|entry| entry % 4).collect();
    let table = HashTable { key: KEY.to_vec(), queues };
    let prophet = |fields, spi_alone| Prophet { table: table.clone(), fields, spi_alone };
    let (remote, remote_port, local, local_port, with_ports, addresses) = IPV4[0];
    let native = outer(remote, local, Encap::Native);
    let in_udp = outer(remote, local, Encap::Udp { local_port, remote_port });
    let queue = |hash: u32| u16::try_from(hash % 4).ok();
    let by_addresses = prophet(HashFields { addresses: true, ..NONE }, false);
    assert_eq!(by_addresses.queue(spi(0x1000), &native), queue(addresses));
    assert_eq!(by_addresses.queue(spi(0x1000), &in_udp), queue(addresses));
    let like_i40e = prophet(HashFields { rest: true, ports: true, ..NONE }, false);
    assert_eq!(like_i40e.queue(spi(0x1000), &native), queue(addresses));
    assert_eq!(like_i40e.queue(spi(0x1000), &in_udp), queue(with_ports));
    // An SPI where the ports would be.
    let as_spi = u32::from(remote_port) << 16 | u32::from(local_port);
    let like_mlx5 = prophet(HashFields { addresses: true, spi: true, ..NONE }, false);
    assert_eq!(like_mlx5.queue(spi(as_spi), &native), queue(with_ports));
    let like_ice = prophet(HashFields { addresses: true, ..NONE }, true);
    assert_eq!(like_ice.queue(spi(as_spi), &native), queue(toeplitz(&KEY, &as_spi.to_be_bytes())));
    assert_eq!(prophet(HashFields { rest: true, ..NONE }, false).queue(spi(0x1000), &in_udp), None);
}

fn peer(spi: Spi, encap: Encap) -> Peer {
    Peer { spi, outer: outer([192, 0, 2, 2], [192, 0, 2, 1], encap), ports: vec![PortId(0)] }
}

const IN_UDP: Encap = Encap::Udp { local_port: 4500, remote_port: 4500 };

fn rules(room: usize) -> (Rules<FakeDevices>, FakeDevices) {
    let devices = FakeDevices::default();
    devices.room.set(room);
    (Rules::new(devices.clone(), [(both_kinds(), None)]), devices)
}

#[test]
fn a_rule_lives_as_long_as_its_sa() {
    let (mut rules, devices) = rules(100);
    rules.lead(peer(spi(0x1000), Encap::Native), 2);
    assert_eq!(rules.figures(), (0, 0), "drivers are called later");
    assert_eq!(rules.work(), 1);
    let live = || devices.live.borrow().clone();
    let what = FlowMatch::Esp { spi: 0x1000, ipv6: false };
    assert_eq!(live(), [((PortId(0), what), 2)].into());
    rules.lead(peer(spi(0x1000), Encap::Native), 2);
    assert_eq!(rules.work(), 0, "it is led there already");
    // Behind a NAT now, and back before its turn came.
    rules.lead(peer(spi(0x1000), IN_UDP), 2);
    rules.lead(peer(spi(0x1000), Encap::Native), 2);
    while rules.work() > 0 {}
    assert_eq!((live().len(), rules.figures()), (1, (1, 0)));
    rules.release(spi(0x1000));
    rules.release(spi(0x1000));
    rules.work();
    assert!(live().is_empty());
}

#[test]
fn sas_of_one_peer_in_udp_share_a_rule() {
    let (mut rules, devices) = rules(100);
    let (old, new) = (peer(spi(0x1000), IN_UDP), peer(spi(0x2000), IN_UDP));
    assert_eq!(rules.foretell(&old), None, "it will be led wherever its owner is");
    rules.lead(old, 3);
    rules.work();
    assert_eq!(rules.foretell(&new), Some(3), "the rekeyed one comes to the same worker");
    rules.lead(new, 3);
    rules.work();
    rules.release(spi(0x1000));
    rules.work();
    assert_eq!(devices.live.borrow().len(), 1);
    rules.release(spi(0x2000));
    rules.work();
    assert!(devices.live.borrow().is_empty());
}

#[test]
fn a_full_device_is_not_asked_until_a_rule_is_gone() {
    let (mut rules, devices) = rules(2);
    for number in 1..=40 {
        rules.lead(peer(spi(0x1000 * number), Encap::Native), 1);
    }
    assert_eq!(rules.work(), 16, "few at a time");
    while rules.work() > 0 {}
    assert_eq!(rules.figures(), (2, 38));
    rules.release(spi(0x1000));
    rules.lead(peer(spi(0xffff_0000), Encap::Native), 1);
    while rules.work() > 0 {}
    assert_eq!(rules.figures(), (2, 38));
    assert_eq!(devices.live.borrow().len(), 2);
}

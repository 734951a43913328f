//! The initiator is behind a NAT (RFC 7296 section 2.23).

use ike::{Command, Encap, Event};
use sim::{Link, Scenario, Side, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn behind_nat(seed: u64) -> World {
    let mut world = World::new(Scenario::modern().behind_nat(), Link::GOOD, seed);
    world.settle(MINUTE);
    world
}

#[test]
fn ports_float_and_esp_goes_in_udp() {
    let mut world = behind_nat(1);
    let [a, b] = world.ike_pair().unwrap();
    assert_eq!((a.local.port(), a.remote.port(), b.local.port()), (4500, 4500, 4500));
    assert_eq!((a.nat, b.nat), ((true, false), (false, true)));
    for side in Side::BOTH {
        for sa in world.gateway(side).data_plane.live().values() {
            assert!(matches!(sa.install.outer.encap, Encap::Udp { local_port: 4500, .. }));
            assert_eq!(
                sa.install.outer.keepalive_secs > 0,
                side == Side::A,
                "who is behind it keeps it open"
            );
        }
    }
    world.start_traffic();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.lost_packets, 0);
    // Rekeys stay on the new ports.
    for side in Side::BOTH {
        let pair = world.ike_pair().unwrap();
        world.command(side, Command::RekeyIke(pair[side.0].id));
        world.run_for(MINUTE);
        world.settle(MINUTE);
        let spi = world.child_pairs().unwrap()[0][side.0].spi;
        world.command(side, Command::RekeyChild(spi));
        world.run_for(MINUTE);
        world.settle(MINUTE);
    }
    assert_eq!(world.lost_packets, 0);
}

/// The NAT forgets its translations: the tunnel follows the next authentic packet.
#[test]
fn a_rebinding_is_followed() {
    for traffic in [true, false] {
        let mut world = behind_nat(2);
        let before = world.ike_pair().unwrap()[1].remote;
        world.rebind_nat(Side::A);
        if traffic {
            world.start_traffic();
        }
        world.run_for(2 * MINUTE);
        world.stop_traffic();
        world.run_for(Duration::from_secs(1));
        world.settle(MINUTE);
        assert_ne!(world.ike_pair().unwrap()[1].remote, before, "B knows the new port");
        let moved = |e: &Event| matches!(e, Event::PeerMoved { .. });
        assert!(world.count_events(Side::B, moved) >= 1);
        assert_eq!(world.count_events(Side::A, moved), 0);
        let lost = world.lost_packets;
        assert!(lost <= 2, "{lost} packets were lost");
        world.start_traffic();
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.lost_packets, lost);
    }
}

#[test]
fn a_bad_network_behind_a_nat() {
    for seed in 0..10 {
        let mut world = World::new(Scenario::modern().behind_nat(), Link::BAD, seed);
        for _ in 0..5 {
            world.run_for(Duration::from_secs(40));
            world.rebind_nat(Side::A);
        }
        world.link = Link::GOOD;
        world.run_for(3 * MINUTE);
        let settled = world.run_until(10 * MINUTE, |w| w.is_settled(1));
        assert!(settled, "seed {seed}: {}", world.report());
    }
}

//! Hundreds of tunnels of one gateway: all come up at once, rekey again and again, and leave nothing behind.

use ike::{Event, Gone, Identity};
use sim::{Link, Scenario, Side, Topology, World};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const TUNNELS: u16 = 200;
const LIFETIME: Duration = Duration::from_secs(300);
const GENERATIONS: u32 = 3;

/// A tunnel from the hub to a gateway of its own.
fn spoke(number: u16) -> Scenario {
    let [high, low] = number.to_be_bytes();
    let address = IpAddr::from(Ipv4Addr::new(198, 18, high, low));
    let mut scenario = Scenario::modern().both(|connection| {
        connection.ike_lifetime = Some(LIFETIME * 2);
        connection.child.lifetime = Some(LIFETIME);
        connection.dpd_timeout = Some(Duration::from_secs(120));
    });
    let [hub, spoke] = &mut scenario.connections;
    hub.key.tunnel = u32::from(number) + 1;
    hub.key.connection = hub.key.tunnel;
    (hub.remote, hub.remote_id) = (Some(address), Identity::Address(address));
    (spoke.local, spoke.local_id) = (address, Identity::Address(address));
    scenario
}

#[test]
fn hundreds_of_tunnels_rekey_in_time_and_leave_nothing_behind() {
    let spokes = (0..TUNNELS).map(spoke).collect();
    let mut world = World::new(Topology::star(ike::Config::default(), spokes), Link::GOOD, 1);
    world.run_for(Duration::from_secs(60));
    for generation in 0..=GENERATIONS {
        let load = world.gateway(Side::A).manager.load();
        let tunnels = usize::from(TUNNELS);
        // A few are being replaced at any moment.
        let most = tunnels + tunnels / 4;
        assert!((tunnels..=most).contains(&load.children), "generation {generation}: {load:?}");
        assert!((tunnels..=most).contains(&load.ike_sas), "generation {generation}: {load:?}");
        assert!(load.timers <= most && load.half_open == 0, "generation {generation}: {load:?}");
        world.run_for(LIFETIME);
    }
    for side in world.sides().collect::<Vec<_>>() {
        let lost = |event: &Event| match event {
            Event::IkeDeleted { why, .. } | Event::ChildDeleted { why, .. } => {
                matches!(why, Gone::Expired | Gone::PeerDead | Gone::Failed)
            }
            event => matches!(event, Event::Failed(_)),
        };
        assert_eq!(world.count_events(side, lost), 0, "{side:?}");
    }
    let rekeyed = |event: &Event| matches!(event, Event::ChildEstablished { replaces: Some(_), .. });
    let rekeys = world.count_events(Side::A, rekeyed);
    assert!(rekeys >= usize::from(TUNNELS) * 3, "{rekeys} rekeys");
}

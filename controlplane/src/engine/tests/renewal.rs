//! What a changed connection does to its SAs, and to those of others: as the plan said.

use api::server::Follower;
use api::{EventFilter, Impact};
use ike::IkeSaStatus;

use super::events::{kinds, told};
use super::*;

/// Two tunnels of side 1 and 2, the first with further parameters.
fn with(side: u8, more: &str) -> String {
    let first = "customer-gateway = \"peer\"\n";
    dual(side, side == 1).replacen(first, &format!("{first}{more}\n"), 1)
}

/// Both tunnels are up; with what happens from now on at side 1.
fn up() -> (World, Follower) {
    let mut world = World::new();
    put(&mut world, [0, 1], "");
    world.pass(5);
    world.traffic();
    world.pass(5);
    assert_eq!(world.gateways[0].plane.installed().len(), 2);
    let feed = world.gateways[0].engine.teller.feed();
    (world, feed.follow(EventFilter::default(), None).expect("followed"))
}

/// Puts the parameters of the first tunnel into force at some sides.
fn put<const N: usize>(world: &mut World, sides: [usize; N], more: &str) {
    let now = world.now;
    for (side, number) in sides.into_iter().map(|side| (side, if side == 0 { 1 } else { 2 })) {
        world.gateways[side].reload(&with(number, more), now);
    }
}

fn flow(world: &mut World, secs: u64) {
    for _ in 0..secs {
        world.pass(1);
        world.traffic();
    }
}

/// The IKE SA of a tunnel of side 1.
fn ike_sa(world: &World, tunnel: usize) -> IkeSaStatus {
    let engine = &world.gateways[0].engine;
    let key = crate::convert::key(&engine.document().plan.tunnels[tunnel]);
    let mut all: Vec<_> = engine.manager.ike_sas_of(key).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn plan(world: &World, more: &str) -> Impact {
    let changed = diff(world, with(1, more));
    changed.iter().find(|(name, ..)| name == "connection site").expect("the connection").1
}

#[test]
fn changed_parameters_of_esp_come_with_a_rekey_of_that_child_only() {
    let (mut world, mut follower) = up();
    let [before, other] = [0, 1].map(|tunnel| ike_sa(&world, tunnel));
    let more = "ipsec = { encryption = \"aes256\", authentication = \"sha256\", pfs = \"group14\" }";
    assert_eq!(plan(&world, more), Impact::Rekey);
    put(&mut world, [0, 1], more);
    flow(&mut world, 20);
    assert_eq!(ike_sa(&world, 1), IkeSaStatus { ..other });
    let after = ike_sa(&world, 0);
    assert_eq!((after.id, after.children.len()), (before.id, 1));
    assert_ne!(after.children[0].suite, before.children[0].suite);
    let told = told(&mut follower);
    let told = kinds(&told);
    assert!(told.contains(&"child-sa-rekeyed"), "{told:?}");
    assert!(told.iter().all(|kind| kind.starts_with("child-sa")), "never down: {told:?}");
}

#[test]
fn changed_parameters_of_ike_come_with_a_rekey_of_that_ike_sa_and_children_stay() {
    let (mut world, mut follower) = up();
    let before = [0, 1].map(|tunnel| ike_sa(&world, tunnel));
    let more = "ike = { dh-group = \"group14\" }";
    assert_eq!(plan(&world, more), Impact::Rekey);
    put(&mut world, [0, 1], more);
    flow(&mut world, 20);
    let after = [0, 1].map(|tunnel| ike_sa(&world, tunnel));
    assert_eq!((after[1].id, &after[1].children), (before[1].id, &before[1].children));
    assert_ne!((after[0].id, after[0].suite), (before[0].id, before[0].suite));
    assert_eq!(after[0].children[0].spi, before[0].children[0].spi);
    let told = told(&mut follower);
    assert!(kinds(&told).iter().all(|kind| kind.starts_with("ike-sa")), "{told:?}");
}

#[test]
fn what_the_peer_does_not_take_yet_changes_when_it_does() {
    let (mut world, mut follower) = up();
    let before = ike_sa(&world, 0).children[0].spi;
    let more = "ipsec = { encryption = \"aes256\", authentication = \"sha256\" }";
    put(&mut world, [0], more);
    flow(&mut world, 30);
    assert_eq!(ike_sa(&world, 0).children[0].spi, before, "the old one stays");
    put(&mut world, [1], more);
    flow(&mut world, 20);
    assert_ne!(ike_sa(&world, 0).children[0].spi, before);
    let told = told(&mut follower);
    assert!(!kinds(&told).contains(&"tunnel-down"), "{told:?}");
}

#[test]
fn who_the_ends_are_is_negotiated_anew_and_the_other_tunnel_stays() {
    let (mut world, mut follower) = up();
    let other = ike_sa(&world, 1);
    let now = world.now;
    for (side, number) in [(0, 1), (1, 2)] {
        let text = with(number, "").replacen("psk = \"sesame\"", "psk = \"open-sesame\"", 1);
        world.gateways[side].reload(&text, now);
    }
    flow(&mut world, 20);
    let after = ike_sa(&world, 1);
    assert_eq!((after.id, after.children), (other.id, other.children));
    let told = told(&mut follower);
    assert!(kinds(&told).contains(&"tunnel-down") && kinds(&told).contains(&"tunnel-up"), "{told:?}");
}

//! What the engine tells of SAs and tunnels.

use api::server::Follower;
use api::{Event, EventFilter, Occurrence, Reason};

use super::*;

fn follow(gateway: &Gateway) -> Follower {
    gateway.engine.teller.feed().follow(EventFilter::default(), None).expect("followed")
}

/// What happened since the last look; something has.
pub(super) fn told(follower: &mut Follower) -> Vec<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let text = runtime.block_on(follower.read()).expect("events");
    let text = String::from_utf8(text.to_vec()).expect("text");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("an event")).collect()
}

pub(super) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.what.kind()).collect()
}

#[test]
fn a_tunnel_that_comes_up_is_rekeyed_and_goes_is_told_with_its_name() {
    let mut world = World::new();
    let mut follower = follow(&world.gateways[0]);
    world.pass(2);
    let up = told(&mut follower);
    assert_eq!(kinds(&up), ["child-sa-established", "tunnel-up", "ike-sa-established"]);
    assert!(up.iter().all(|event| (event.connection.as_deref(), event.tunnel) == (Some("site"), Some(1))));
    let [old, _] = world.spis().map(|spi| format!("{spi:08x}"));
    let now = world.now;
    drop(world.gateways[0].act("site", Action::Rekey, Target::Child, now));
    world.pass(1);
    world.traffic();
    world.pass(15);
    let rekeyed: Vec<_> = told(&mut follower).into_iter().map(|event| event.what).collect();
    let spi = format!("{:08x}", world.spis()[0]);
    let replaced = Occurrence::ChildSaDeleted { spi: old.clone(), reason: Reason::Replaced };
    assert_eq!(rekeyed, [Occurrence::ChildSaRekeyed { spi, replaces: old }, replaced]);
    let without = text(1, true);
    let without = &without[..without.find("[[connection]]").expect("a connection")];
    world.gateways[0].reload(without, world.now);
    world.pass(20);
    let gone = told(&mut follower);
    assert_eq!(kinds(&gone), ["child-sa-deleted", "tunnel-down", "ike-sa-deleted"]);
    assert!(gone.iter().all(|event| event.connection.as_deref() == Some("site")), "{gone:?}");
    assert_eq!(gone[1].what, Occurrence::TunnelDown { reason: Reason::Command });
}

#[test]
fn a_failed_negotiation_is_told_with_its_code() {
    let mut world = World::new();
    let mut follower = follow(&world.gateways[0]);
    let now = world.now;
    world.gateways[1].reload(&text(2, false).replace("sesame", "wrong"), now);
    world.pass(3);
    let failed = told(&mut follower);
    let [Event { what: Occurrence::TunnelFailed { code, .. }, connection, .. }, ..] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!((&**code, connection.as_deref()), ("AuthenticationFailed", Some("site")));
}

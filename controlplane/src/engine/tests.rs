//! Two engines, each with a data plane in memory, on one wire with a virtual clock.

use super::*;
use api::server::Call;
use api::{Action, ActionReply, ActionRequest, RecordRequest, Recorded, Target};
use ike::Time;
use shm::counters::{CountersReader, CountersSpec, CountersWriter};
use shm::message::{Acquire, Change, Event, RejectCode, SaTotals};
use tokio::sync::oneshot;

mod events;
mod renewal;
pub(crate) mod world;

use world::*;

fn done(mut answer: Answer) -> ActionReply {
    match answer.try_recv() {
        Ok(Ok(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

fn acquire(engine: &Engine) -> Event {
    Event::Acquire(Acquire {
        tunnel: shm::message::TunnelId(engine.document().plan.tunnels[0].id),
        vrf: VrfId(0),
        src: "10.2.0.2".parse().expect("ip"),
        dst: "10.1.0.2".parse().expect("ip"),
        protocol: 1,
        src_port: 0,
        dst_port: 0,
    })
}

#[test]
fn a_session_begins_with_the_configuration_and_a_tunnel_comes_up() {
    let (world, _) = World::up();
    for gateway in &world.gateways {
        assert_eq!(gateway.engine.state(), State::Ready);
        assert_eq!(gateway.plane.configurations.len(), 1);
        assert!(matches!(gateway.plane.configurations[0][0], Change::PutInterface(_)));
        assert_eq!(gateway.plane.journal.len(), 1);
        let outbound = gateway.plane.sas.values().next().and_then(|sa| sa.outbound);
        assert!(outbound.is_some_and(|outbound| outbound.active));
    }
}

#[test]
fn esp_on_the_counters_page_is_a_sign_of_life() {
    let (mut world, [spi, _]) = World::up();
    let page =
        CountersWriter::create(&CountersSpec { sa_slots: 16, ..CountersSpec::default() }).expect("page");
    world.gateways[0].figures = Some(CountersReader::map(&page.fd().expect("fd")).expect("mapped"));
    world.gateways[1].connected = false;
    let arrives = |at: Time| {
        let sa = (Spi::new(spi).expect("an SPI"), &SaTotals::default(), at.0);
        page.set_sa(usize::try_from(spi & 15).expect("a slot"), Some(sa));
    };
    for _ in 0..60 {
        arrives(world.now);
        world.pass(1);
    }
    assert_eq!(world.gateways[0].plane.installed(), [spi], "IKE alone would have given up");
    world.pass(28);
    assert_eq!(world.gateways[0].plane.installed(), [spi]);
    world.pass(3);
    assert!(world.gateways[0].plane.installed().is_empty());
}

#[test]
fn a_restarted_control_plane_finds_its_sas_again() {
    let (mut world, before) = World::up();
    let now = world.now;
    world.gateways[0].restart_control(now);
    world.pass(5);
    assert_eq!(world.spis(), before);
    assert!(world.gateways[0].plane.deleted.is_empty());
    let answer = world.gateways[0].act("site", Action::Rekey, Target::Child, now);
    world.pass(1);
    world.traffic();
    world.pass(15);
    assert!(done(answer).done);
    assert_ne!(world.spis()[0], before[0]);
}

#[test]
fn a_restarted_data_plane_gets_every_child_anew() {
    let (mut world, before) = World::up();
    let now = world.now;
    world.gateways[0].restart_dataplane(now);
    world.pass(1);
    world.traffic();
    world.pass(30);
    let after = world.spis();
    assert_ne!(after[0], before[0]);
    assert_eq!(world.gateways[0].plane.journal.len(), 1, "the new journal holds the IKE SA");
}

#[test]
fn without_a_journal_the_old_sa_stays_until_the_new_one_is_up() {
    let (mut world, before) = World::up();
    world.gateways[0].plane.journal.clear();
    let now = world.now;
    world.gateways[0].restart_control(now);
    world.gateways[0].run(now);
    assert!(world.gateways[0].plane.installed().contains(&before[0]), "make before break");
    world.pass(20);
    assert_eq!(world.gateways[0].plane.deleted, [before[0]]);
    assert_ne!(world.spis()[0], before[0]);
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_spis() {
    let (mut world, before) = World::up();
    let now = world.now;
    let report = world.gateways[0].reload(&text(1, true).replace("192.0.2.1/24", "192.0.2.1/25"), now);
    assert_eq!((report.unchanged.as_slice(), report.changed.len()), (&["site".to_owned()][..], 0));
    world.pass(2);
    assert_eq!(world.spis(), before);
    assert_eq!(world.gateways[0].plane.configurations.len(), 2);
}

#[test]
fn a_reload_renegotiates_what_changed_and_deletes_what_went() {
    let (mut world, before) = World::up();
    let now = world.now;
    let psk = |side, immediately| text(side, immediately).replace("sesame", "open-sesame");
    world.gateways[1].reload(&psk(2, false), now);
    let report = world.gateways[0].reload(&psk(1, true), now);
    assert_eq!(report.changed, ["site"]);
    world.pass(10);
    assert_ne!(world.spis(), before);
    let without = text(1, true);
    let without = &without[..without.find("[[connection]]").expect("a connection")];
    world.gateways[0].reload(without, world.now);
    world.pass(20);
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
}

/// What a document would do to each object that it changes.
fn diff(world: &World, text: String) -> Vec<(String, api::Impact, Vec<String>)> {
    let request = api::ConfigText { text, file: "new".into() };
    let diff = world.gateways[0].engine.view_diff(&request).expect("readable");
    assert!(diff.valid, "{diff:#?}");
    let changed = diff.changes.into_iter().filter(|change| change.impact != api::Impact::Unchanged);
    let fields = |change: &api::ConfigChange| change.fields.iter().map(|f| f.field.clone()).collect();
    changed
        .map(|change| (format!("{} {}", change.kind, change.name), change.impact, fields(&change)))
        .collect()
}

#[test]
fn a_diff_says_what_a_reload_does_and_does_nothing() {
    let (world, before) = World::up();
    assert_eq!(diff(&world, text(1, true)), []);
    let patient = text(1, true).replace("effective-immediately = true", "effective-immediately = false");
    let hot = diff(&world, patient);
    assert_eq!(hot, [("connection site".into(), api::Impact::Hot, vec!["effective-immediately".into()])]);
    let [(name, impact, fields)] = &diff(&world, text(1, true).replace("sesame", "open-sesame"))[..] else {
        panic!("one object")
    };
    assert_eq!((&**name, *impact), ("connection site", api::Impact::Renegotiate));
    assert_eq!(fields[..], ["tunnels[0]: contents of its keys or certificates"]);
    let elsewhere = diff(&world, text(1, true).replace("ip = \"192.0.2.2\"", "ip = \"192.0.2.3\""));
    let connection = elsewhere.iter().find(|(name, ..)| name == "connection site").expect("the connection");
    assert_eq!(connection.1, api::Impact::Interrupting);
    assert_eq!(world.spis(), before);
}

#[test]
fn terminated_stays_down_until_initiated() {
    let (mut world, _) = World::up();
    let now = world.now;
    let answer = world.gateways[1].act("site", Action::Terminate, Target::Ike, now);
    // The other side would start again at once.
    let other = world.gateways[0].act("site", Action::Terminate, Target::Ike, now);
    world.pass(2);
    assert!(done(answer).done && done(other).done);
    for gateway in &mut world.gateways {
        let event = acquire(&gateway.engine);
        gateway.engine.handle_event(event, world.now);
    }
    world.pass(20);
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
    let now = world.now;
    let answer = world.gateways[1].act("site", Action::Initiate, Target::Child, now);
    world.pass(3);
    assert!(done(answer).done);
    world.spis();
}

#[test]
fn a_reset_tunnel_is_negotiated_anew_even_if_the_peer_does_not_confirm_the_end_of_the_old_one() {
    let (mut world, before) = World::up();
    let now = world.now;
    let answer = world.gateways[0].act("site", Action::Reset, Target::Child, now);
    world.pass(3);
    assert_eq!(done(answer).message, "established");
    assert!(world.spis().iter().all(|spi| !before.contains(spi)));
    let before = world.spis();
    world.gateways[1] = Gateway::new(2, false);
    let now = world.now;
    let answer = world.gateways[0].act("site", Action::Reset, Target::Child, now);
    world.gateways[1].plane = Plane::new(0x3_0000);
    world.gateways[1].connect(now);
    world.pass(5);
    assert!(done(answer).done);
    world.pass(60);
    assert!(world.spis().iter().all(|spi| !before.contains(spi)));
}

#[test]
fn what_a_tunnel_carried_outlives_its_sas() {
    let (mut world, [old, _]) = World::up();
    let page =
        CountersWriter::create(&CountersSpec { sa_slots: 16, ..CountersSpec::default() }).expect("page");
    let figures = CountersReader::map(&page.fd().expect("fd")).expect("mapped");
    let spi = Spi::new(old).expect("an SPI");
    let totals = SaTotals { in_packets: 5, replays: 1, ..SaTotals::default() };
    let line = usize::try_from(old & 15).expect("a slot");
    page.set_sa(line, Some((spi, &totals, world.now.0)));
    let owner = world.gateways[0].engine.installed[&spi];
    let carried = |world: &World| {
        let tunnel = &world.gateways[0].engine.view_connections(Some(&figures), world.now)[0].tunnels[0];
        let traffic = tunnel.traffic.expect("figures");
        (traffic.in_packets, traffic.dropped(), tunnel.up_secs.is_some())
    };
    assert_eq!(carried(&world), (5, 1, true));
    let now = world.now;
    drop(world.gateways[0].act("site", Action::Rekey, Target::Child, now));
    world.pass(1);
    world.traffic();
    world.pass(15);
    assert_ne!(world.spis()[0], old);
    assert_eq!(carried(&world), (5, 1, true), "its SA lingers");
    page.set_sa(line, None);
    let deleted = shm::message::SaDeleted { spi, owner, totals };
    world.gateways[0].engine.handle_completion(deleted.into(), now);
    assert_eq!(carried(&world), (5, 1, true), "its SA is gone");
}

#[test]
fn traffic_brings_a_waiting_connection_up() {
    let mut world = World::new();
    world.gateways[0].connected = false;
    world.gateways[0] = Gateway::new(1, false);
    let now = world.now;
    world.gateways[0].connect(now);
    world.pass(2);
    assert!(world.gateways[1].plane.installed().is_empty());
    let event = acquire(&world.gateways[1].engine);
    world.gateways[1].engine.handle_event(event, world.now);
    world.pass(2);
    world.spis();
}

#[test]
fn a_negotiation_is_recorded_for_one_client_at_a_time_and_replays() {
    let (mut world, _) = World::up();
    let record = |world: &mut World| {
        let (reply, answer) = oneshot::channel();
        let request = RecordRequest { wait_secs: 30, ..RecordRequest::default() };
        let call = Call::Record { connection: "site".into(), request, reply };
        let now = world.now;
        world.gateways[0].engine.handle_call(call, None, now);
        answer
    };
    let refused = |answer: &mut oneshot::Receiver<Result<Recorded, api::Problem>>| match answer.try_recv() {
        Ok(Err(problem)) => problem.code.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut record(&mut world)), "TunnelUp");
    let now = world.now;
    drop(world.gateways[0].act("site", Action::Terminate, Target::Ike, now));
    world.pass(2);
    let mut first = record(&mut world);
    assert_eq!(refused(&mut record(&mut world)), "AlreadyRecording");
    world.pass(2);
    let recorded = first.try_recv().expect("an answer").expect("recorded");
    assert_eq!((recorded.done, recorded.message.as_str()), (true, "established"));
    assert!(!recorded.recording.contains("sesame"));
    let recording: ike::record::Recording = serde_json::from_str(&recorded.recording).expect("a recording");
    assert_eq!(ike::record::replay(&recording), Ok(vec![ike::record::What::Up]));
}

#[test]
fn a_wrong_psk_is_diagnosed_to_the_one_who_waits() {
    let mut world = World::new();
    let now = world.now;
    world.gateways[1].reload(&text(2, false).replace("sesame", "wrong"), now);
    let answer = world.gateways[0].act("site", Action::Initiate, Target::Child, now);
    assert_eq!(error(answer).map(|p| p.code), Some("DataplaneAway".into()), "not ready yet");
    world.settle();
    let now = world.now;
    let answer = world.gateways[0].act("site", Action::Initiate, Target::Child, now);
    world.pass(5);
    let reply = done(answer);
    assert!(!reply.done && reply.diagnosis.is_some_and(|d| d.connection == "site"));
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
    let failures = world.gateways[0].engine.view_connections(None, world.now);
    assert!(failures[0].tunnels[0].failure.is_some());
}

fn error(mut answer: Answer) -> Option<api::Problem> {
    answer.try_recv().ok()?.err()
}

#[test]
fn a_port_that_is_not_there_is_named_and_tried_again() {
    let mut gateway = Gateway::new(1, true);
    gateway.plane.ports = vec!["p0"];
    gateway.connect(Time::from_secs(1));
    gateway.run(Time::from_secs(1));
    assert_eq!(gateway.engine.state(), State::Syncing);
    let why = gateway.engine.last_error.clone().unwrap_or_default();
    assert_eq!(why, "interface lan: the data plane has no port p1 (it has p0)");
    assert_eq!(gateway.engine.poll_timeout(), Some(Time::from_secs(6)));
}

#[test]
fn a_refused_configuration_names_the_object_and_is_tried_again() {
    let mut gateway = Gateway::new(1, true);
    gateway.plane.reject = Some(RejectCode::NoCapacity);
    gateway.connect(Time::from_secs(1));
    gateway.run(Time::from_secs(1));
    let why = gateway.engine.last_error.clone().unwrap_or_default();
    assert!(why.contains("PutInterface") && why.contains("NoCapacity"), "{why}");
    gateway.engine.handle_timeout(Time::from_secs(6));
    gateway.run(Time::from_secs(6));
    assert_eq!((gateway.engine.state(), gateway.engine.last_error.clone()), (State::Ready, None));
}

#[test]
fn unknown_connections_and_a_missing_data_plane_are_problems() {
    let mut gateway = Gateway::new(1, true);
    let now = Time::from_secs(1);
    let nobody = gateway.act("nobody", Action::Initiate, Target::Child, now);
    assert_eq!(error(nobody).map(|p| p.status), Some(404));
    let away = gateway.act("site", Action::Initiate, Target::Child, now);
    assert_eq!(error(away).map(|p| p.status), Some(503));
}

/// The document of a side with two tunnels, between .1 and .2 and between .11 and .12.
fn dual(side: u8, immediately: bool) -> String {
    let text = text(side, immediately);
    let (ours, theirs) = (format!("192.0.2.{side}"), format!("192.0.2.1{}", 3 - side));
    text.replace(&format!("[\"{ours}/24\"]"), &format!("[\"{ours}/24\", \"192.0.2.1{side}/24\"]"))
        .replace(&format!("[\"{ours}\"]"), &format!("[\"{ours}\", \"192.0.2.1{side}\"]"))
        + &format!(
            "[[connection.tunnel]]\ncustomer-gateway = \"peer2\"\npsk = \"sesame\"\n\
             [[customer-gateway]]\nname = \"peer2\"\nip = \"{theirs}\"\n"
        )
}

#[test]
fn the_second_tunnel_takes_over_from_the_first() {
    let mut world = World::new();
    let now = world.now;
    world.gateways[0].reload(&dual(1, true), now);
    world.gateways[1].reload(&dual(2, false), now);
    world.pass(5);
    assert_eq!(world.gateways[0].plane.installed().len(), 2);
    assert_eq!(world.gateways[0].plane.active, 0b01);
    let (reply, _answer) = oneshot::channel();
    let request = ActionRequest { target: Target::Ike, tunnel: Some(1), wait_secs: 0 };
    let call = Call::Act { connection: "site".to_owned(), action: Action::Terminate, request, reply };
    world.gateways[0].engine.handle_call(call, None, world.now);
    world.pass(1);
    assert_eq!(world.gateways[0].plane.active, 0b10);
}

#[test]
fn leaving_deletes_every_sa_when_asked_to() {
    let (mut world, _) = World::up();
    let now = world.now;
    world.gateways[0].engine.leave(true, now);
    assert!(!world.gateways[0].engine.has_left(now));
    world.pass(1);
    assert!(world.gateways[0].engine.has_left(world.now));
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
}

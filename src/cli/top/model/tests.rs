use super::*;
use crate::cli::samples;

fn traffic(packets: u64) -> TunnelTraffic {
    TunnelTraffic {
        in_packets: packets,
        in_bytes: packets * 1000,
        replays: packets / 10,
        ..Default::default()
    }
}

fn control(packets: u64) -> Control {
    let mut connection = samples::connection("hq", 2);
    for tunnel in &mut connection.tunnels {
        tunnel.traffic = Some(traffic(packets));
    }
    connection.tunnels[0].status = NegotiationStatus::IpsecSaEstablished;
    Control { connections: vec![connection], ..Control::default() }
}

fn snapshot(at: u64, control: Control) -> Snapshot {
    let worker = Runtime {
        worker: 0,
        workers: 1,
        ticks_per_second: 1_000_000,
        busy_ticks: 250_000 * at,
        idle_ticks: 750_000 * at,
        packets: 1000 * at,
        ..Runtime::default()
    };
    Snapshot { at: Duration::from_secs(at), control: Ok(control), workers: Ok(vec![worker]) }
}

#[test]
fn rates_are_what_was_counted_in_between() {
    let (before, now) = (snapshot(10, control(1000)), snapshot(12, control(3000)));
    let model = Model::between(Some(&before), &now);
    let row = &model.tunnels[0];
    assert_eq!((row.inbound.packets_per_second, row.inbound.bits_per_second), (1000.0, 8_000_000.0));
    assert_eq!((row.outbound, row.drops, row.state), (Rate::default(), 100.0, Negotiated::Up));
    let (inbound, _, drops) = model.total();
    assert_eq!((inbound.packets_per_second, drops), (2000.0, 200.0));
    let worker = &model.workers[0];
    assert_eq!((worker.load, worker.cycles_per_packet), (0.25, Some(250.0)));
    assert_eq!(worker.packets_per_second, 1000.0);
    assert!(model.events.is_empty() && model.problems.is_empty());
}

#[test]
fn a_first_snapshot_and_a_counter_that_began_anew_have_no_rate() {
    let (before, now) = (snapshot(10, control(3000)), snapshot(12, control(1000)));
    for model in [Model::between(None, &now), Model::between(Some(&before), &now)] {
        assert!(model.tunnels.iter().all(|row| row.inbound == Rate::default() && row.drops == 0.0));
    }
    let same = Model::between(Some(&now), &now);
    assert!(same.tunnels.iter().all(|row| row.inbound == Rate::default()), "no time has passed");
}

#[test]
fn what_changed_is_told_once() {
    let mut later = control(0);
    later.connections[0].tunnels[0].status = NegotiationStatus::IkeSaNotEstablished;
    later.connections[0].tunnels[1].status = NegotiationStatus::IpsecSaNotEstablished;
    later.connections.push(samples::connection("osaka", 1));
    later.diagnoses.push(samples::diagnosis("hq", 1, "DpdTimeout"));
    let (before, now) = (snapshot(1, control(0)), snapshot(2, later.clone()));
    let events = Model::between(Some(&before), &now).events;
    assert_eq!(
        events,
        [
            "hq/1 went down",
            "hq/2: the IKE SA is up, no CHILD_SA is",
            "osaka/1 is new",
            "hq/1: DpdTimeout (psk), 4s ago: we refused what the peer sent",
        ]
    );
    assert!(Model::between(Some(&now), &snapshot(3, later.clone())).events.is_empty());
    later.diagnoses[0].count += 1;
    assert_eq!(Model::between(Some(&now), &snapshot(3, later)).events.len(), 1, "it failed again");
}

#[test]
fn drops_are_told_by_reason() {
    let drops = |count| {
        let drop =
            DropCounter { name: "no_route".into(), count, help: String::new(), interfaces: Vec::new() };
        Control { drops: vec![drop], ..control(0) }
    };
    let events = Model::between(Some(&snapshot(1, drops(5))), &snapshot(2, drops(12))).events;
    assert_eq!(events, ["7 packets dropped: no_route"]);
    assert!(Model::between(Some(&snapshot(1, control(0))), &snapshot(2, drops(5))).events.is_empty());
}

#[test]
fn a_plane_that_is_away_leaves_the_other_visible() {
    let mut now = snapshot(2, control(0));
    now.control = Err("cannot reach the control plane".into());
    let model = Model::between(Some(&snapshot(1, control(0))), &now);
    assert_eq!((model.tunnels.len(), model.workers.len()), (0, 1));
    assert_eq!(model.problems, ["cannot reach the control plane"]);
}

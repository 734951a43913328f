//! What `top` shows, worked out from two snapshots. Pure: no clock, no terminal.

use crate::cli::human;
use crate::cli::runtime::{float, ratio, since};
use api::{Connection, Diagnosis, DropCounter, NegotiationStatus, Tunnel, TunnelTraffic};
use serde::Serialize;
use shm::inspect::Runtime;
use std::collections::BTreeMap;
use std::time::Duration;

/// What both planes said at one moment. A plane that does not answer says why.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Since any fixed moment.
    pub(super) at: Duration,
    pub(super) control: Result<Control, String>,
    pub(super) workers: Result<Vec<Runtime>, String>,
}

/// What the control plane said.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    pub(super) connections: Vec<Connection>,
    pub(super) diagnoses: Vec<Diagnosis>,
    /// Empty while the data plane is away.
    pub(super) drops: Vec<DropCounter>,
}

/// One frame: all of it is of the time between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Model {
    pub(super) tunnels: Vec<TunnelRow>,
    pub(super) workers: Vec<WorkerRow>,
    /// What changed, the newest first.
    pub(super) events: Vec<String>,
    /// Planes that do not answer, and why.
    pub(super) problems: Vec<String>,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TunnelRow {
    pub(super) name: String,
    pub(super) state: Negotiated,
    /// Seconds since it carries traffic.
    pub(super) up_secs: Option<u64>,
    /// Code of the failure that keeps it down.
    pub(super) failure: Option<String>,
    pub(super) inbound: Rate,
    pub(super) outbound: Rate,
    /// Packets that its SAs dropped, a second.
    pub(super) drops: f64,
}

/// How far a tunnel's negotiation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Negotiated {
    Down,
    /// The IKE SA is up, no CHILD_SA is.
    Ike,
    Up,
}

/// Of inner packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Rate {
    pub(super) bits_per_second: f64,
    pub(super) packets_per_second: f64,
}

/// A worker of the data plane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct WorkerRow {
    pub(super) worker: u16,
    /// Share of its time in rounds that brought packets, 0 to 1.
    pub(super) load: f64,
    /// None without packets.
    pub(super) cycles_per_packet: Option<f64>,
    pub(super) packets_per_second: f64,
    /// Packets a second whose SA another worker owns.
    pub(super) handed_over: f64,
    /// It does not come round.
    pub(super) stuck: bool,
}

impl Model {
    /// The frame between two snapshots; without an earlier one all rates are zero.
    pub(super) fn between(before: Option<&Snapshot>, now: &Snapshot) -> Self {
        let seconds = before.map_or(0.0, |before| now.at.saturating_sub(before.at).as_secs_f64());
        let earlier = before.and_then(|before| before.control.as_ref().ok());
        let control = now.control.as_ref();
        let problems = [control.err(), now.workers.as_ref().err()];
        Self {
            tunnels: control.map(|control| tunnels(earlier, control, seconds)).unwrap_or_default(),
            workers: workers(before, now),
            events: control.map(|control| events(earlier, control)).unwrap_or_default(),
            problems: problems.into_iter().flatten().cloned().collect(),
        }
    }

    /// All tunnels together.
    pub(super) fn total(&self) -> (Rate, Rate, f64) {
        let sum = |of: fn(&TunnelRow) -> Rate| {
            self.tunnels.iter().map(of).fold(Rate::default(), |sum, rate| Rate {
                bits_per_second: sum.bits_per_second + rate.bits_per_second,
                packets_per_second: sum.packets_per_second + rate.packets_per_second,
            })
        };
        let drops = self.tunnels.iter().map(|row| row.drops).sum();
        (sum(|row| row.inbound), sum(|row| row.outbound), drops)
    }
}

/// By name.
fn by_name(control: &Control) -> BTreeMap<&str, &Tunnel> {
    let tunnels = control.connections.iter().flat_map(|connection| &connection.tunnels);
    tunnels.map(|tunnel| (&*tunnel.name, tunnel)).collect()
}

fn tunnels(earlier: Option<&Control>, now: &Control, seconds: f64) -> Vec<TunnelRow> {
    let earlier = earlier.map(by_name).unwrap_or_default();
    let row = |tunnel: &Tunnel| {
        let before = earlier.get(&*tunnel.name).and_then(|tunnel| tunnel.traffic);
        // Counters only grow; where they shrank, a process began anew, and what it counted since is not of this interval alone.
        let per_second = |of: fn(&TunnelTraffic) -> u64| match (before, tunnel.traffic) {
            (Some(before), Some(now)) if seconds > 0.0 => {
                float(of(&now).saturating_sub(of(&before))) / seconds
            }
            _ => 0.0,
        };
        let rate = |bytes: fn(&TunnelTraffic) -> u64, packets: fn(&TunnelTraffic) -> u64| Rate {
            bits_per_second: per_second(bytes) * 8.0,
            packets_per_second: per_second(packets),
        };
        TunnelRow {
            name: tunnel.name.clone(),
            state: negotiated(tunnel),
            up_secs: tunnel.up_secs,
            failure: tunnel.failure.clone(),
            inbound: rate(|t| t.in_bytes, |t| t.in_packets),
            outbound: rate(|t| t.out_bytes, |t| t.out_packets),
            drops: per_second(TunnelTraffic::dropped),
        }
    };
    now.connections.iter().flat_map(|connection| &connection.tunnels).map(row).collect()
}

fn negotiated(tunnel: &Tunnel) -> Negotiated {
    match tunnel.status {
        NegotiationStatus::IkeSaNotEstablished => Negotiated::Down,
        NegotiationStatus::IkeSaEstablished | NegotiationStatus::IpsecSaNotEstablished => Negotiated::Ike,
        NegotiationStatus::IpsecSaEstablished => Negotiated::Up,
    }
}

fn workers(before: Option<&Snapshot>, now: &Snapshot) -> Vec<WorkerRow> {
    let earlier = before.and_then(|before| before.workers.as_ref().ok());
    let row = |now: &Runtime| {
        let before = earlier.and_then(|all| all.iter().find(|before| before.worker == now.worker));
        // The first frame tells of all its time.
        let between = before.map_or_else(|| now.clone(), |before| since(now, before));
        let elapsed = between.busy_ticks + between.idle_ticks;
        let per_second = |count| ratio(count, elapsed) * float(between.ticks_per_second);
        WorkerRow {
            worker: now.worker,
            load: ratio(between.busy_ticks, elapsed),
            cycles_per_packet: (between.packets > 0).then(|| ratio(between.busy_ticks, between.packets)),
            packets_per_second: per_second(between.packets),
            handed_over: per_second(between.handed_over),
            stuck: now.silent.is_some(),
        }
    };
    now.workers.iter().flatten().map(row).collect()
}

/// What is different now; at first the failures that there are.
fn events(earlier: Option<&Control>, now: &Control) -> Vec<String> {
    let mut events = Vec::new();
    if let Some(before) = earlier {
        let (old, new) = (by_name(before), by_name(now));
        for (name, tunnel) in &new {
            match old.get(name) {
                None => events.push(format!("{name} is new")),
                Some(before) => events.extend(turn(name, before, tunnel)),
            }
        }
        events
            .extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} is gone")));
        events.extend(more_drops(before, now));
    }
    let known = |new: &&Diagnosis| {
        let same = |old: &Diagnosis| failure(old) == failure(new) && old.count == new.count;
        earlier.is_some_and(|before| before.diagnoses.iter().any(same))
    };
    events.extend(now.diagnoses.iter().filter(|d| !known(d)).map(told));
    events
}

/// A tunnel that came up or went down.
fn turn(name: &str, before: &Tunnel, now: &Tunnel) -> Option<String> {
    match (negotiated(before), negotiated(now)) {
        (old, new) if old == new => None,
        (_, Negotiated::Up) => Some(format!("{name} came up")),
        (Negotiated::Up, _) => Some(format!("{name} went down")),
        (_, Negotiated::Ike) => Some(format!("{name}: the IKE SA is up, no CHILD_SA is")),
        (_, Negotiated::Down) => Some(format!("{name}: the IKE SA is gone")),
    }
}

fn more_drops<'a>(before: &'a Control, now: &'a Control) -> impl Iterator<Item = String> + 'a {
    let grown = |drop: &DropCounter| {
        let old = before.drops.iter().find(|old| old.name == drop.name).map_or(0, |old| old.count);
        let more = drop.count.saturating_sub(old);
        (more > 0 && !before.drops.is_empty()).then(|| format!("{more} packets dropped: {}", drop.name))
    };
    now.drops.iter().filter_map(grown)
}

/// What makes two failures the same one.
fn failure(d: &Diagnosis) -> (&str, u8, &str, std::net::IpAddr) {
    (&d.connection, d.tunnel, &d.code, d.remote)
}

fn told(d: &Diagnosis) -> String {
    let whose = match &*d.connection {
        "" => format!("no tunnel's ({})", d.remote),
        connection => format!("{connection}/{}", d.tunnel),
    };
    let ago = human::duration(d.age_secs);
    let parameter = d.parameter.as_ref().map(|parameter| format!(" ({parameter})")).unwrap_or_default();
    format!("{whose}: {}{parameter}, {ago} ago: {}", d.code, d.message)
}

#[cfg(test)]
mod tests;

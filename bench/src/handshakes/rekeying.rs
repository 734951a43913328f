//! `esplanade bench --rekeying`: thousands of tunnels between two gateways, established all at once, and rekeyed again and again.
//!
//! Two managers on a virtual clock. A message takes [`LATENCY`]; waiting takes no time; but what a manager computes takes as
//! long as it took here, on a core of its own: a timer that is due meanwhile is late, a message waits, as they would in a
//! process. Every tunnel has lifetimes and dead peer detection, and no traffic, so that each is probed all the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Result, ensure};
use ike::{Connection, ConnectionKey, Datagram, Event, Gone, Time};
use serde::Serialize;

use super::process::resident;
use super::{End, NOW, SUITES, connection};
use crate::progress;
use crate::table;

/// From one gateway to the other.
const LATENCY: Duration = Duration::from_millis(10);
/// Of every CHILD_SA and IKE SA: they are rekeyed after 85 to 95 % of it.
const CHILD_LIFETIME: Duration = Duration::from_secs(300);
const IKE_LIFETIME: Duration = Duration::from_secs(900);
/// How long all tunnels may take to come up.
const UP: Duration = Duration::from_secs(300);
/// The suite that most of the time here would be spent on computing with is not what this is about: Curve25519.
const SUITE: usize = SUITES.len() - 1;

/// What the two gateways were like at some moment.
#[derive(Debug, Serialize)]
struct Row {
    /// Since all tunnels were wanted, seconds.
    seconds: f64,
    /// With an IKE SA and a CHILD_SA at both ends.
    tunnels_up: u32,
    /// Since the row before, at both ends together.
    child_rekeys: u64,
    ike_rekeys: u64,
    /// SAs that ended otherwise than replaced: expired, taken for dead, failed.
    lost: u64,
    /// The shortest time that was left of a lifetime when its successor was there; seconds.
    least_left: Option<f64>,
    /// How late a timer was handled at worst, milliseconds.
    worst_delay_ms: f64,
    /// Of the time, how much each gateway was busy.
    cpu_share: [f64; 2],
    /// What a gateway occupies for a tunnel.
    bytes_per_tunnel: u64,
}

/// Establishes `tunnels`, lets `generations` of CHILD_SAs pass, and prints what that gave.
pub(crate) fn run(tunnels: u32, generations: u32, json: bool) -> Result<()> {
    let before = resident("self")?;
    let mut pair = Pair::new(tunnels)?;
    let bar = progress::bar(usize::try_from(generations)? + 1);
    pair.run_until(NOW + UP, |pair| pair.up() == tunnels);
    ensure!(pair.up() == tunnels, "{} of {tunnels} tunnels are up after {} s", pair.up(), UP.as_secs());
    let mut rows = vec![pair.report(before)?];
    for _ in 0..generations {
        bar.inc(1);
        let end = pair.clock + CHILD_LIFETIME;
        pair.run_until(end, |_| false);
        rows.push(pair.report(before)?);
    }
    bar.finish_and_clear();
    if json {
        println!("{}", serde_json::json!({ "tunnels": tunnels, "results": rows }));
    } else {
        println!("{}", render(tunnels, &rows));
    }
    Ok(())
}

/// One of both gateways.
struct Gateway {
    end: End,
    /// What is on its way to it: as many messages as were sent, in order.
    inbox: VecDeque<(Time, Datagram)>,
    /// When it has computed what it was given so far.
    free_at: Time,
    worst_delay: Duration,
    busy_before: Duration,
    /// The tunnels' CHILD_SAs: since when there is one.
    children: BTreeMap<ConnectionKey, Time>,
}

impl Gateway {
    fn new(side: u8) -> Self {
        Self {
            end: End::new(side),
            inbox: VecDeque::new(),
            free_at: NOW,
            worst_delay: Duration::ZERO,
            busy_before: Duration::ZERO,
            children: BTreeMap::new(),
        }
    }

    /// When it does something next.
    fn next(&self) -> Option<Time> {
        let arrival = self.inbox.front().map(|(at, _)| *at);
        let due = self.end.manager.poll_timeout();
        arrival.into_iter().chain(due).min().map(|at| at.max(self.free_at))
    }

    /// Handles one message, or the timers that are due; returns what it sends.
    fn act(&mut self, now: Time) -> Vec<Datagram> {
        let busy = self.end.busy;
        let due = self.end.manager.poll_timeout().filter(|due| *due <= now);
        if let Some(due) = due {
            self.worst_delay = self.worst_delay.max(now.since(due));
            self.end.act(|manager| manager.handle_timeout(now));
        } else if let Some((_, datagram)) = self.inbox.pop_front() {
            self.end.act(|manager| manager.handle_message(datagram, now));
        }
        let sent = self.end.drain(now);
        self.free_at = now + (self.end.busy - busy);
        sent
    }
}

/// Both, and what happened to them since the last report.
struct Pair {
    gateways: [Gateway; 2],
    clock: Time,
    reported: Time,
    child_rekeys: u64,
    ike_rekeys: u64,
    lost: u64,
    least_left: Option<Duration>,
}

impl Pair {
    fn new(tunnels: u32) -> Result<Self> {
        let mut gateways = [1, 2].map(Gateway::new);
        for tunnel in 0..tunnels {
            for gateway in &mut gateways {
                let connection = Connection {
                    ike_lifetime: Some(IKE_LIFETIME),
                    ..connection(gateway.end.number, tunnel, &SUITES[SUITE])?
                };
                let child = ike::ChildConfig { lifetime: Some(CHILD_LIFETIME), ..connection.child.clone() };
                let connection = Connection { child, ..connection };
                gateway.end.manager.set_connection(connection, NOW);
            }
        }
        Ok(Self {
            gateways,
            clock: NOW,
            reported: NOW,
            child_rekeys: 0,
            ike_rekeys: 0,
            lost: 0,
            least_left: None,
        })
    }

    fn up(&self) -> u32 {
        let [a, b] = &self.gateways;
        let both = a.children.len().min(b.children.len());
        u32::try_from(both).unwrap_or(u32::MAX)
    }

    /// Lets time pass until `end`, or until `enough`.
    fn run_until(&mut self, end: Time, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let next = |at: usize| self.gateways[at].next().map(|time| (time, at));
            let Some((now, at)) = next(0).into_iter().chain(next(1)).min().filter(|(now, _)| *now < end)
            else {
                self.clock = end;
                return;
            };
            self.clock = now;
            let sent = self.gateways[at].act(now);
            let arrives = self.gateways[at].free_at + LATENCY;
            let arriving = sent.into_iter().map(|d| Datagram { local: d.remote, remote: d.local, ..d });
            self.gateways[1 - at].inbox.extend(arriving.map(|datagram| (arrives, datagram)));
            for event in std::mem::take(&mut self.gateways[at].end.events) {
                self.note(at, &event, now);
            }
        }
    }

    fn note(&mut self, at: usize, event: &Event, now: Time) {
        let children = &mut self.gateways[at].children;
        match event {
            Event::ChildEstablished { key, replaces, .. } => {
                let since = children.insert(*key, now);
                if let (Some(since), Some(_)) = (since, replaces) {
                    self.child_rekeys += 1;
                    let left = (since + CHILD_LIFETIME).since(now);
                    self.least_left = Some(self.least_left.map_or(left, |least| least.min(left)));
                }
            }
            Event::IkeRekeyed { .. } => self.ike_rekeys += 1,
            Event::ChildDeleted { why, .. } | Event::IkeDeleted { why, .. } => {
                self.lost += u64::from(matches!(why, Gone::Expired | Gone::PeerDead | Gone::Failed));
            }
            _ => {}
        }
    }

    fn report(&mut self, before: u64) -> Result<Row> {
        let (now, up) = (self.clock, self.up());
        let elapsed = now.since(self.reported).as_secs_f64();
        let cpu_share = self.gateways.each_mut().map(|gateway| {
            let busy = gateway.end.busy - std::mem::replace(&mut gateway.busy_before, gateway.end.busy);
            busy.as_secs_f64() / elapsed
        });
        let delays = self.gateways.iter_mut().map(|gateway| std::mem::take(&mut gateway.worst_delay));
        let worst_delay = delays.max().unwrap_or_default();
        self.reported = now;
        Ok(Row {
            seconds: now.since(NOW).as_secs_f64(),
            tunnels_up: up,
            child_rekeys: std::mem::take(&mut self.child_rekeys),
            ike_rekeys: std::mem::take(&mut self.ike_rekeys),
            lost: std::mem::take(&mut self.lost),
            least_left: self.least_left.take().map(|left| left.as_secs_f64()),
            worst_delay_ms: worst_delay.as_secs_f64() * 1e3,
            cpu_share,
            bytes_per_tunnel: resident("self")?.saturating_sub(before) / (2 * u64::from(up.max(1))),
        })
    }
}

fn render(tunnels: u32, rows: &[Row]) -> String {
    let cells = |row: &Row| {
        [
            format!("{:.1}", row.seconds),
            row.tunnels_up.to_string(),
            row.child_rekeys.to_string(),
            row.ike_rekeys.to_string(),
            row.lost.to_string(),
            row.least_left.map_or_else(|| "-".to_owned(), |left| format!("{left:.1}")),
            format!("{:.1}", row.worst_delay_ms),
            row.cpu_share.map(|share| format!("{:.1}", share * 100.0)).join(" / "),
            row.bytes_per_tunnel.to_string(),
        ]
    };
    let header =
        ["s", "up", "child rekeys", "IKE rekeys", "lost", "left, s", "late, ms", "CPU, %", "bytes/tunnel"];
    let table = table::plain(header, rows.iter().map(cells), 0);
    format!(
        "{tunnels} tunnels, lifetimes {} s and {} s\n{table}\n\nlost: SAs that expired, failed, or whose peer was taken for dead\n\
         left: of a CHILD_SA's lifetime when its successor was there, at least\nlate: how long a timer that was due waited at \
         most\nCPU: of a core, as initiator of the tunnels / as responder",
        CHILD_LIFETIME.as_secs(),
        IKE_LIFETIME.as_secs()
    )
}

//! `esplanade bench --handshakes`: how many tunnels a core negotiates a second, and what they occupy.
//!
//! Two managers in memory negotiate one tunnel after the other, IKE_SA_INIT and IKE_AUTH with a CHILD_SA, by pre-shared
//! key; the time of each side is that of its own calls. Beside it what one of both occupies for an IKE SA with its
//! child, connection and indexes included. With `--charon` it is whole processes that negotiate, ours and strongSwan's, see
//! [`beside`].

mod beside;
mod charon;
mod driver;
mod process;
pub(crate) mod rekeying;
mod vici;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{
    ChildConfig, Connection, ConnectionKey, Datagram, EspProposal, Event, IkeManager, IkeProposal, Psk,
    SaCommand, SaReply, Start, Time,
};
use serde::Serialize;

use self::process::resident;
use crate::machine::thread_time;
use crate::table;

/// The outer address of what stands [`beside`] something.
const SUBJECT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// When all of it happens: without loss nothing takes time.
const NOW: Time = Time::from_secs(1);
/// More rounds of messages than any negotiation has.
const ROUNDS: usize = 16;

/// What both ends know.
const PSK: &str = "known-to-both-gateways";

/// What is negotiated.
#[derive(Debug, Clone, Copy)]
struct Suite {
    name: &'static str,
    encryption: EncrId,
    key_bits: u16,
    integrity: IntegId,
    prf: PrfId,
    /// Of IKE. The first child has no key exchange of its own.
    group: KeId,
    /// The same for strongSwan.
    charon: &'static str,
    /// The same in the words of our document: encryption, authentication and group.
    words: [&'static str; 3],
}

const SUITES: [Suite; 5] = [
    Suite {
        name: "AES-128/SHA-1/group 2 (default)",
        encryption: EncrId::AES_CBC,
        key_bits: 128,
        integrity: IntegId::HMAC_SHA1_96,
        prf: PrfId::HMAC_SHA1,
        group: KeId::MODP_1024,
        charon: "aes128-sha1-modp1024",
        words: ["aes", "sha1", "group2"],
    },
    Suite {
        name: "AES-256/SHA-256/group 14",
        encryption: EncrId::AES_CBC,
        key_bits: 256,
        integrity: IntegId::HMAC_SHA2_256_128,
        prf: PrfId::HMAC_SHA2_256,
        group: KeId::MODP_2048,
        charon: "aes256-sha256-modp2048",
        words: ["aes256", "sha256", "group14"],
    },
    Suite {
        name: "AES-GCM-256/group 19",
        group: KeId::ECP_256,
        charon: "aes256gcm16-prfsha256-ecp256",
        words: ["aes256gcm16", "sha256", "group19"],
        ..GCM
    },
    Suite {
        name: "AES-GCM-256/group 20",
        prf: PrfId::HMAC_SHA2_384,
        group: KeId::ECP_384,
        charon: "aes256gcm16-prfsha384-ecp384",
        words: ["aes256gcm16", "sha384", "group20"],
        ..GCM
    },
    GCM,
];

const GCM: Suite = Suite {
    name: "AES-GCM-256/group 31",
    encryption: EncrId::AES_GCM_16,
    key_bits: 256,
    integrity: IntegId::NONE,
    prf: PrfId::HMAC_SHA2_256,
    group: KeId::CURVE25519,
    charon: "aes256gcm16-prfsha256-curve25519",
    words: ["aes256gcm16", "sha256", "group31"],
};

/// What is measured of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Initiator,
    Responder,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        }
    }
}

/// One suite.
#[derive(Debug, Serialize)]
struct Row {
    suite: &'static str,
    tunnels: u32,
    initiator_per_second: f64,
    responder_per_second: f64,
    /// Of one side, bytes.
    bytes_per_ike_sa: u64,
}

/// Measures `tunnels` of each suite, and prints what that gave; with `rounds` whole processes, beside charon.
pub(crate) fn run(tunnels: u32, rounds: Option<usize>, json: bool) -> Result<()> {
    if let Some(rounds) = rounds {
        return beside::run(tunnels, rounds, json);
    }
    // What is kept of one suite is not room for the next, or nobody would see what that takes.
    let mut kept = Vec::new();
    let mut rows = Vec::new();
    for suite in &SUITES {
        let (row, sides) = measure(suite, tunnels)?;
        rows.push(row);
        kept.push(sides);
    }
    if json {
        println!("{}", serde_json::json!({ "results": rows }));
    } else {
        println!("{}", table(&rows));
    }
    Ok(())
}

fn measure(suite: &Suite, tunnels: u32) -> Result<(Row, [End; 2])> {
    let before = resident("self")?;
    let mut sides = [1, 2].map(End::new);
    for tunnel in 0..tunnels {
        negotiate(&mut sides, tunnel, suite).with_context(|| format!("{}, tunnel {tunnel}", suite.name))?;
    }
    let bytes = resident("self")?.saturating_sub(before) / (2 * u64::from(tunnels.max(1)));
    let [initiator, responder] =
        [&sides[0], &sides[1]].map(|side| side.busy.as_secs_f64() / f64::from(tunnels.max(1)));
    let row = Row {
        suite: suite.name,
        tunnels,
        initiator_per_second: 1.0 / initiator,
        responder_per_second: 1.0 / responder,
        bytes_per_ike_sa: bytes,
    };
    Ok((row, sides))
}

/// One of the two gateways, with a data plane that does as it is told.
struct End {
    number: u8,
    manager: IkeManager,
    next_spi: u32,
    children: u32,
    /// Since they were taken.
    events: Vec<Event>,
    busy: Duration,
}

impl End {
    fn new(number: u8) -> Self {
        let manager = IkeManager::new(ike::Config::default(), [number; 32], NOW);
        Self { number, manager, next_spi: 0x100, children: 0, events: Vec::new(), busy: Duration::ZERO }
    }

    /// Counts the time of what the manager does.
    fn act(&mut self, act: impl FnOnce(&mut IkeManager)) {
        let before = thread_time();
        act(&mut self.manager);
        self.busy += thread_time() - before;
    }

    /// Does what it wants of its data plane and its journal; returns what it sends.
    fn drain(&mut self, now: Time) -> Vec<Datagram> {
        let mut replies = Vec::new();
        self.act(|manager| while manager.poll_journal().is_some() {});
        while let Some(command) = self.manager.poll_sa_command() {
            match command {
                SaCommand::ReserveSpi { request, .. } => {
                    self.next_spi += 1;
                    replies.push(SaReply::SpiReserved { request, spi: self.next_spi });
                }
                SaCommand::InstallChild(child) => {
                    self.children += 1;
                    replies.push(SaReply::Installed { request: child.request });
                }
                _ => {}
            }
        }
        for reply in replies {
            self.act(|manager| manager.handle_sa_reply(reply, now));
        }
        self.events.extend(std::iter::from_fn(|| self.manager.poll_event()));
        std::iter::from_fn(|| self.manager.poll_transmit()).collect()
    }
}

fn negotiate(sides: &mut [End; 2], tunnel: u32, suite: &Suite) -> Result<()> {
    for side in &mut *sides {
        let connection = connection(side.number, tunnel, suite)?;
        side.manager.set_connection(connection, NOW);
    }
    sides[0].act(|manager| manager.handle_timeout(NOW));
    for _ in 0..ROUNDS {
        for from in [0, 1] {
            sides[from].events.clear();
            for sent in sides[from].drain(NOW) {
                let arriving = Datagram { local: sent.remote, remote: sent.local, ..sent };
                sides[1 - from].act(|manager| manager.handle_message(arriving, NOW));
            }
        }
        if sides.iter().all(|side| side.children == tunnel + 1) {
            return Ok(());
        }
    }
    bail!("it was not negotiated")
}

/// The outer address of a side's end of a tunnel.
fn outside(side: u8, tunnel: u32) -> Ipv4Addr {
    let [_, _, high, low] = tunnel.to_be_bytes();
    Ipv4Addr::new(100, 64 + side, high, low)
}

/// The network behind it, /24.
fn inside(side: u8, tunnel: u32) -> Ipv4Addr {
    let [_, _, high, low] = tunnel.to_be_bytes();
    Ipv4Addr::new(10 + side, high, low, 0)
}

/// A tunnel of its own addresses, seen from side 1, which begins, or 2.
fn connection(side: u8, tunnel: u32, suite: &Suite) -> Result<Connection> {
    let Suite { encryption, key_bits, integrity, prf, group, .. } = *suite;
    ensure!(tunnel < 1 << 16, "more tunnels than addresses");
    let outside = |side| IpAddr::V4(outside(side, tunnel));
    let [local_ts, remote_ts] = [side, 3 - side]
        .map(|side| TrafficSelector::from_network(inside(side, tunnel).into(), 24).context("a network"));
    let esp = EspProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        group: None,
        esn: false,
    };
    let psk = Psk::new(PSK);
    let key = ConnectionKey { connection: tunnel + 1, tunnel: tunnel + 1 };
    let ike = IkeProposal { encryption, key_bits, integrity, prf, group };
    let (ends, child) = ([side, 3 - side].map(outside), ChildConfig::new(esp, [local_ts?, remote_ts?]));
    Ok(Connection {
        start: if side == 1 { Start::Immediate } else { Start::Respond },
        ..Connection::by_psk(key, format!("tunnel-{tunnel}"), ends, psk, ike, child)
    })
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        [
            row.suite.to_owned(),
            row.tunnels.to_string(),
            format!("{:.0}", row.initiator_per_second),
            format!("{:.0}", row.responder_per_second),
            row.bytes_per_ike_sa.to_string(),
        ]
    };
    let header = ["suite", "tunnels", "initiator/s", "responder/s", "bytes"];
    let table = table::plain(header, rows.iter().map(cells), 1);
    format!(
        "{table}\n\ninitiator/s, responder/s: negotiations a second on a core of its own, IKE_SA_INIT and IKE_AUTH with a \
         CHILD_SA\nbytes: what one side occupies for each"
    )
}

//! `esplanade bench --handshakes`: how many tunnels a core negotiates a second, and what they occupy.
//!
//! Two managers in memory negotiate one tunnel after the other, IKE_SA_INIT and IKE_AUTH with a CHILD_SA, by pre-shared
//! key; the time of each side is that of its own calls. Beside it what one of both occupies for an IKE SA with its
//! child, connection and indexes included.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{
    ChildConfig, Connection, ConnectionKey, Datagram, EspProposal, Identity, IkeManager, IkeProposal, Limits,
    LocalAuth, Psk, RemoteAuth, SaCommand, SaReply, Start, Time,
};
use serde::Serialize;

use crate::machine::thread_time;
use crate::table;

/// When all of it happens: without loss nothing takes time.
const NOW: Time = Time::from_secs(1);
/// More rounds of messages than any negotiation has.
const ROUNDS: usize = 16;

/// What is negotiated: encryption, its key bits, integrity and prf of IKE; group of IKE and PFS.
const SUITES: [(&str, EncrId, u16, IntegId, PrfId, KeId); 5] = [
    (
        "AES-128/SHA-1/group 2 (default)",
        EncrId::AES_CBC,
        128,
        IntegId::HMAC_SHA1_96,
        PrfId::HMAC_SHA1,
        KeId::MODP_1024,
    ),
    (
        "AES-256/SHA-256/group 14",
        EncrId::AES_CBC,
        256,
        IntegId::HMAC_SHA2_256_128,
        PrfId::HMAC_SHA2_256,
        KeId::MODP_2048,
    ),
    ("AES-GCM-256/group 19", EncrId::AES_GCM_16, 256, IntegId::NONE, PrfId::HMAC_SHA2_256, KeId::ECP_256),
    ("AES-GCM-256/group 20", EncrId::AES_GCM_16, 256, IntegId::NONE, PrfId::HMAC_SHA2_384, KeId::ECP_384),
    ("AES-GCM-256/group 31", EncrId::AES_GCM_16, 256, IntegId::NONE, PrfId::HMAC_SHA2_256, KeId::CURVE25519),
];

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

/// Measures `tunnels` of each suite, and prints what that gave.
pub(crate) fn run(tunnels: u32, json: bool) -> Result<()> {
    // What is kept of one suite is not room for the next, or nobody would see what that takes.
    let mut kept = Vec::new();
    let mut rows = Vec::new();
    for suite in SUITES {
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

fn measure(
    suite: (&'static str, EncrId, u16, IntegId, PrfId, KeId),
    tunnels: u32,
) -> Result<(Row, [End; 2])> {
    let before = resident()?;
    let mut sides = [1, 2].map(End::new);
    for tunnel in 0..tunnels {
        negotiate(&mut sides, tunnel, suite).with_context(|| format!("{}, tunnel {tunnel}", suite.0))?;
    }
    let bytes = resident()?.saturating_sub(before) / (2 * u64::from(tunnels.max(1)));
    let [initiator, responder] =
        [&sides[0], &sides[1]].map(|side| side.busy.as_secs_f64() / f64::from(tunnels.max(1)));
    let row = Row {
        suite: suite.0,
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
    busy: Duration,
}

impl End {
    fn new(number: u8) -> Self {
        let manager = IkeManager::new(ike::Config::default(), [number; 32], NOW);
        Self { number, manager, next_spi: 0x100, children: 0, busy: Duration::ZERO }
    }

    /// Counts the time of what the manager does.
    fn act(&mut self, act: impl FnOnce(&mut IkeManager)) {
        let before = thread_time();
        act(&mut self.manager);
        self.busy += thread_time() - before;
    }

    /// Does what it wants of its data plane and its journal; returns what it sends.
    fn drain(&mut self) -> Vec<Datagram> {
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
            self.act(|manager| manager.handle_sa_reply(reply, NOW));
        }
        while self.manager.poll_event().is_some() {}
        std::iter::from_fn(|| self.manager.poll_transmit()).collect()
    }
}

fn negotiate(
    sides: &mut [End; 2],
    tunnel: u32,
    suite: (&'static str, EncrId, u16, IntegId, PrfId, KeId),
) -> Result<()> {
    for side in &mut *sides {
        let connection = connection(side.number, tunnel, suite)?;
        side.manager.set_connection(connection, NOW);
    }
    sides[0].act(|manager| manager.handle_timeout(NOW));
    for _ in 0..ROUNDS {
        for from in [0, 1] {
            for sent in sides[from].drain() {
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

/// A tunnel of its own addresses, seen from side 1, which begins, or 2.
fn connection(
    side: u8,
    tunnel: u32,
    (_, encryption, key_bits, integrity, prf, group): (&'static str, EncrId, u16, IntegId, PrfId, KeId),
) -> Result<Connection> {
    ensure!(tunnel < 1 << 16, "more tunnels than addresses");
    let [_, _, high, low] = tunnel.to_be_bytes();
    let outside = |side: u8| IpAddr::from(Ipv4Addr::new(100, 64 + side, high, low));
    let inside = |side: u8| TrafficSelector::from_network(Ipv4Addr::new(10 + side, high, low, 0).into(), 24);
    let [local_ts, remote_ts] =
        [inside(side), inside(3 - side)].map(|selector| selector.context("a network"));
    let esp = EspProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        group: Some(group),
        esn: true,
    };
    let psk = Psk::new(*b"known to both gateways");
    Ok(Connection {
        key: ConnectionKey { connection: tunnel + 1, tunnel: tunnel + 1 },
        name: format!("tunnel-{tunnel}"),
        outer_vrf: 0,
        local: outside(side),
        remote: Some(outside(3 - side)),
        local_id: Identity::Address(outside(side)),
        remote_id: Identity::Address(outside(3 - side)),
        local_auth: LocalAuth::Psk(psk.clone()),
        remote_auth: RemoteAuth::Psk(psk),
        ike_proposals: vec![IkeProposal { encryption, key_bits, integrity, prf, group }],
        ike_lifetime: None,
        reauth: None,
        child: ChildConfig {
            proposals: vec![esp],
            local_ts: vec![local_ts?],
            remote_ts: vec![remote_ts?],
            lifetime: None,
            limits: Limits::default(),
            replay_window: 1024,
            keepalive_secs: 20,
            tfc: 0,
        },
        nat_traversal: true,
        force_encap: false,
        childless: false,
        fragment_size: Some(ike::FRAGMENT_SIZE),
        dpd_timeout: Some(Duration::from_secs(30)),
        start: if side == 1 { Start::Immediate } else { Start::Respond },
    })
}

/// Memory of this process, bytes.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("statm")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
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

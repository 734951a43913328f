//! Two whole gateways beside each other: our control plane and strongSwan's charon, each negotiating the same tunnels with
//! our manager at the other end of a veth pair.
//!
//! ```text
//! namespace "peer"                    namespace "gw"
//! Driver, UDP sockets  ── veth ──  charon, or esplanade-dataplane with esplanade-controlplane
//! ```
//!
//! What counts is the CPU time that charon or `esplanade-controlplane` used, in user and kernel mode, by the number of tunnels.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use api::{Action, ActionReply, ActionRequest};
use esplanade::lab::{Gateway, GatewayOptions, Lab, Namespace, Wire};
use serde::Serialize;

use super::charon::Charon;
use super::driver::{self, Driver, peer, peer_network, subject_network};
use super::process::Usage;
use super::{PSK, Role, SUBJECT, SUITES, Suite};
use crate::{progress, table};

/// After it both ends have done all that follows a tunnel.
const SETTLE: Duration = Duration::from_millis(300);

/// One suite, in one role.
#[derive(Debug, Serialize)]
struct Row {
    suite: &'static str,
    role: Role,
    tunnels: u32,
    ours: Figures,
    charon: Figures,
    /// Of the rates.
    ratio: f64,
}

/// The best of several rounds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figures {
    /// Tunnels by seconds of CPU time.
    per_second: f64,
    bytes_per_ike_sa: u64,
}

impl Figures {
    fn better(self, other: Option<Self>) -> Self {
        other.filter(|other| other.per_second > self.per_second).unwrap_or(self)
    }
}

/// Measures, and prints what that gave. Each suite comes `rounds` times, the two programs in turn.
pub(super) fn run(tunnels: u32, rounds: usize, json: bool) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let bar = progress::bar(4 * SUITES.len() * rounds);
    let mut rows = Vec::new();
    for suite in &SUITES {
        for role in [Role::Initiator, Role::Responder] {
            bar.set_message(format!("{} as {}", suite.name, role.name()));
            let mut best: [Option<Figures>; 2] = [None; 2];
            for _ in 0..rounds {
                for (best, program) in best.iter_mut().zip([Program::Esplanade, Program::Charon]) {
                    let figures = scene.measure(program, suite, role, tunnels);
                    let figures = figures
                        .with_context(|| format!("{program:?}, {}, as {}", suite.name, role.name()))?;
                    *best = Some(figures.better(*best));
                    bar.inc(1);
                }
            }
            let [ours, charon] = best.map(|best| best.context("no round"));
            let (ours, charon) = (ours?, charon?);
            let ratio = ours.per_second / charon.per_second;
            rows.push(Row { suite: suite.name, role, tunnels, ours, charon, ratio });
        }
    }
    bar.finish_and_clear();
    if json {
        println!("{}", serde_json::json!({ "results": rows }));
    } else {
        println!("{}", render(&rows));
    }
    Ok(())
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Program {
    Esplanade,
    Charon,
}

/// A program at work.
enum Running {
    Esplanade(Box<Gateway>),
    Charon(Charon),
}

impl Running {
    fn id(&self) -> u32 {
        match self {
            Self::Esplanade(gateway) => gateway.control.id(),
            Self::Charon(charon) => charon.id(),
        }
    }

    /// Begins to negotiate a tunnel, by the socket that the program is commanded by.
    fn initiate(&mut self, tunnel: u32) -> Result<()> {
        match self {
            Self::Esplanade(gateway) => {
                let path = api::path::action(&format!("t{tunnel}"), Action::Initiate);
                gateway.client().post::<ActionReply>(&path, &ActionRequest::default()).map(drop)
            }
            Self::Charon(charon) => charon.initiate(tunnel),
        }
    }
}

/// The two namespaces.
struct Scene<'a> {
    lab: &'a Lab,
    gateway: Namespace,
    peer: Namespace,
}

impl<'a> Scene<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let (gateway, peer) = (lab.namespace("gw")?, lab.namespace("peer")?);
        Wire::lay((&gateway, "out"), (&peer, "wan"), 1500)?;
        peer.address("wan", "192.0.2.2/24")?;
        // Every address of the network is the namespace's own.
        peer.ip(&["route", "add", "local", &format!("{}/16", driver::peer(0)), "dev", "lo"])?;
        Ok(Self { lab, gateway, peer })
    }

    fn measure(&self, program: Program, suite: &Suite, role: Role, tunnels: u32) -> Result<Figures> {
        let mut running = match program {
            Program::Esplanade => Running::Esplanade(Box::new(self.start_gateway(suite, tunnels)?)),
            Program::Charon => {
                self.gateway.address("out", &format!("{SUBJECT}/24"))?;
                self.gateway.route(&format!("{}/16", driver::peer(0)), "192.0.2.2")?;
                // It installs a CHILD_SA only where it has an address within its selectors.
                for tunnel in 0..tunnels {
                    self.gateway.address("lo", &format!("{}/32", driver::subject_host(tunnel)))?;
                }
                Running::Charon(Charon::start(self.lab, &self.gateway, suite, role, tunnels)?)
            }
        };
        let id = running.id();
        thread::sleep(SETTLE);
        let before = Usage::of(id)?;
        thread::scope(|scope| {
            let drive = scope.spawn(|| {
                driver::enter(&self.peer)?;
                Driver::new(self.lab, suite, role).negotiate(tunnels, |tunnel| running.initiate(tunnel))
            });
            drive.join().unwrap_or_else(|_| anyhow::bail!("the driver panicked"))
        })?;
        thread::sleep(SETTLE);
        let after = Usage::of(id)?;
        drop(running);
        self.gateway.ip(&["address", "flush", "dev", "out"])?;
        self.gateway.ip(&["address", "flush", "dev", "lo", "scope", "global"])?;
        Ok(Figures {
            per_second: f64::from(tunnels) / (after.time - before.time).as_secs_f64(),
            bytes_per_ike_sa: after.memory.saturating_sub(before.memory) / u64::from(tunnels),
        })
    }

    fn start_gateway(&self, suite: &Suite, tunnels: u32) -> Result<Gateway> {
        let folder = tempfile::Builder::new().prefix("gateway.").tempdir_in(self.lab.folder())?.keep();
        let name = folder.file_name().and_then(|name| name.to_str()).context("a folder's name")?;
        let options = GatewayOptions {
            name: name.to_owned(),
            config: document(suite, tunnels)?,
            dataplane: "[[dataplane.port]]\nname = \"out\"\ndevice = \"net_af_packet0,iface=out\"\n\
                        [[dataplane.port]]\nname = \"in\"\ndevice = \"net_null0,no-rx=1\"\n"
                .to_owned(),
            files: Vec::new(),
            store: false,
        };
        Gateway::start(self.lab, &self.gateway, &options)
    }
}

/// A gateway with as many connections, none of which begins by itself.
fn document(suite: &Suite, tunnels: u32) -> Result<String> {
    let mut text = format!(
        "[[interface]]\nname = \"outside\"\nport = \"out\"\nrole = \"outside\"\naddresses = [\"{SUBJECT}/24\"]\n\
         [[interface]]\nname = \"inside\"\nport = \"in\"\nrole = \"inside\"\naddresses = [\"11.255.255.1/24\"]\n\
         [[route]]\nprefix = \"{}/16\"\nvia = \"192.0.2.2\"\n\
         [vpn-gateway]\nname = \"gw\"\naddresses = [\"{SUBJECT}\"]\n",
        driver::peer(0)
    );
    let [encryption, authentication, group] = suite.words;
    for tunnel in 0..tunnels {
        let [local, remote] = [subject_network(tunnel), peer_network(tunnel)];
        writeln!(
            text,
            "[[customer-gateway]]\nname = \"p{tunnel}\"\nip = \"{}\"\n\
             [[connection]]\nname = \"t{tunnel}\"\nrouting-mode = \"protected-data-flows\"\n\
             local-networks = [\"{local}/24\"]\nremote-networks = [\"{remote}/24\"]\neffective-immediately = false\n\
             [[connection.tunnel]]\ncustomer-gateway = \"p{tunnel}\"\npsk = \"{PSK}\"\n\
             ike = {{ encryption = \"{encryption}\", authentication = \"{authentication}\", dh-group = \"{group}\" }}\n\
             ipsec = {{ encryption = \"aes128gcm16\", authentication = \"sha1\", pfs = \"disabled\" }}",
            peer(tunnel)
        )?;
    }
    Ok(text)
}

fn render(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        [
            row.suite.to_owned(),
            row.role.name().to_owned(),
            format!("{:.0}", row.ours.per_second),
            format!("{:.0}", row.charon.per_second),
            format!("{:.2}", row.ratio),
            row.ours.bytes_per_ike_sa.to_string(),
            row.charon.bytes_per_ike_sa.to_string(),
        ]
    };
    let header = ["suite", "as", "ours/s", "charon/s", "ratio", "our bytes", "charon's bytes"];
    let table = table::plain(header, rows.iter().map(cells), 2);
    format!(
        "{table}\n\nours/s, charon/s: tunnels by seconds of CPU time, in user and kernel mode, of the whole process\n\
         bytes: how much the process grew for each"
    )
}

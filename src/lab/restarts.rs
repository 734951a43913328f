//! Killing a gateway's control plane in the middle of its exchanges.

use super::{Capture, Exchanges, Gateway, Lab, Namespace, Ping, Site};
use anyhow::{Context, Result, bail};
use api::{ChildState, IkeState};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// CREATE_CHILD_SA (RFC 7296 section 1.3): a rekey, where there is one CHILD_SA.
const CREATE_CHILD_SA: u8 = 36;

/// Between two pings of the traffic that must not suffer.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long exchanges may take to end after a restart: a few retransmissions.
const SETTLE: Duration = Duration::from_secs(30);

/// What killing it came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KillReport {
    /// How often it was killed.
    pub kills: usize,
    /// How often a request was on its way then, ours or the peer's, and no response to it.
    pub kills_mid_exchange: usize,
    /// Pings sent through the tunnel.
    pub packets_sent: u32,
    /// Pings that did not come back.
    pub packets_lost: u32,
    /// Negotiations from nothing, after the first.
    pub renegotiations: usize,
    /// Rekeys of CHILD_SAs and IKE SAs that ended well.
    pub rekeys: usize,
    /// IKE messages and ESP packets with an IV.
    pub ivs: usize,
    /// Those of them whose IV was used before under the same key.
    pub ivs_reused: u64,
}

/// What is going on when control is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Our request to rekey the CHILD_SA is on its way.
    OurChild,
    /// The peer's request to rekey the CHILD_SA is on its way, or is being answered.
    TheirChild,
    /// Our request to rekey the IKE SA is on its way.
    OurIke,
    /// Nothing.
    Idle,
}

impl Moment {
    const TURNS: [Self; 4] = [Self::OurChild, Self::TheirChild, Self::OurIke, Self::Idle];
}

/// Kills the control plane of `site` so often under traffic, three times in four while an exchange with `peer` is going
/// on, and starts it again each time. The tunnel is up, with an AEAD in IKE and ESP; the outside link is `br0` of `wan`.
/// `step` is told of each kill.
///
/// # Errors
/// What did not come back in time, or what could not be read.
pub fn kill_control(
    lab: &Lab,
    wan: &Namespace,
    site: &mut Site,
    peer: &Site,
    kills: usize,
    step: impl Fn(usize),
) -> Result<KillReport> {
    let all = Capture::only(lab, wan, "br0", "all", "")?;
    let ike = Capture::only(lab, wan, "br0", "exchanges", "udp port 500 or udp port 4500")?;
    let begin = now();
    let (from, to) = (site.inner(), peer.inner());
    let Site { gateway, namespace, host, .. } = site;
    let (host, peer) = (&*host, &peer.gateway);
    let mut rig = Rig { lab, ike: ike.file().to_owned(), gateway, namespace, peer, moments: Vec::new() };
    let done = AtomicBool::new(false);
    let (outcome, ping) = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| ping_until(host, &from, &to, &done));
        let outcome = (0..kills).try_for_each(|kill| {
            step(kill);
            let turn = Moment::TURNS[kill % Moment::TURNS.len()];
            rig.kill(kill, turn).with_context(|| format!("kill {} ({turn:?})", kill + 1))
        });
        done.store(true, Ordering::Relaxed);
        (outcome, traffic.join().unwrap_or_else(|_| bail!("ping thread")))
    });
    outcome?;
    let ping = ping?;
    let moments = rig.moments;
    let (exchanges, everything) = (Exchanges::read(&ike.stop())?, Exchanges::read(&all.stop())?);
    Ok(KillReport {
        kills,
        kills_mid_exchange: moments.iter().filter(|at| exchanges.in_flight(**at)).count(),
        packets_sent: ping.sent,
        packets_lost: ping.sent - ping.received,
        renegotiations: exchanges.negotiations_after(begin),
        rekeys: exchanges.answered(CREATE_CHILD_SA),
        ivs: everything.ivs(),
        ivs_reused: everything.reused_ivs(),
    })
}

/// Pings without a pause, batch after batch.
fn ping_until(host: &Namespace, from: &str, to: &str, done: &AtomicBool) -> Result<Ping> {
    let mut sum = Ping { sent: 0, received: 0 };
    while !done.load(Ordering::Relaxed) {
        let batch = Ping::run(host, from, to, 100, INTERVAL, 56)?;
        sum = Ping { sent: sum.sent + batch.sent, received: sum.received + batch.received };
    }
    Ok(sum)
}

struct Rig<'a> {
    lab: &'a Lab,
    /// The capture of IKE, which is being written.
    ike: PathBuf,
    gateway: &'a mut Gateway,
    namespace: &'a Namespace,
    peer: &'a Gateway,
    /// When control was killed.
    moments: Vec<Duration>,
}

impl Rig<'_> {
    /// Kills control once, starts it again, and waits until everything that was going on has ended well.
    fn kill(&mut self, kill: usize, moment: Moment) -> Result<()> {
        let before = self.state()?;
        // The other side is held, so that the request stays without a response for as long as we want.
        match moment {
            Moment::OurChild => self.ask(&["rekey", "site", "--wait", "0"])?,
            Moment::OurIke => self.ask(&["rekey", "site", "--ike", "--wait", "0"])?,
            Moment::TheirChild => self.be_asked()?,
            Moment::Idle => {}
        }
        // Somewhere in what it does next.
        self.lab.sleep(Duration::from_micros(kill as u64 * 7919 % 3000))?;
        self.moments.push(now());
        self.gateway.control.kill();
        self.gateway.restart_control(self.lab, self.namespace)?;
        self.peer.control.send(Signal::CONT);
        self.lab.wait_for("the exchange to end", SETTLE, || {
            let state = self.state()?;
            let quiet = !Exchanges::read(&self.ike)?.in_flight(now());
            Ok((quiet && state.follows(&before, moment)).then_some(()))
        })
    }

    /// Has us send a request that the peer does not answer.
    fn ask(&self, command: &[&str]) -> Result<()> {
        self.peer.control.send(Signal::STOP);
        self.gateway.command(command)?;
        self.wait_in_flight()
    }

    /// Has the peer send a request; we find it when we run again.
    fn be_asked(&self) -> Result<()> {
        self.gateway.control.send(Signal::STOP);
        self.peer.command(&["rekey", "site", "--wait", "0"])?;
        self.wait_in_flight()?;
        self.gateway.control.send(Signal::CONT);
        Ok(())
    }

    fn wait_in_flight(&self) -> Result<()> {
        self.lab.wait_for("a request on the wire", SETTLE, || {
            Ok(Exchanges::read(&self.ike)?.in_flight(now()).then_some(()))
        })
    }

    fn state(&self) -> Result<State> {
        let sas = self.gateway.sas()?;
        let children = || sas.iter().flat_map(|sa| &sa.children);
        Ok(State {
            ike: sas.iter().map(|sa| sa.unique_id).collect(),
            children: children().map(|child| child.spi_in.clone()).collect(),
            settled: children().all(|child| child.state == ChildState::Installed)
                && sas.iter().all(|sa| sa.state == IkeState::Established),
        })
    }
}

/// What a gateway says of its SAs.
#[derive(Debug)]
struct State {
    ike: Vec<u64>,
    children: Vec<String>,
    settled: bool,
}

impl State {
    /// True if this is what an exchange makes of `before`: one IKE SA with one CHILD_SA, replaced or the same.
    fn follows(&self, before: &Self, moment: Moment) -> bool {
        let (new_ike, new_child) = (self.ike != before.ike, self.children != before.children);
        let expected = match moment {
            Moment::OurChild | Moment::TheirChild => (false, true),
            Moment::OurIke => (true, false),
            Moment::Idle => (false, false),
        };
        self.settled && self.ike.len() == 1 && self.children.len() == 1 && (new_ike, new_child) == expected
    }
}

/// Since 1970, as captures count.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

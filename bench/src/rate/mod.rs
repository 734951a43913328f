//! Rates without loss, and latencies: RFC 2544 between a generator and a sink.
//!
//! ```text
//!   main lcore                     worker lcore
//!   generator ══ ring ═► rx ┐
//!                           ├ one gateway's worker
//!   sink      ◄═ ring ══ tx ┘
//! ```
//!
//! The rings are DPDK ports (net_ring), so that everything but a NIC's own work is in the figures. Generator and sink
//! run on one core, the worker on another. A packet's time is remembered under its number, which comes out with it:
//! the ESP sequence number of what is sealed, a number in the payload of what is opened.

mod clock;
mod connection;
mod flow;
mod pass;
mod presence;
mod report;
mod rig;
mod search;
mod trial;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crypto::Suite;
use dpdk::Lcore;

use crate::gateway::{self, SaSpec, Side, renew, tables};
use crate::machine::{Bench, Machine};
use crate::report::Direction;
use crate::traffic::{self, Size};
use connection::Wish;
use flow::Flow;
use report::{Latency, Loss, Row};
use rig::{Rig, Scene};
use search::Effort;
use trial::{Purpose, Trial};

/// Loads at which latencies are measured, percent of the highest rate.
const LOADS: [u64; 3] = [10, 50, 90];
/// The search starts that much above what the gateway takes at its own pace, percent.
const ABOVE: u64 = 110;
/// Sealed packets that are prepared for each second of a trial, up to one.
const SEALED: f64 = 262_144.0;

/// How rates are searched for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The highest rate of one SA without loss (RFC 2544), and latencies at 10, 50 and 90 % of it
    #[arg(long, group = "what")]
    ndr: bool,
    /// The same of one connection as IKE negotiates it, each direction and both at once: with the default suite, and
    /// with AES-GCM
    #[arg(long, group = "what")]
    one_connection: bool,
    /// Seconds of a trial of --ndr and --one-connection
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    trial_seconds: f64,
    /// Trials of a search at most
    #[arg(long, default_value_t = 10)]
    trials: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("0.01 to 600".to_owned()),
    }
}

impl Options {
    /// True if rates are asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.ndr || self.one_connection
    }

    /// Measures and prints.
    pub(crate) fn run(&self, suites: &[Suite], sizes: &[Size], json: bool) -> Result<()> {
        let least = |size: &Size| size.bytes() >= flow::LEAST_BYTES;
        ensure!(sizes.iter().all(least), "--sizes: {} bytes at least", flow::LEAST_BYTES);
        // Asked before the machine starts: that pins this thread.
        let shared_cpu = dpdk::LcorePlan::automatic(1).is_shared();
        if shared_cpu {
            eprintln!(
                "generator and worker share a CPU: the figures speak of the scheduler, not of the gateway"
            );
        }
        let machine = Machine::start(crypto::Preference::Auto, 1)?;
        let mut searcher = Searcher::new(self, &machine, shared_cpu)?;
        let mut rows = Vec::new();
        for &size in sizes {
            if self.one_connection {
                for wish in Wish::BOTH {
                    rows.extend(searcher.one_connection(wish, size)?);
                }
            } else {
                for suite in suites {
                    rows.extend(searcher.one_sa(*suite, size)?);
                }
            }
        }
        if json {
            println!("{}", serde_json::json!({ "engine": machine.engine.description, "results": rows }));
            return Ok(());
        }
        println!("{}\n{}", machine.engine.description, report::table(&rows));
        for loss in rows.iter().filter_map(|row| row.loss.as_ref()) {
            println!("lost at {} kpps: {} ({:?})", report::kilo(loss.offered_pps), loss.lost, loss.drops);
        }
        Ok(())
    }
}

/// Searches, one after the other, on the same cores.
struct Searcher<'a> {
    options: &'a Options,
    machine: &'a Machine,
    /// The worker's; none while it runs.
    lcore: Option<Lcore>,
    shared_cpu: bool,
}

impl<'a> Searcher<'a> {
    fn new(options: &'a Options, machine: &'a Machine, shared_cpu: bool) -> Result<Self> {
        let lcore = machine.eal.take_workers().pop().context("a core for the worker")?;
        Ok(Self { options, machine, lcore: Some(lcore), shared_cpu })
    }

    /// Both directions of one SA with given keys.
    fn one_sa(&mut self, suite: Suite, size: Size) -> Result<Vec<Row>> {
        let memory = gateway::key_memory(1)?;
        let engine = &*self.machine.engine.backend;
        let spec = SaSpec { suite, count: 1, workers: 1, engine, memory: &memory };
        let frame = |bytes| traffic::frame(0, bytes);
        let mut rows = Vec::new();
        for direction in Direction::BOTH {
            let (side, flow) = match direction {
                Direction::Encap => (Side::Head, Flow::encap(size, frame)?),
                Direction::Decap => {
                    let mut head = Bench::new(self.machine, tables(Side::Head, &spec)?)?;
                    (Side::Branches, Flow::decap(self.machine, &mut head, size, self.sealed(), frame)?)
                }
            };
            let scene = Scene {
                tables: tables(side, &spec)?,
                flows: vec![flow],
                renew: Box::new(|tables| renew(tables, side, &spec)),
            };
            rows.push(self.search(scene, suite, size)?);
        }
        Ok(rows)
    }

    /// Each direction of the connection that two gateways negotiate, and both.
    fn one_connection(&mut self, wish: Wish, size: Size) -> Result<Vec<Row>> {
        let memory = gateway::key_memory(2)?;
        let [head, peer] = connection::negotiate(self.machine, &memory, wish)?;
        let suite = head.suite()?;
        let (local, remote) = (gateway::HEAD_HOST, gateway::branch_host(0));
        let encap = Flow::encap(size, |bytes| traffic::frame_between(local, remote, bytes))?;
        let mut sealing = Bench::new(self.machine, peer.tables)?;
        let back = |bytes| traffic::frame_between(remote, local, bytes);
        let decap = Flow::decap(self.machine, &mut sealing, size, self.sealed(), back)?;
        let mut rows = Vec::new();
        for flows in [vec![encap.clone()], vec![decap.clone()], vec![encap, decap]] {
            let renew = Box::new(head.renewal()?);
            let scene = Scene { tables: head.tables.clone(), flows, renew };
            rows.push(self.search(scene, suite, size)?);
        }
        Ok(rows)
    }

    /// How many sealed packets are prepared.
    fn sealed(&self) -> usize {
        usize::try_from(whole(SEALED * self.options.trial_seconds.min(1.0))).unwrap_or(0)
    }

    /// The highest rate of a scene, and its latencies.
    fn search(&mut self, scene: Scene<'_>, suite: Suite, size: Size) -> Result<Row> {
        let direction = match &scene.flows[..] {
            [Flow { direction: Direction::Encap, .. }] => "encap",
            [Flow { direction: Direction::Decap, .. }] => "decap",
            _ => "both",
        };
        if std::io::stderr().is_terminal() {
            eprintln!("{direction} {suite} {size} bytes ...");
        }
        let lcore = self.lcore.take().context("a search failed before")?;
        let mut rig = Rig::start(self.machine, lcore, scene)?;
        let found = Found::search(&mut rig, self.options);
        self.lcore = Some(rig.stop()?);
        Ok(self.row(direction, suite, size, &found?))
    }

    fn row(&self, direction: &'static str, suite: Suite, size: Size, found: &Found) -> Row {
        let rate = found.rate();
        let best = found.best.as_ref();
        Row {
            direction,
            suite: suite.to_string(),
            bytes: size.bytes(),
            imix: size == Size::Imix,
            ndr_pps: rate,
            gbit_per_s: traffic::float(usize::try_from(rate).unwrap_or(0))
                * traffic::float(size.bytes())
                * 8.0
                / 1e9,
            marks: report::marks(rate, size.bytes()),
            limit: if best.is_some_and(Trial::is_generator_at_its_end) { "generator" } else { "worker" },
            cpu_share: best.map_or(0.0, |trial| trial.worker.share()),
            generator_cpu_share: best.map_or(0.0, |trial| trial.generator.share()),
            latency: found.latency.clone(),
            trials: found.trials,
            void: found.void,
            loss: found.loss.clone(),
            shared_cpu: self.shared_cpu,
        }
    }
}

/// What a search found.
#[derive(Default)]
struct Found {
    /// At the highest rate without loss, if there is one.
    best: Option<Trial>,
    latency: Vec<Latency>,
    loss: Option<Loss>,
    trials: usize,
    void: usize,
}

impl Found {
    fn search(rig: &mut Rig<'_>, options: &Options) -> Result<Self> {
        let seconds = options.trial_seconds;
        let from = trial::ceiling(rig, seconds)? * ABOVE / 100;
        let mut found = Self::default();
        search::highest(from, Effort { trials: options.trials }, |rate| {
            let trial = trial::run(rig, rate, seconds, Purpose::Loss)?;
            found.trials += 1;
            found.void += trial.void;
            let passed = trial.lost == 0;
            if passed {
                found.best = Some(trial);
            } else {
                found.loss = Some(Loss::of(&trial));
            }
            Ok(passed)
        })?;
        let highest = found.rate();
        for load in LOADS.into_iter().filter(|_| highest > 0) {
            let rate = (highest * load / 100).max(1);
            let trial = trial::run(rig, rate, seconds, Purpose::Latency)?;
            found.void += trial.void;
            found.latency.push(Latency::of(load, &trial));
        }
        Ok(found)
    }

    /// Packets a second of each direction; 0 if packets were lost at every rate.
    fn rate(&self) -> u64 {
        self.best.as_ref().map_or(0, |trial| trial.offered)
    }
}

/// The number without its fraction; 0 if it is none.
fn whole(number: f64) -> u64 {
    Duration::try_from_secs_f64(number).unwrap_or_default().as_secs()
}

//! Passes of one worker on this lcore, or of several at the same time, each on an lcore of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dpdk::JoinHandle;

use crate::cycles::Cost;
use crate::machine::{CpuClock, Machine, thread_time};
use crate::traffic::float;

/// What a worker does over and over.
pub(crate) trait Work: Send + 'static {
    /// Once; the cost of a packet in each direction that it has.
    fn pass(&mut self) -> Result<Vec<Cost>>;
}

/// What the passes of some workers cost.
pub(crate) struct Measured<W> {
    /// Of a packet on one worker while all of them work, in each direction.
    pub(crate) costs: Vec<Cost>,
    /// How many times the rate of the first alone, in each direction: of several workers with CPUs of their own.
    pub(crate) times_one: Option<Vec<f64>>,
    /// The least share of its CPU that one of them got.
    pub(crate) cpu_share: f64,
    /// Back from the lcores.
    pub(crate) work: Vec<W>,
}

/// So many passes of each, after a tenth as many to warm up; `between` prepares the next.
pub(crate) fn measure<W: Work>(
    machine: &Machine,
    mut work: Vec<W>,
    passes: usize,
    mut between: impl FnMut() -> Result<()>,
) -> Result<Measured<W>> {
    let warm_up = passes / 10;
    let (mut together, mut alone) = (Vec::with_capacity(passes), Vec::with_capacity(passes));
    if let [one] = &mut work[..] {
        let clock = CpuClock::start();
        for _ in 0..passes + warm_up {
            together.push(one.pass()?);
            between()?;
        }
        let cpu_share = clock.share();
        return Ok(Measured { costs: lowest(&together[warm_up..]), times_one: None, cpu_share, work });
    }
    let workers = work.len();
    let mut team = Team::new(machine, work)?;
    let passed = (0..passes + warm_up).try_for_each(|_| {
        together.push(team.pass(workers)?);
        between()?;
        alone.push(team.pass(1)?);
        between()
    });
    // The ports and tables that the lcores use outlive them even then.
    let (cpu_share, work) = team.dismiss()?;
    passed?;
    let (costs, one) = (lowest(&together[warm_up..]), lowest(&alone[warm_up..]));
    let times = costs.iter().zip(one).map(|(all, one)| float(workers) * one.tsc / all.tsc).collect();
    let times_one = (!machine.eal.shares_cpus()).then_some(times);
    Ok(Measured { costs, times_one, cpu_share, work })
}

/// Direction by direction.
fn lowest(passes: &[Vec<Cost>]) -> Vec<Cost> {
    let directions = passes.first().map_or(0, Vec::len);
    let of = |direction: usize| passes.iter().map(|costs| costs[direction]).collect::<Vec<_>>();
    (0..directions).map(|direction| Cost::lowest_tenth(&of(direction))).collect()
}

/// Lcores with their work; they get an order for each pass, and begin it together.
struct Team<'a, W> {
    machine: &'a Machine,
    members: Vec<Member<W>>,
    /// Members that have begun a pass, over all passes.
    begun: usize,
}

struct Member<W> {
    orders: SyncSender<usize>,
    costs: Receiver<Result<Vec<Cost>>>,
    handle: JoinHandle<(W, f64)>,
}

impl<'a, W: Work> Team<'a, W> {
    fn new(machine: &'a Machine, work: Vec<W>) -> Result<Self> {
        let lcores = machine.lcores(work.len());
        ensure!(lcores.len() == work.len(), "{} workers, {} lcores", work.len(), lcores.len());
        let begun = Arc::new(AtomicUsize::new(0));
        let members = lcores.into_iter().zip(work).map(|(lcore, work)| {
            let (orders, ordered) = sync_channel(1);
            let (told, costs) = sync_channel(1);
            let begun = Arc::clone(&begun);
            let handle = lcore.spawn(move || serve(work, &ordered, &told, &begun));
            Member { orders, costs, handle }
        });
        Ok(Self { machine, members: members.collect(), begun: 0 })
    }

    /// The first `playing` take one pass; the cost of a packet as if one worker had carried all.
    fn pass(&mut self, playing: usize) -> Result<Vec<Cost>> {
        let players = &self.members[..playing];
        self.begun += playing;
        for member in players {
            member.orders.send(self.begun).context("a worker is gone")?;
        }
        let costs = players.iter().map(|member| member.costs.recv().context("a worker is gone")?);
        let costs: Vec<_> = costs.collect::<Result<_>>()?;
        let directions = costs.first().map_or(0, Vec::len);
        let of = |direction: usize| costs.iter().map(|costs| costs[direction]).collect::<Vec<_>>();
        Ok((0..directions).map(|direction| mean(&of(direction))).collect())
    }

    /// The least share of its CPU that one got, and the work of all.
    fn dismiss(self) -> Result<(f64, Vec<W>)> {
        let end = |Member { orders, handle, .. }| {
            drop(orders);
            let (lcore, done) = handle.join();
            self.machine.give_back(lcore);
            done
        };
        let done = self.members.into_iter().map(end).collect::<Vec<_>>();
        let (mut least, mut all) = (1.0, Vec::with_capacity(done.len()));
        for done in done {
            let (work, share): (W, f64) = done.ok().context("a worker panicked")?;
            least = share.min(least);
            all.push(work);
        }
        Ok((least, all))
    }
}

/// One lcore, until there are no more orders; returns the share of its CPU that it got in its passes.
fn serve<W: Work>(
    mut work: W,
    orders: &Receiver<usize>,
    told: &SyncSender<Result<Vec<Cost>>>,
    begun: &AtomicUsize,
) -> (W, f64) {
    let (mut cpu, mut wall) = (Duration::ZERO, Duration::ZERO);
    for all in orders {
        begun.fetch_add(1, Ordering::AcqRel);
        while begun.load(Ordering::Acquire) < all {
            // They may share CPUs.
            thread::yield_now();
        }
        let (time, start) = (thread_time(), Instant::now());
        let costs = work.pass();
        (cpu, wall) = (cpu + (thread_time() - time), wall + start.elapsed());
        if told.send(costs).is_err() {
            break;
        }
    }
    (work, (cpu.as_secs_f64() / wall.as_secs_f64().max(1e-9)).min(1.0))
}

/// The rates add up, so the harmonic mean of the costs.
fn mean(costs: &[Cost]) -> Cost {
    let workers = float(costs.len());
    let core: Option<f64> = costs.iter().map(|cost| cost.core).sum();
    Cost {
        tsc: workers / costs.iter().map(|cost| 1.0 / cost.tsc).sum::<f64>(),
        core: core.map(|sum| sum / workers),
    }
}

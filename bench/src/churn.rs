//! What a worker at full rate notices of changes: the gaps between its bursts, less the time off the CPU, with and
//! without SAs being installed; and how soon it sees them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use crypto::{Preference, Suite};
use esplanade_dataplane::config::RxMode;
use esplanade_dataplane::shared::{Shared, Tables};
use esplanade_dataplane::worker::Worker;
use serde::Serialize;

use crate::devices::{self, Captures};
use crate::gateway::{self, MAX_SAS, SaSpec, Side};
use crate::machine::{Drops, Machine, drops, thread_time, tsc_hz};
use crate::report::Direction;
use crate::tables::SAS;
use crate::traffic::{Size, float};

/// Bytes of the inner packets that the worker encrypts meanwhile.
const BYTES: usize = 256;
/// How long each part of a round takes.
const PART: Duration = Duration::from_secs(1);
/// Rounds of a part without, a part with changes.
const ROUNDS: usize = 4;
/// What is asked for, installs a second.
const RATE: u32 = 2000;
/// Gaps by powers of two of microseconds: below 1, 2, 4, ... and above all.
const PLACES: usize = 16;
/// A gap that may have time off the CPU in it: no change of threads is shorter.
const SUSPECT: Duration = Duration::from_micros(5);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Churn {
    /// SAs that packets are for, at random.
    sas: usize,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<&'static str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    /// In the parts with changes, each in a transaction of its own that frees another SA.
    installs_per_s: f64,
    /// As many as the agent's CPU could do, in a part of its own.
    most_installs_per_s: f64,
    /// Microseconds from the publication until the worker had left all older tables.
    visible_median_us: f64,
    visible_max_us: f64,
    /// Upper bounds of the places below, microseconds; the last has none.
    gap_limits_us: Vec<u32>,
    quiet: Gaps,
    changing: Gaps,
    /// Of all parts.
    drops: Drops,
}

/// Of the worker's turns in the parts of one kind.
#[derive(Debug, Serialize)]
struct Gaps {
    turns: [u64; PLACES],
    packets: u64,
    mpps: f64,
    /// Share of its CPU that the worker got.
    cpu_share: f64,
    longest_us: f64,
    #[serde(skip)]
    wall: Duration,
    #[serde(skip)]
    cpu: Duration,
}

/// Parts of a run.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Part {
    /// Warming up, and as many changes as there can be.
    Other,
    Quiet,
    Changing,
}

/// Which part is on; the worker puts its turns there.
#[derive(Default)]
struct Stage {
    part: AtomicUsize,
    stop: AtomicBool,
    turns: AtomicU64,
}

impl Stage {
    fn enter(&self, part: Part) {
        self.part.store(part as usize, Relaxed);
    }
}

/// Runs a worker beside this thread, which changes its tables.
pub(crate) fn measure() -> Result<Churn> {
    let machine = Machine::start(Preference::Auto, 1)?;
    if machine.eal.shares_cpus() {
        let why = "there is one CPU: none to spare for the agent beside the worker";
        return Ok(Churn { sas: SAS, not_run: Some(why), figures: None });
    }
    let memory = gateway::key_memory(MAX_SAS)?;
    let suite = Suite::from_transforms(20, 128, 0).context("a suite")?;
    let engine = &*machine.engine.backend;
    let traffic = SaSpec { suite, count: SAS, workers: 1, engine, memory: &memory };
    let all = SaSpec { count: MAX_SAS, ..traffic };
    let captures = Captures::write(&machine, &traffic, Size::Fixed(BYTES))?;
    let tables = gateway::tables(Side::Head, &all)?;
    let mut open = devices::open(&machine, Direction::Encap, &captures)?;
    let shared = machine.shared(open.facts, &tables, 1)?;
    let (pipeline, reader) = machine.pipeline(&shared)?;
    let queues = open.queues.pop().context("the worker's queues")?;
    let worker = Worker::new(Arc::clone(&shared), pipeline.with_endless_source(), queues, RxMode::Poll)?;

    let stage = Arc::new(Stage::default());
    let lcore = machine.lcores(1).pop().context("a worker lcore")?;
    let handle = lcore.spawn({
        let stage = Arc::clone(&stage);
        move || observe(worker, &stage)
    });
    let mut agent = Agent { shared, tables, spec: &all, next: SAS, visible: Vec::new() };
    let figures = agent.rounds(&stage);
    stage.stop.store(true, Relaxed);
    let [_, quiet, changing] = handle.join().1.map_err(|_| anyhow!("the worker panicked"))?;
    // The devices close after the worker's queues.
    drop(open.ports);
    let (installs_per_s, most_installs_per_s) = figures?;
    agent.visible.sort_by(f64::total_cmp);
    let figures = Figures {
        installs_per_s,
        most_installs_per_s,
        visible_median_us: agent.visible[agent.visible.len() / 2],
        visible_max_us: agent.visible.last().copied().unwrap_or_default(),
        gap_limits_us: (0..PLACES - 1).map(|place| 1 << place).collect(),
        quiet,
        changing,
        drops: drops(&reader),
    };
    Ok(Churn { sas: SAS, not_run: None, figures: Some(figures) })
}

/// The worker's thread: turns until it is to stop, and how long they were.
fn observe(mut worker: Worker, stage: &Stage) -> [Gaps; 3] {
    let mut gaps = [const { Gaps::NONE }; 3];
    let per_us = tsc_hz() / 1e6;
    let (mut start, mut cpu) = (dpdk::tsc(), thread_time());
    // Since the CPU time was read last.
    let mut unread = Duration::ZERO;
    while !stage.stop.load(Relaxed) {
        let packets = worker.turn();
        let end = dpdk::tsc();
        let wall = ticks(end - start, per_us);
        start = end;
        let gaps = &mut gaps[stage.part.load(Relaxed)];
        unread += wall;
        let mut gap = wall;
        if wall >= SUSPECT {
            let now = thread_time();
            let off = unread.saturating_sub(now - cpu);
            gap = wall.saturating_sub(off);
            gaps.cpu += now - cpu;
            (cpu, unread) = (now, Duration::ZERO);
        }
        gaps.wall += wall;
        gaps.count(gap, packets);
        stage.turns.fetch_add(1, Relaxed);
    }
    gaps.map(Gaps::finish)
}

fn ticks(ticks: u64, per_us: f64) -> Duration {
    Duration::from_secs_f64(float(usize::try_from(ticks).unwrap_or(usize::MAX)) / per_us / 1e6)
}

impl Gaps {
    const NONE: Self = Self {
        turns: [0; PLACES],
        packets: 0,
        mpps: 0.0,
        cpu_share: 0.0,
        longest_us: 0.0,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
    };

    fn count(&mut self, gap: Duration, packets: usize) {
        let micros = u64::try_from(gap.as_micros()).unwrap_or(u64::MAX);
        let place = usize::try_from(micros.checked_ilog2().map_or(0, |log| log + 1)).unwrap_or(PLACES);
        self.turns[place.min(PLACES - 1)] += 1;
        self.packets += u64::try_from(packets).unwrap_or(0);
        self.longest_us = self.longest_us.max(gap.as_secs_f64() * 1e6);
    }

    fn finish(mut self) -> Self {
        let wall = self.wall.as_secs_f64().max(1e-9);
        self.mpps = float(usize::try_from(self.packets).unwrap_or(usize::MAX)) / wall / 1e6;
        self.cpu_share = (self.cpu.as_secs_f64() / wall).min(1.0);
        self
    }
}

/// What the agent does of an installation: keys, tables, publication.
struct Agent<'a> {
    shared: Arc<Shared>,
    tables: Tables,
    spec: &'a SaSpec<'a>,
    /// The SA that is replaced next: one of those without traffic.
    next: usize,
    /// Microseconds until each change was seen.
    visible: Vec<f64>,
}

impl Agent<'_> {
    /// Installs a second at the rate that is asked for, and the most that there can be.
    fn rounds(&mut self, stage: &Stage) -> Result<(f64, f64)> {
        while stage.turns.load(Relaxed) < 10_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (mut installs, mut seconds) = (0, 0.0);
        for _ in 0..ROUNDS {
            stage.enter(Part::Quiet);
            std::thread::sleep(PART);
            stage.enter(Part::Changing);
            let started = Instant::now();
            installs += self.install_for(PART, Some(RATE))?;
            seconds += started.elapsed().as_secs_f64();
        }
        stage.enter(Part::Other);
        let most = float(self.install_for(PART, None)?) / PART.as_secs_f64();
        Ok((float(installs) / seconds, most))
    }

    /// Installs one SA after another, `rate` a second; returns how many.
    fn install_for(&mut self, time: Duration, rate: Option<u32>) -> Result<usize> {
        let started = Instant::now();
        let mut count = 0;
        while started.elapsed() < time {
            let due = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * count / rate);
            if let Some(early) = due.checked_sub(started.elapsed()) {
                std::thread::sleep(early);
            }
            self.install(rate.is_some())?;
            count += 1;
        }
        Ok(usize::try_from(count)?)
    }

    fn install(&mut self, timed: bool) -> Result<()> {
        let mut next = self.tables.clone();
        gateway::replace(&mut next, Side::Head, self.next, self.spec)?;
        next.commit();
        self.tables = next;
        self.next = if self.next + 1 < MAX_SAS { self.next + 1 } else { SAS };
        let published = Instant::now();
        let ticket = self.shared.tables.publish(self.tables.clone());
        while timed && !self.shared.domain.grace_passed(ticket) {
            std::hint::spin_loop();
        }
        if timed {
            self.visible.push(published.elapsed().as_secs_f64() * 1e6);
        }
        self.shared.domain.reclaim();
        Ok(())
    }
}

/// For people.
pub(crate) fn text(churn: &Churn) -> String {
    let mut text = String::new();
    let _ = match (&churn.figures, churn.not_run) {
        (Some(figures), _) => write(&mut text, churn.sas, figures),
        (None, why) => write!(text, "changes under load: not run: {}", why.unwrap_or_default()),
    };
    text
}

fn write(text: &mut String, sas: usize, figures: &Figures) -> std::fmt::Result {
    let Figures { quiet, changing, .. } = figures;
    writeln!(text, "a worker that encrypts {BYTES} bytes for {sas} SAs at random, and an agent beside it:")?;
    writeln!(text, "  SA installs, one a transaction   {:.0}/s", figures.installs_per_s)?;
    writeln!(text, "  as many as there can be          {:.0}/s", figures.most_installs_per_s)?;
    writeln!(
        text,
        "  seen by the worker after         {:.1} us, at most {:.1} us",
        figures.visible_median_us, figures.visible_max_us
    )?;
    writeln!(text, "  drops                            {:?}", figures.drops)?;
    writeln!(text, "{:>12}  {:>12}  {:>12}", "turn below", "quiet", "changing")?;
    for place in 0..PLACES {
        let limit =
            figures.gap_limits_us.get(place).map_or_else(|| "any".to_owned(), |us| format!("{us} us"));
        writeln!(text, "{limit:>12}  {:>12}  {:>12}", quiet.turns[place], changing.turns[place])?;
    }
    for (name, of) in [
        ("longest us", (|gaps| gaps.longest_us) as fn(&Gaps) -> f64),
        ("Mpps", |gaps| gaps.mpps),
        ("CPU", |gaps| gaps.cpu_share),
    ] {
        writeln!(text, "{name:>12}  {:>12.3}  {:>12.3}", of(quiet), of(changing))?;
    }
    write!(text, "a turn is the time from one burst to the next, less the time off the CPU")
}

//! `esplanade show runtime`: asks the data plane itself, which answers while control is down, too.

use super::Format;
use super::explain::Dataplane;
use anyhow::{Result, bail};
use shm::inspect::{Bucket, Question, Record, Runtime};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The longest bar of a histogram, characters.
const BAR: usize = 40;

/// Prints what every worker did since it started, or, with an interval, again and again what it did meanwhile.
pub(super) fn run(dataplane: &Dataplane, interval: Option<Duration>, format: Format) -> Result<ExitCode> {
    let mut before = ask(dataplane)?;
    let Some(interval) = interval else { return format.print(&before, |workers| text(workers)) };
    loop {
        thread::sleep(interval);
        let now = ask(dataplane)?;
        let pairs = now.iter().zip(&before);
        let meanwhile: Vec<Runtime> = pairs.map(|(now, before)| since(now, before)).collect();
        if format.json {
            println!("{}", serde_json::to_string(&meanwhile)?);
        } else {
            println!("{}", text(&meanwhile));
        }
        before = now;
    }
}

/// Every worker as it is now.
pub(super) fn ask(dataplane: &Dataplane) -> Result<Vec<Runtime>> {
    let mut inspector = dataplane.inspect()?;
    let mut all = Vec::new();
    for worker in 0.. {
        inspector.ask(&Question::Runtime { worker })?;
        let runtime = match inspector.next_record()? {
            Record::Runtime(runtime) => *runtime,
            Record::Refused { message } => bail!("{message}"),
            _ => bail!("the data plane gave an answer of another release"),
        };
        let workers = runtime.workers;
        all.push(runtime);
        if worker + 1 >= workers {
            break;
        }
    }
    Ok(all)
}

/// What a worker did since `before`; all it did if it was started meanwhile.
pub(super) fn since(now: &Runtime, before: &Runtime) -> Runtime {
    if now.seat != before.seat || now.busy_ticks < before.busy_ticks {
        return now.clone();
    }
    let less = |now: &[Bucket], before: &[Bucket]| {
        let buckets = now.iter().zip(before);
        buckets.map(|(n, b)| Bucket { up_to: n.up_to, count: n.count.saturating_sub(b.count) }).collect()
    };
    let mut stages = now.stages.clone();
    for (stage, before) in stages.iter_mut().zip(&before.stages) {
        stage.ticks = stage.ticks.saturating_sub(before.ticks);
    }
    let minus = |field: fn(&Runtime) -> u64| field(now).saturating_sub(field(before));
    Runtime {
        busy_ticks: minus(|r| r.busy_ticks),
        idle_ticks: minus(|r| r.idle_ticks),
        bursts: minus(|r| r.bursts),
        empty_polls: minus(|r| r.empty_polls),
        packets: minus(|r| r.packets),
        timed_packets: minus(|r| r.timed_packets),
        handed_over: minus(|r| r.handed_over),
        taken_over: minus(|r| r.taken_over),
        overloaded: minus(|r| r.overloaded),
        sleeps: minus(|r| r.sleeps),
        stages,
        burst_sizes: less(&now.burst_sizes, &before.burst_sizes),
        gaps: less(&now.gaps, &before.gaps),
        ..now.clone()
    }
}

fn text(workers: &[Runtime]) -> String {
    workers.iter().map(worker).collect()
}

fn worker(r: &Runtime) -> String {
    let mut out = heading(r);
    // Writing to a String cannot fail: the results are ignored throughout.
    if let Some(silent) = &r.silent {
        let _ = writeln!(out, "  STUCK for {:.1} s: {}", float(silent.millis) / 1e3, silent.why);
    }
    let elapsed = r.busy_ticks + r.idle_ticks;
    let _ = writeln!(
        out,
        "  busy {:.1} %, {:.0} packets/s, {:.0} cycles a packet ({})",
        ratio(r.busy_ticks, elapsed) * 100.0,
        ratio(r.packets, elapsed) * float(r.ticks_per_second),
        ratio(r.busy_ticks, r.packets),
        stages(r)
    );
    let _ = writeln!(
        out,
        "  {} bursts of {:.1} packets, {} empty polls, {} sleeps, {} overloaded rounds",
        r.bursts,
        ratio(r.packets, r.bursts),
        r.empty_polls,
        r.sleeps,
        r.overloaded
    );
    let _ = writeln!(
        out,
        "  owns {} inbound and {} outbound SAs; {} packets handed over, {} taken over",
        r.inbound_sas, r.outbound_sas, r.handed_over, r.taken_over
    );
    out += &histogram("packets in a burst", &r.burst_sizes, |packets| packets.to_string());
    out += &histogram("time of a round", &r.gaps, time);
    out
}

fn heading(r: &Runtime) -> String {
    let seat = r.seat.map_or_else(
        || "not running".to_owned(),
        |seat| {
            let lcore = seat.lcore.map(|lcore| format!("lcore {lcore}, ")).unwrap_or_default();
            format!("{lcore}thread {}", seat.thread)
        },
    );
    let queues: Vec<_> = r.queues.iter().map(|q| format!("queue {} of {}", q.queue, q.port)).collect();
    format!("worker {}: {seat}; {}; {}\n", r.worker, queues.join(", "), r.crypto)
}

/// Cycles of each stage, for each packet that was timed.
fn stages(r: &Runtime) -> String {
    let stage = |s: &shm::inspect::StageTime| format!("{} {:.0}", s.stage, ratio(s.ticks, r.timed_packets));
    r.stages.iter().map(stage).collect::<Vec<_>>().join(", ")
}

/// The places from the first to the last that has something.
fn histogram(title: &str, buckets: &[Bucket], value: impl Fn(u64) -> String) -> String {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let used = |bucket: &Bucket| bucket.count > 0;
    let (Some(first), Some(last)) = (buckets.iter().position(used), buckets.iter().rposition(used)) else {
        return String::new();
    };
    let mut out = format!("  {title}\n");
    for bucket in &buckets[first..=last] {
        let limit = bucket.up_to.map_or_else(|| "more".to_owned(), |limit| format!("up to {}", value(limit)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to BAR")]
        let len = (ratio(bucket.count, most) * BAR as f64).ceil() as usize;
        let _ = writeln!(out, "  {limit:>14} {:>12} {}", bucket.count, "#".repeat(len));
    }
    out
}

fn time(nanoseconds: u64) -> String {
    let ns = float(nanoseconds);
    match nanoseconds {
        0..1000 => format!("{ns:.0} ns"),
        1000..1_000_000 => format!("{:.1} us", ns / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

/// 0 of nothing is 0.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::inspect::{PortQueue, Seat, StageTime};

    fn sample() -> Runtime {
        Runtime {
            workers: 1,
            seat: Some(Seat { lcore: Some(1), thread: 4711 }),
            queues: vec![PortQueue { port: "wan".into(), queue: 0 }],
            crypto: "portable".into(),
            inbound_sas: 2,
            outbound_sas: 1,
            ticks_per_second: 1_000_000,
            busy_ticks: 300_000,
            idle_ticks: 700_000,
            bursts: 100,
            packets: 3000,
            timed_packets: 200,
            stages: vec![StageTime { stage: "seal".into(), ticks: 8000 }],
            burst_sizes: vec![
                Bucket { up_to: Some(1), count: 0 },
                Bucket { up_to: Some(2), count: 25 },
                Bucket { up_to: None, count: 75 },
            ],
            gaps: vec![Bucket { up_to: Some(1500), count: 100 }],
            ..Runtime::default()
        }
    }

    #[test]
    fn a_worker_in_words() {
        let text = text(&[sample()]);
        assert!(text.starts_with("worker 0: lcore 1, thread 4711; queue 0 of wan; portable\n"), "{text}");
        assert!(text.contains("busy 30.0 %, 3000 packets/s, 100 cycles a packet (seal 40)\n"), "{text}");
        assert!(text.contains("100 bursts of 30.0 packets,"), "{text}");
        assert!(!text.contains("up to 1 "), "empty places at the ends are left out: {text}");
        assert!(text.contains("up to 2           25 ##############\n"), "{text}");
        assert!(
            text.contains("up to 1.5 us          100 ########################################"),
            "{text}"
        );
        assert!(!worker(&Runtime::default()).contains("NaN"));
    }

    #[test]
    fn the_difference_of_two_samples_is_what_happened_in_between() {
        let (before, mut now) = (sample(), sample());
        now.packets += 10;
        now.stages[0].ticks += 7;
        now.burst_sizes[2].count += 1;
        now.inbound_sas = 5;
        let between = since(&now, &before);
        assert_eq!((between.packets, between.stages[0].ticks, between.inbound_sas), (10, 7, 5));
        assert_eq!(between.burst_sizes.iter().map(|bucket| bucket.count).sum::<u64>(), 1);
        now.seat = Some(Seat { lcore: Some(1), thread: 4712 });
        assert_eq!(since(&now, &before), now, "another process");
    }
}

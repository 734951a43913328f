//! What an operator sees of packets: `esplanade capture`, read by tshark, `esplanade trace`, and what `esplanade show
//! runtime` says of the workers.

use crate::Scenario;
use crate::scene::{Initiator, Scene, With, waiting_site};
use anyhow::{Context, Result, ensure};
use esplanade::lab::{Lab, Process};
use shm::inspect::{Bucket, Runtime};
use std::path::{Path, PathBuf};
use std::time::Duration;

const INJECT: &str = include_str!("inject.py");
const PINGS: u32 = 20;
/// What becomes of the frames of `inject.py`, in its order.
const BAD: [&str; 3] = ["replay_duplicate", "authentication_failed", "spi_invalid"];

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("packet/seeing/capture", capture).chosen(),
        Scenario::new("packet/seeing/trace", trace),
        Scenario::new("packet/seeing/runtime", runtime),
    ]
}

/// A tunnel with strongSwan whose neighbours are known: what is sent from now on goes the short way.
fn scene(lab: &Lab) -> Result<Scene<'_>> {
    let scene = Scene::set(lab, &waiting_site(1), &With::StrongSwan(Box::default()))?;
    scene.establish(Initiator::Us)?;
    scene.ping(5)?;
    lab.sleep(Duration::from_millis(300))?;
    Ok(scene)
}

/// The frames that a hostile network adds.
fn inject(scene: &Scene<'_>) -> Result<()> {
    let script = scene.lab.folder().join("inject.py");
    std::fs::write(&script, INJECT)?;
    let neighbours = scene.site.gateway.command(&["show", "neighbours", "--json"])?;
    let mac = crate::scenarios::bad_input::peer_mac(&neighbours)?;
    let capture = scene.capture.file().to_string_lossy().into_owned();
    // The peer's port of the bridge is where a hostile network would be.
    scene.wan.run("python3", &[&*script.to_string_lossy(), &capture, "wan1", &mac]).map(drop)
}

/// Ends a watcher as Ctrl-C does; returns what it printed.
fn end(lab: &Lab, mut watcher: Process) -> Result<String> {
    watcher.interrupt();
    lab.wait_for("the watcher's end", Duration::from_secs(5), || Ok((!watcher.is_alive()).then_some(())))?;
    Ok(watcher.log())
}

/// A packet as tshark reads it.
#[derive(Debug)]
struct Seen {
    interface: String,
    comment: String,
    /// Empty if it is no ESP.
    spi: String,
    /// Whether it is an echo request or reply.
    ping: bool,
}

fn read(scene: &Scene<'_>, file: &Path) -> Result<Vec<Seen>> {
    let fields = ["frame.interface_name", "frame.comment", "esp.spi", "icmp.type"];
    let mut args = vec!["-r".to_owned(), file.to_string_lossy().into_owned(), "-T".into(), "fields".into()];
    args.extend(fields.iter().flat_map(|field| ["-e".to_owned(), (*field).to_owned()]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text = scene.wan.run("tshark", &args)?;
    let line = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Seen { interface: next(), comment: next(), spi: next(), ping: ["0", "8"].contains(&&*next()) }
    };
    Ok(text.lines().map(line).collect())
}

/// At the four points at once, while pings pass and three bad packets come in.
fn capture(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let points = ["outside", "inside", "pre-crypto", "post-crypto"];
    let file = |point: &str| lab.folder().join(format!("{point}.pcapng"));
    let begin = |point: &str| -> Result<(PathBuf, Process)> {
        let path = file(point).to_string_lossy().into_owned();
        let args = ["capture", "--point", point, "-w", &path];
        Ok((file(point), scene.site.gateway.watch(lab, &args, &lab.folder().join(format!("{point}.log")))?))
    };
    let watchers = points.map(begin).into_iter().collect::<Result<Vec<_>>>()?;
    scene.ping(PINGS)?;
    scene.explain(inject(&scene))?;
    lab.sleep(Duration::from_millis(500))?;
    let mut seen = Vec::new();
    for (file, watcher) in watchers {
        let said = end(lab, watcher)?;
        ensure!(!said.contains("no room"), "{said}");
        seen.push(read(&scene, &file)?);
    }
    let sa = scene.only_sa()?;
    let child = sa.children.first().context("no CHILD_SA")?;
    let ours = [&child.spi_in, &child.spi_out].map(|spi| format!("0x{spi}"));
    check(&seen, &ours).with_context(|| format!("{seen:#?}"))?;
    scene.finish()?;
    Ok(format!("tshark agrees at {} points; {} bad packets with their reasons", points.len(), BAD.len()))
}

fn check(seen: &[Vec<Seen>], ours: &[String; 2]) -> Result<()> {
    let both_ways = 2 * PINGS as usize;
    let [outside, inside, clear, sealed] = seen else { anyhow::bail!("four points") };
    for esp in [outside, sealed] {
        let esp: Vec<_> = esp.iter().filter(|packet| !packet.spi.is_empty()).collect();
        ensure!(esp.len() == both_ways + BAD.len(), "{} ESP packets", esp.len());
        for packet in &esp {
            ensure!(packet.interface == "out", "{packet:?}");
            ensure!(packet.comment.split(',').any(|c| c == format!("spi {}", packet.spi)), "{packet:?}");
        }
        for reason in BAD {
            let dropped = |packet: &&&Seen| packet.comment.ends_with(&format!("dropped: {reason}"));
            ensure!(esp.iter().filter(dropped).count() == 1, "{reason}");
        }
        let good = esp.iter().filter(|packet| !packet.comment.contains("dropped"));
        ensure!(good.clone().count() == both_ways, "good ones");
        ensure!(good.clone().all(|packet| ours.contains(&packet.spi)), "SPIs of {ours:?}");
    }
    for (pings, interfaces) in [(inside, &["in"][..]), (clear, &["in", "out"])] {
        let pings: Vec<_> = pings.iter().filter(|packet| packet.ping).collect();
        ensure!(pings.len() == both_ways, "{} pings", pings.len());
        for packet in pings {
            ensure!(interfaces.contains(&&*packet.interface), "{packet:?}");
            ensure!(ours.iter().any(|spi| packet.comment == format!("spi {spi}")), "{packet:?}");
        }
    }
    Ok(())
}

/// By SPI, by addresses and by drop reason; the stages are told.
fn trace(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let spi = scene.spis()?.pop().context("no CHILD_SA")?;
    let log = |name: &str| lab.folder().join(format!("{name}.log"));
    let begin =
        |name: &str, args: &[&str]| scene.site.gateway.watch(lab, &[&["trace"], args].concat(), &log(name));
    let by_spi = begin("by-spi", &["--spi", &spi])?;
    let header = ["--src", "10.1.0.0/24", "--dst", scene.peer.inner(), "--proto", "icmp", "--count", "3"];
    let mut by_header = begin("by-header", &header)?;
    let by_reason = begin("by-reason", &["--drop", "authentication_failed", "--json"])?;
    scene.ping(PINGS)?;
    scene.explain(inject(&scene))?;
    lab.wait_for("three packets", Duration::from_secs(5), || Ok((!by_header.is_alive()).then_some(())))?;
    lab.sleep(Duration::from_millis(500))?;
    let (by_spi, by_header, by_reason) = (end(lab, by_spi)?, by_header.log(), end(lab, by_reason)?);
    let count = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
    let pings = PINGS as usize;
    // Both directions, and of the bad ones those that name the SA.
    ensure!(count(&by_spi, "  receive  ") == 2 * pings + 2, "{by_spi}");
    for stage in ["classify", "sa", "open", "decide", "seal", "send"] {
        ensure!(count(&by_spi, &format!("  {stage:<10}  ")) >= pings, "{stage}: {by_spi}");
    }
    ensure!(count(&by_spi, "drop        replay_duplicate: ") == 1, "{by_spi}");
    ensure!(
        count(&by_header, "  receive  ") == 3 && count(&by_header, &format!("encrypted with SA {spi}")) == 3
    );
    let json: Vec<&str> = by_reason.lines().filter(|line| line.starts_with('{')).collect();
    ensure!(json.len() == 1 && json[0].contains("\"drop_reason\":\"authentication_failed\""), "{by_reason}");
    scene.finish()?;
    Ok(format!("{} journeys by SPI, 3 by header, 1 by drop reason", 2 * pings + 2))
}

/// What the only worker says of itself.
fn ask_runtime(scene: &Scene<'_>) -> Result<Runtime> {
    let mut workers = scene.site.gateway.runtime()?;
    ensure!(workers.len() == 1, "{workers:?}");
    workers.pop().context("one worker")
}

/// Real packets are counted once in every figure, and those in agreement.
fn runtime(lab: &Lab) -> Result<String> {
    let scene = scene(lab)?;
    let before = ask_runtime(&scene)?;
    scene.ping(PINGS)?;
    let after = ask_runtime(&scene)?;
    let text = scene.site.gateway.ask_dataplane(&["show", "runtime"])?;
    let count = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.count).sum::<u64>();
    let came = after.packets - before.packets;
    // In clear and sealed, both ways; some neighbour discovery besides.
    ensure!((u64::from(2 * PINGS)..u64::from(3 * PINGS)).contains(&came), "{came} packets: {text}");
    // The page is read while the worker runs: an idle turn may be on its way.
    ensure!(count(&after.burst_sizes).abs_diff(after.bursts) <= 1, "{after:?}");
    let turns = after.bursts + after.empty_polls;
    ensure!((count(&after.gaps) + after.sleeps).abs_diff(turns) <= 4, "{after:?}");
    ensure!(after.stages.iter().map(|stage| stage.ticks).sum::<u64>() <= after.busy_ticks, "{after:?}");
    ensure!(after.busy_ticks > before.busy_ticks && after.idle_ticks > before.idle_ticks, "{after:?}");
    ensure!((after.inbound_sas, after.outbound_sas) == (1, 1), "{after:?}");
    ensure!(after.seat.is_some() && after.queues.len() == 2, "{after:?}");
    ensure!(text.contains("packets in a burst") && text.contains("time of a round"), "{text}");
    scene.finish()?;
    Ok(format!("{came} packets in {} bursts", after.bursts - before.bursts))
}

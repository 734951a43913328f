//! `esplanade trace`: what the data plane does with packets, stage by stage, as they pass.

use super::watch::{Next, Watch};
use anyhow::{Result, bail};
use clap::Args;
use shm::inspect::{Journey, Question, Record};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    watch: Watch,
    /// Print one JSON object a line, one for each packet
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let mut stream = options.watch.stream(&Question::Trace(options.watch.filter()))?;
    eprintln!("tracing; Ctrl-C ends it");
    let mut out = std::io::stdout().lock();
    loop {
        match stream.next()? {
            Next::Record(Record::Journey(journey)) if options.json => {
                writeln!(out, "{}", serde_json::to_string(&journey)?)?;
            }
            Next::Record(Record::Journey(journey)) => out.write_all(text(&journey).as_bytes())?,
            Next::Record(_) => bail!("the data plane gave a record of another release"),
            Next::Quiet => out.flush()?,
            Next::End => break,
        }
    }
    out.flush()?;
    stream.report_losses();
    Ok(ExitCode::SUCCESS)
}

/// One block: a line for the packet, and one for each stage.
fn text(journey: &Journey) -> String {
    let began = journey.stages.first().map_or(0, |stage| stage.at);
    // Writing to a String cannot fail: the results are ignored throughout.
    let mut out = format!("packet {}", number(journey.id));
    if journey.piece > 0 {
        let _ = write!(out, ", piece {}", journey.piece);
    }
    let _ = writeln!(out, " at {}.{:09} UTC", clock(began), began % NANOS);
    let last = journey.stages.len().saturating_sub(1);
    for (index, stage) in journey.stages.iter().enumerate() {
        if index == last && journey.left_out > 0 {
            let _ = writeln!(out, "  ({} stages left out)", journey.left_out);
        }
        let micros = stage.at.saturating_sub(began) / 1000;
        let _ =
            writeln!(out, "  {micros:>8} us  worker {}  {:<10}  {}", stage.worker, stage.stage, stage.found);
    }
    out.push('\n');
    out
}

const NANOS: u64 = 1_000_000_000;

/// The worker that the packet came to, and its number there.
fn number(id: u64) -> String {
    format!("{}.{}", id >> 48, id & 0xffff_ffff_ffff)
}

/// The time of day, in UTC.
fn clock(unix_nanos: u64) -> String {
    let seconds = unix_nanos / NANOS % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::inspect::Stage;

    #[test]
    fn a_packet_is_a_block_of_stages() {
        let stage = |at, worker, stage: &str, found: &str| Stage {
            at,
            worker,
            stage: stage.into(),
            found: found.into(),
        };
        let began = 1_700_000_000_000_000_007;
        let journey = Journey {
            id: 1 << 48 | 17,
            piece: 2,
            stages: vec![
                stage(began, 1, "receive", "98 bytes on lan"),
                stage(began + 5_000, 0, "drop", "tx_full: wait"),
            ],
            left_out: 3,
            spis: Vec::new(),
            drop_reason: Some("tx_full".into()),
            help: Some("wait".into()),
        };
        let expected = "packet 1.17, piece 2 at 22:13:20.000000007 UTC\n         \
                        0 us  worker 1  receive     98 bytes on lan\n  (3 stages left out)\n         \
                        5 us  worker 0  drop        tx_full: wait\n\n";
        assert_eq!(text(&journey), expected);
    }
}

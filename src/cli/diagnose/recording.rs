//! Recordings of negotiations: written to a file, and played again offline.

use anyhow::{Context, Result};
use api::{RecordRequest, Recorded};
use esplanade::client::Client;
use ike::record::{Entry, Recording, What};
use serde::Serialize;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Exit, Format, private, show};

/// Longest file that is read, in bytes: twice what a recorder writes at most.
const MAX_FILE: u64 = 64 << 20;

/// Negotiates and writes what happens to `file`, which must be new.
pub(super) fn record(
    client: &Client,
    connection: &str,
    request: RecordRequest,
    file: &Path,
    format: Format,
) -> Result<ExitCode> {
    // Before anything is negotiated: a file that cannot be written would cost the recording.
    let mut output = private::create(file)?;
    let recorded: Recorded = match client.post(&api::path::record(connection), &request) {
        Ok(recorded) => recorded,
        Err(error) => {
            drop(std::fs::remove_file(file));
            return Err(error);
        }
    };
    output.write_all(recorded.recording.as_bytes()).with_context(|| file.display().to_string())?;
    let Recorded { message, diagnosis, .. } = &recorded;
    let recording: Recording = serde_json::from_str(&recorded.recording)?;
    let is_up = recording.results().any(|what| *what == What::Up);
    format.print(&Told { message, diagnosis: diagnosis.as_ref(), file }, |told| {
        let cause = told.diagnosis.map(show::cause).unwrap_or_default();
        format!(
            "{message}\n{cause}recorded in {}: identities and networks are in it, no secrets\n",
            file.display()
        )
    })?;
    Ok(Exit::up(is_up).into())
}

/// The outcome of a recording.
#[derive(Serialize)]
struct Told<'a> {
    message: &'a str,
    diagnosis: Option<&'a api::Diagnosis>,
    file: &'a Path,
}

/// What a replay shows.
#[derive(Serialize)]
struct Replay<'a> {
    /// What happened, one line each.
    timeline: Vec<String>,
    recorded: Vec<&'a What>,
    replayed: &'a [What],
    same: bool,
}

/// Plays the recording of `file` again; exits with 1 where it comes to another result.
pub(super) fn replay(file: &Path, format: Format) -> Result<ExitCode> {
    let recording = read(file)?;
    let replayed = ike::record::replay(&recording).with_context(|| file.display().to_string())?;
    let recorded: Vec<&What> = recording.results().collect();
    let same = recorded.iter().copied().eq(&replayed);
    let timeline = recording.entries.iter().map(Entry::to_string).collect();
    format.print(&Replay { timeline, recorded, replayed: &replayed, same }, text)?;
    Ok(if same { Exit::Done } else { Exit::Failed }.into())
}

fn read(file: &Path) -> Result<Recording> {
    let name = || file.display().to_string();
    let mut bytes = Vec::new();
    let input = std::fs::File::open(file).with_context(name)?;
    input.take(MAX_FILE).read_to_end(&mut bytes).with_context(name)?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("{}: not a recording of `esplanade diagnose --record`, or of another release", name())
    })
}

fn text(replay: &Replay<'_>) -> String {
    let mut lines = replay.timeline.join("\n");
    lines.push_str("\n\nreplayed:\n");
    for what in replay.replayed {
        lines.push_str(&format!("  {what}\n"));
    }
    if replay.replayed.is_empty() {
        lines.push_str("  no result\n");
    }
    let verdict =
        if replay.same { "the same result as recorded" } else { "NOT the result that was recorded" };
    lines.push_str(verdict);
    lines.push('\n');
    lines
}

//! `esplanade config commit|confirm|rollback|history|show|export`: the configuration as transactions.

use super::config::{changes, problems};
use super::{Format, human, private};
use anyhow::{Context, Result, bail};
use api::{
    CommitReport, CommitRequest, ConfirmRequest, Document, EditTerms, History, Impact, PendingConfirmation,
    RevisionEntry, RollbackRequest, TunnelState,
};
use clap::Args;
use esplanade::client::Client;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Commit {
    /// The whole document, TOML or JSON; files that it names are looked for beside the one in force
    file: PathBuf,
    /// Return to the revision before unless `config confirm` comes within so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3600))]
    confirm: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The revision whose text is put into force again; by default the one before a commit that is not confirmed
    revision: Option<u64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Another revision than the one in force
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// Pre-shared keys as they are; who asked is told in the log
    #[arg(long)]
    secrets: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where to; it must not be there yet, and gets mode 0600
    file: PathBuf,
    /// Another revision than the one in force
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// Without pre-shared keys: where such a file is committed, a tunnel keeps the key it has there
    #[arg(long)]
    without_secrets: bool,
}

/// How a document is put into force.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Say what would happen, and do nothing
    #[arg(long)]
    plan: bool,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    format: Format,
}

/// How an object is changed.
#[derive(Debug, Args)]
pub(super) struct Edit {
    /// Return to the revision before unless `config confirm` comes within so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(10..=3600))]
    confirm: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    #[command(flatten)]
    pub(super) how: How,
}

impl Edit {
    pub(super) fn terms(&self, dry_run: bool) -> EditTerms {
        EditTerms { dry_run, comment: self.comment.clone(), confirm_secs: self.confirm }
    }
}

/// What is asked about before it is done.
pub(super) enum Question {
    /// Where traffic is interrupted.
    Interruption,
    /// This.
    Always(String),
}

pub(super) fn commit(client: &Client, options: &Commit) -> Result<ExitCode> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let request = CommitRequest {
        text,
        file: file.display().to_string(),
        comment: options.comment.clone(),
        confirm_secs: options.confirm,
        dry_run: true,
        idempotency_key: None,
    };
    put_into_force(&options.how, &Question::Interruption, |dry_run| {
        client.post(api::path::CONFIG_COMMIT, &CommitRequest { dry_run, ..request.clone() })
    })
}

pub(super) fn rollback(client: &Client, options: &Rollback) -> Result<ExitCode> {
    put_into_force(&options.how, &Question::Interruption, |dry_run| {
        let request = RollbackRequest { revision: options.revision, dry_run };
        client.post(api::path::CONFIG_ROLLBACK, &request)
    })
}

/// Asks for a plan by a dry run, then for the same in earnest. Exit code 0 when the document is in force (or would be), 1
/// when the one before stayed.
pub(super) fn put_into_force(
    how: &How,
    question: &Question,
    ask: impl Fn(bool) -> Result<CommitReport>,
) -> Result<ExitCode> {
    let plan = ask(true)?;
    if how.plan || !plan.valid {
        return tell(how.format, &plan);
    }
    if !how.yes && !goes_on(&plan, question)? {
        return Ok(ExitCode::FAILURE);
    }
    tell(how.format, &ask(false)?)
}

/// Says what a plan does that one may not want, and asks whether that is meant.
fn goes_on(plan: &CommitReport, question: &Question) -> Result<bool> {
    let mut stops = plan.changes.clone();
    stops.retain(|change| {
        matches!(change.impact, Impact::Renegotiate | Impact::Interrupting | Impact::Removed)
    });
    let what = match question {
        Question::Interruption if stops.is_empty() => return Ok(true),
        Question::Interruption => "this interrupts traffic",
        Question::Always(what) => what,
    };
    eprint!("{}", changes(&stops));
    if !std::io::stdin().is_terminal() {
        bail!("{what}: add --yes where it is meant");
    }
    eprint!("{what}; go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tell(format: Format, report: &CommitReport) -> Result<ExitCode> {
    format.print(report, |report| {
        let mut out = problems(&report.problems);
        if !report.valid {
            return out + "not valid: the document in force stays\n";
        }
        let mut changed = report.changes.clone();
        changed.retain(|change| change.impact != Impact::Unchanged);
        if report.revision.is_none() || !changed.is_empty() {
            out += &changes(&changed);
        }
        let _ = match report.revision {
            None => writeln!(out, "nothing was done"),
            Some(revision) if report.state == Some(TunnelState::Updating) => {
                writeln!(out, "revision {revision} is in force; the data plane is updating")
            }
            Some(revision) => writeln!(out, "revision {revision} is in force"),
        };
        out + &report.pending.as_ref().map(waits).unwrap_or_default()
    })?;
    Ok(if report.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn waits(pending: &PendingConfirmation) -> String {
    let PendingConfirmation { revision, fallback, left_secs } = pending;
    format!(
        "revision {revision} waits for `esplanade config confirm`: back to revision {fallback} in {left_secs} s\n"
    )
}

/// Exit code 0 when the revision is there to stay.
pub(super) fn confirm(client: &Client, format: Format) -> Result<ExitCode> {
    let confirmed: PendingConfirmation =
        client.post(api::path::CONFIG_CONFIRM, &ConfirmRequest::default())?;
    format.print(&confirmed, |confirmed| format!("revision {} stays in force\n", confirmed.revision))
}

pub(super) fn history(client: &Client, format: Format) -> Result<ExitCode> {
    let history: History = client.get(api::path::CONFIG_HISTORY)?;
    let now = human::now();
    format.print(&history, |history| {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["REVISION", "AGE", "BY", "COMMENT"]);
        for RevisionEntry { revision, at, author, comment } in &history.revisions {
            let age = human::duration(now.saturating_sub(*at));
            table.add_row([revision.to_string(), age, author.clone(), comment.clone()]);
        }
        format!("{table}\n{}", history.pending.as_ref().map(waits).unwrap_or_default())
    })
}

pub(super) fn show(client: &Client, options: &Show) -> Result<ExitCode> {
    let document = read(client, options.revision, options.secrets)?;
    options.format.print(&document, |document| document.text.clone())
}

pub(super) fn export(client: &Client, options: &Export) -> Result<ExitCode> {
    let document = read(client, options.revision, !options.without_secrets)?;
    let mut file = private::create(&options.file)?;
    file.write_all(document.text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", options.file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn read(client: &Client, revision: Option<u64>, secrets: bool) -> Result<Document> {
    let path = revision.map_or_else(|| api::path::CONFIG.to_owned(), api::path::revision);
    client.get(&format!("{path}?secrets={secrets}"))
}

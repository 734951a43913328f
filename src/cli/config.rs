//! `esplanade config`: a document by itself, against the one in force, and in force.

use super::{Format, check, transaction};
use anyhow::{Context, Result};
use api::{ConfigChange, ConfigDiff, ConfigProblem, ConfigReport, ConfigText, FieldChange, Impact};
use clap::{Args, Subcommand};
use esplanade::client::Client;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a file: every error and warning with file, line, field, value, what is allowed and the fix
    ///
    /// Example:  esplanade config check /etc/esplanade/esplanade.toml
    #[command(verbatim_doc_comment)]
    Check(check::Options),
    /// Compare a file with the document in force: what is new, hot, rekeyed, renegotiated, interrupted or removed, and every value that differs
    ///
    /// Example:  esplanade config diff /etc/esplanade/esplanade.toml
    #[command(verbatim_doc_comment)]
    Diff(Diff),
    /// Print the JSON Schema of the configuration, for editors and generators
    ///
    /// Example:  esplanade config schema >esplanade.schema.json
    #[command(verbatim_doc_comment)]
    Schema,
    /// Check a file, store it as a new revision and put it into force: all of it or nothing
    ///
    /// A change that interrupts traffic is said first, and asked about on a terminal.
    ///
    /// Examples:
    ///   esplanade config commit new.toml --plan
    ///   esplanade config commit new.toml --comment "osaka moves" --confirm 120
    #[command(verbatim_doc_comment, visible_alias = "import")]
    Commit(transaction::Commit),
    /// Keep a revision that was committed with --confirm
    ///
    /// Example:  esplanade config confirm
    #[command(verbatim_doc_comment)]
    Confirm(Format),
    /// Put an older revision into force again, as a new revision; or take back a commit that is not confirmed
    ///
    /// Examples:
    ///   esplanade config rollback
    ///   esplanade config rollback 41 --plan
    #[command(verbatim_doc_comment)]
    Rollback(transaction::Rollback),
    /// List the revisions: when, by whom, why
    ///
    /// Example:  esplanade config history --json
    #[command(verbatim_doc_comment)]
    History(Format),
    /// Print the document in force, or that of a revision, without its secrets
    ///
    /// Examples:
    ///   esplanade config show
    ///   esplanade config show --revision 41 --secrets
    #[command(verbatim_doc_comment)]
    Show(transaction::Show),
    /// Write the document into a new file, secrets included, to be committed here or elsewhere
    ///
    /// Example:  esplanade config export backup.toml
    #[command(verbatim_doc_comment)]
    Export(transaction::Export),
    /// Put the control plane's file into force, as SIGHUP does, and print what came of it
    ///
    /// Example:  esplanade config reload
    #[command(verbatim_doc_comment)]
    Reload(Format),
}

pub(super) fn run(client: &Client, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Check(options) => check::run(options),
        Command::Diff(options) => diff(client, options),
        Command::Schema => schema(),
        Command::Commit(options) => transaction::commit(client, options),
        Command::Confirm(format) => transaction::confirm(client, *format),
        Command::Rollback(options) => transaction::rollback(client, options),
        Command::History(format) => transaction::history(client, *format),
        Command::Show(options) => transaction::show(client, options),
        Command::Export(options) => transaction::export(client, options),
        Command::Reload(format) => reload(client, *format),
    }
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The other document; files that it names are looked for beside the one in force
    file: PathBuf,
    /// What stays as it is, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    format: Format,
}

/// Exit code 0 for a valid document, 1 for another.
fn diff(client: &Client, options: &Diff) -> Result<ExitCode> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let request = ConfigText { text, file: file.display().to_string() };
    let mut diff: ConfigDiff = client.post(api::path::CONFIG_DIFF, &request)?;
    diff.changes.retain(|change| options.all || change.impact != Impact::Unchanged);
    options.format.print(&diff, |diff| {
        problems(&diff.problems) + &if diff.valid { changes(&diff.changes) } else { String::new() }
    })?;
    Ok(if diff.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn schema() -> Result<ExitCode> {
    println!("{}", serde_json::to_string_pretty(&gateway::schema())?);
    Ok(ExitCode::SUCCESS)
}

/// Exit code 0 when the document is in force, 1 when the one before stayed.
fn reload(client: &Client, format: Format) -> Result<ExitCode> {
    let report: ConfigReport = client.post(api::path::CONFIG_RELOAD, &serde_json::Value::Null)?;
    format.print(&report, |report| {
        let mut out = problems(&report.problems);
        let _ = match (report.valid, &report.changed[..]) {
            (false, _) => writeln!(out, "not valid: the document in force stays"),
            (true, []) => writeln!(out, "in force; {} connections as they were", report.unchanged.len()),
            (true, changed) => writeln!(
                out,
                "in force; changed: {}; {} connections as they were",
                changed.join(", "),
                report.unchanged.len()
            ),
        };
        out
    })?;
    Ok(if report.valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn problems(problems: &[ConfigProblem]) -> String {
    let line = |p: &ConfigProblem| {
        let severity = match p.severity {
            api::Severity::Error => "error",
            api::Severity::Warning => "warning",
        };
        let fix = p.fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{severity}[{}]: {}:{}: {}: {}{fix}\n", p.code, p.file, p.line, p.path, p.message)
    };
    problems.iter().map(line).collect()
}

pub(super) fn changes(changes: &[ConfigChange]) -> String {
    if changes.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut out = String::new();
    for ConfigChange { kind, name, impact, fields } in changes {
        let _ = writeln!(out, "{:<13} {kind} {name}", impact.name());
        for FieldChange { field, old, new } in fields {
            let _ = match (old, new) {
                (None, None) => writeln!(out, "              {field}"),
                (old, new) => {
                    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                    writeln!(out, "              {field}: {} -> {}", show(old), show(new))
                }
            };
        }
    }
    out
}

//! `esplanade config check FILE`.

use super::Format;
use anyhow::{Context, Result, bail};
use clap::Args;
use gateway::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The configuration
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// Exit code 0 without errors, 1 with.
pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let report = check(&options.file)?;
    let diagnostics: Vec<_> = report.diagnostics().collect();
    options.format.print(&diagnostics, |_| {
        let verdict = if report.desired.is_some() {
            "is valid"
        } else {
            "is not valid: nothing of it would be applied"
        };
        format!("{report}{} {verdict}\n", options.file.display())
    })?;
    Ok(if report.desired.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails with every problem if a file is not valid; prints its warnings otherwise.
pub(super) fn must_pass(file: &Path) -> Result<()> {
    let report = check(file)?;
    for diagnostic in report.diagnostics() {
        eprintln!("{diagnostic}");
    }
    if report.desired.is_none() {
        bail!("{} is not valid: nothing was started", file.display());
    }
    Ok(())
}

fn check(file: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(gateway::check(&text, &file.display().to_string()))
}

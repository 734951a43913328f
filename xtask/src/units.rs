//! The systemd units of `packaging/`: what systemd itself says of them, where it is installed.

use crate::run::{command, root, target_dir};
use anyhow::{Context, Result};
use std::path::Path;

/// Each unit, what changes it, and the most exposure that `systemd-analyze security` may find, in tenths: 100 is unconfined.
const UNITS: [(&str, Option<&str>, u32); 3] = [
    ("esplanade-dataplane.service", None, 28),
    ("esplanade-controlplane.service", None, 10),
    ("esplanade-controlplane.service", Some("remote.conf"), 16),
];

/// What systemd complains of; `None` where there is no systemd.
pub(crate) fn complaints() -> Result<Option<Vec<String>>> {
    if command("systemd-analyze", &["--version"]).output().is_err() {
        return Ok(None);
    }
    let packaging = root().join("packaging/systemd");
    let mut found = Vec::new();
    for (unit, change, exposure) in UNITS {
        let folder = target_dir().join("units").join(change.unwrap_or("as-is"));
        let changes = folder.join(format!("{unit}.d"));
        std::fs::create_dir_all(&changes).with_context(|| changes.display().to_string())?;
        let text = std::fs::read_to_string(packaging.join(unit)).context(unit)?;
        let path = folder.join(unit);
        std::fs::write(&path, with_present_programs(&text))?;
        if let Some(change) = change {
            std::fs::copy(packaging.join(change), changes.join(change)).context(change)?;
        }
        found.extend(analyze(&["verify", "--man=no"], &path)?);
        let threshold = format!("--threshold={exposure}");
        found.extend(analyze(&["security", "--offline=true", "--no-pager", &threshold], &path)?);
    }
    Ok(Some(found))
}

/// The programs may not be installed here, and systemd looks for them.
fn with_present_programs(text: &str) -> String {
    let present = |line: &str| match line.strip_prefix("ExecStart=") {
        Some(_) => "ExecStart=/bin/true".to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(present).collect::<Vec<_>>().join("\n") + "\n"
}

fn analyze(what: &[&str], unit: &Path) -> Result<Option<String>> {
    let output = command("systemd-analyze", what).arg(unit).output().context("systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() && said.is_empty() {
        return Ok(None);
    }
    let told = String::from_utf8_lossy(&output.stdout);
    Ok(Some(format!("{} {}: {said} {}", what[0], unit.display(), told.lines().last().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_are_well_formed_and_confined() {
        if let Some(found) = complaints().expect("read") {
            assert_eq!(found, [] as [String; 0]);
        }
    }
}

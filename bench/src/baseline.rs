//! `--baseline`: the ratios of this run beside those of an earlier one.
//!
//! Cycles of two runs cannot be compared: the machine, its clock and its neighbours differ. Ratios within a run
//! can: to the peer where there is one, else to the cryptography alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::report::{Direction, Measurement, Scope};
use crate::table;

/// A ratio that is worse by more than this fails.
const TOLERANCE: f64 = 0.05;

/// What an earlier run printed with `--json`.
#[derive(Debug)]
pub(crate) struct Baseline {
    rows: Vec<Earlier>,
}

/// What of an earlier row is compared.
#[derive(Debug, Deserialize)]
struct Earlier {
    direction: Direction,
    suite: String,
    bytes: usize,
    imix: bool,
    sas: usize,
    workers: u16,
    scope: Scope,
    ratio_raw: f64,
    peer: Option<String>,
    ratio_tsc: Option<f64>,
}

impl Earlier {
    fn is_of(&self, row: &Measurement) -> bool {
        (self.direction, self.scope, &self.suite) == (row.direction, row.scope, &row.suite)
            && (self.bytes, self.imix) == (row.bytes, row.imix)
            && (self.sas, self.workers) == (row.sas, row.workers)
            && self.peer.as_deref() == row.comparison.as_ref().map(|with| with.peer)
    }
}

impl Baseline {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || Self::parse(&fs::read_to_string(path)?);
        read().with_context(|| format!("--baseline {}", path.display()))
    }

    /// Rows of scopes that have no ratio are passed over.
    fn parse(text: &str) -> Result<Self> {
        let report: Value = serde_json::from_str(text)?;
        let results = report["results"].as_array().context("it has no array `results`")?;
        let rows = results.iter().filter_map(|row| Earlier::deserialize(row).ok()).collect();
        Ok(Self { rows })
    }

    /// Says how many ratios were compared.
    ///
    /// # Errors
    /// Those that are worse by more than 5 %, each by name; or nothing was measured both then and now.
    pub(crate) fn judge(&self, rows: &[Measurement]) -> Result<String> {
        let (mut compared, mut worse) = (0, Vec::new());
        for row in rows {
            let Some(earlier) = self.rows.iter().find(|earlier| earlier.is_of(row)) else { continue };
            let (was, is, to) = match (&row.comparison, earlier.ratio_tsc) {
                (Some(with), Some(was)) => (was, with.ratio.median, with.peer),
                _ => (earlier.ratio_raw, row.ratio_raw, "the cryptography alone"),
            };
            compared += 1;
            // A ratio that is no number does not hold either.
            let holds = is <= was * (1.0 + TOLERANCE);
            if !holds {
                worse.push(format!("{}: {is:.3} times {to}, was {was:.3}", table::name(row)));
            }
        }
        ensure!(compared > 0, "--baseline: it has none of the rows of this run");
        if !worse.is_empty() {
            bail!("worse than the baseline by more than 5 %:\n  {}", worse.join("\n  "));
        }
        Ok(format!(
            "{compared} of {} ratios compared with the baseline: none is worse by more than 5 %",
            rows.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    fn earlier(rows: &[Measurement]) -> Baseline {
        Baseline::parse(&serde_json::json!({ "results": rows }).to_string()).expect("our own JSON")
    }

    #[test]
    fn a_ratio_may_be_five_percent_worse_and_no_more() {
        let baseline = earlier(&[row(100.0, Some(0.5))]);
        assert!(baseline.judge(&[row(130.0, Some(0.524))]).is_ok(), "with a peer, only its ratio counts");
        let error = baseline.judge(&[row(100.0, Some(0.53))]).expect_err("6 % worse").to_string();
        assert!(
            error.contains("worker encap") && error.contains("0.530 times ipsec-secgw, was 0.500"),
            "{error}"
        );
        assert!(baseline.judge(&[row(100.0, Some(f64::NAN))]).is_err(), "no figure is no pass");
    }

    #[test]
    fn without_a_peer_the_cryptography_is_the_measure() {
        let baseline = earlier(&[row(100.0, None)]);
        assert!(baseline.judge(&[row(104.0, None)]).is_ok());
        assert!(baseline.judge(&[row(106.0, None)]).is_err());
    }

    #[test]
    fn rows_that_have_nothing_in_common_are_no_success() {
        let baseline = earlier(&[row(100.0, None)]);
        assert!(baseline.judge(&[row(100.0, Some(0.5))]).is_err());
        assert!(Baseline::parse("{}").is_err());
        assert!(
            Baseline::parse(r#"{"results":[{"direction":"both"}]}"#).expect("passed over").rows.is_empty()
        );
    }
}

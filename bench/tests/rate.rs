//! The short form of the rate measurements: every figure is produced. No time is asserted.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Two at a time would take each other's cores.
static CORES: Mutex<()> = Mutex::new(());

/// The rows that `esplanade-bench --json` prints with these arguments.
fn rows(arguments: &[&str]) -> Vec<Value> {
    let _alone = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env!("CARGO_BIN_EXE_esplanade-bench"));
    let output =
        command.args(arguments).args(["--trial-seconds", "0.02", "--trials", "3", "--json"]).output();
    let output = output.expect("it starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    // EAL may talk before.
    let json = said.lines().last().expect("a line");
    let mut report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {said}"));
    match report["results"].take() {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

fn assert_complete(row: &Value, direction: &str) {
    assert_eq!((&row["direction"], &row["bytes"]), (&direction.into(), &256.into()), "{row}");
    for figure in ["ndr_pps", "gbit_per_s", "cpu_share", "generator_cpu_share", "trials", "void"] {
        assert!(row[figure].is_number(), "{figure}: {row}");
    }
    assert_eq!(row["marks"][0]["pps"], 120_000, "{row}");
    assert_eq!(row["marks"][1]["pps"], 488_281, "{row}");
    assert!(row["marks"][0]["met"].is_boolean(), "{row}");
    let Value::Array(latency) = &row["latency"] else { panic!("{row}") };
    // A machine that is never left alone may lose packets at every rate.
    let nothing_passed = row["ndr_pps"] == 0;
    assert_eq!(latency.len(), if nothing_passed { 0 } else { 3 }, "{row}");
    for (at, load) in latency.iter().zip([10, 50, 90]) {
        assert_eq!(at["load"], load, "{row}");
        for figure in ["offered_pps", "p50", "p90", "p99", "p99.9", "max", "lost"] {
            assert!(at[figure].is_number(), "{figure}: {row}");
        }
    }
    if let Some(loss) = row["loss"].as_object() {
        assert!(loss["lost"].as_u64().is_some_and(|lost| lost > 0), "{row}");
    }
}

#[test]
fn one_connection_in_each_direction_and_both() {
    let rows = rows(&["--one-connection", "--sizes", "256"]);
    assert_eq!(rows.len(), 6, "{rows:?}");
    for (row, direction) in rows.iter().zip(["encap", "decap", "both"].into_iter().cycle()) {
        assert_complete(row, direction);
    }
    let suites: Vec<_> = rows.iter().map(|row| row["suite"].as_str().unwrap_or_default()).collect();
    assert!(suites[..3].iter().all(|suite| suite.starts_with("AES-CBC-128")), "{suites:?}");
    assert!(suites[3..].iter().all(|suite| *suite == "AES-GCM-16-128"), "{suites:?}");
}

#[test]
fn one_sa_in_each_direction() {
    let rows = rows(&["--ndr", "--suite", "aes128gcm", "--sizes", "256"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_complete(&rows[0], "encap");
    assert_complete(&rows[1], "decap");
    assert!(rows.iter().all(|row| row["suite"] == "AES-GCM-16-128"), "{rows:?}");
}

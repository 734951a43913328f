//! The short form of the benchmark: every figure is produced. No time is asserted.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_esplanade-bench"));
    command.args(["--suite", "aes128gcm", "--runs", "2"]).args(arguments).output().expect("it starts")
}

/// The rows of its JSON, which is its last line: EAL may talk before.
fn rows(output: &Output) -> Vec<Value> {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let json = said.lines().last().expect("a line");
    let mut report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(report["engine"].is_string(), "{report}");
    match report["results"].take() {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

const FIGURES: [&str; 7] =
    ["bytes", "mpps", "gbit_per_s", "tsc_per_packet", "raw_tsc_per_packet", "ratio_raw", "cpu_share"];

fn assert_complete(row: &Value) {
    for figure in FIGURES {
        assert!(row[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {row}");
    }
    let core = &row["core_cycles_per_packet"];
    assert!(core.is_null() || core.is_number(), "{row}");
    assert_eq!(row["drops"], serde_json::json!({}), "{row}");
    assert_eq!(row["suite"], "AES-GCM-16-128", "{row}");
}

#[test]
fn every_scope_direction_and_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("cycles.svg");
    let rows = rows(&bench(&["--sizes", "64,imix", "--json", "--svg", &svg.to_string_lossy()]));
    let of = |row: &Value| {
        ["scope", "direction", "bytes"]
            .map(|name| row[name].to_string().trim_matches('"').to_owned())
            .join(" ")
    };
    let expected = ["path encap", "path decap", "worker encap", "worker decap"];
    let expected = [64, 344].map(|bytes| expected.map(|row| format!("{row} {bytes}")));
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), expected.concat());
    rows.iter().for_each(assert_complete);
    assert!(fs::read_to_string(svg).expect("a plot").contains("Esplanade, worker, decap"));
}

#[test]
fn many_sas_on_two_workers() {
    let output = bench(&["--sizes", "64", "--sas", "3", "--workers", "2", "--json"]);
    let rows = rows(&output);
    assert_eq!(rows.len(), 4, "{rows:?}");
    rows.iter().for_each(assert_complete);
    assert!(rows.iter().all(|row| row["sas"] == 3 && row["workers"] == 2), "{rows:?}");
    // A ratio, or the reason why there is none.
    let said = String::from_utf8_lossy(&output.stderr).contains("no ratio to one worker");
    assert!(rows.iter().all(|row| row["times_one_worker"].is_number() != said), "{rows:?}");
}

#[test]
fn packets_that_are_handed_over_beside_those_that_are_not() {
    let output = bench(&["--handover", "--sizes", "64", "--json"]);
    let rows = rows(&output);
    rows.iter().for_each(assert_complete);
    // A second thread, or the reason why there is none.
    let threads = if String::from_utf8_lossy(&output.stderr).contains("none to spare") { 1 } else { 2 };
    assert_eq!(rows.len(), 4 * threads, "{rows:?}");
    for ways in rows.chunks(2) {
        let [direct, handed] = ways else { panic!("{ways:?}") };
        assert_eq!([&direct["handed_over"], &handed["handed_over"]], [0.0, 1.0], "{ways:?}");
        assert_eq!(direct["giver_tsc_per_packet"], 0.0, "{direct}");
        assert!(handed["giver_tsc_per_packet"].as_f64().is_some_and(|cycles| cycles > 0.0), "{handed}");
    }
}

#[test]
fn a_baseline_passes_or_names_what_is_worse() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("before.json");
    let run =
        |path: &Path| bench(&["--sizes", "64", "--scope", "path", "--baseline", &path.to_string_lossy()]);
    let mut report =
        serde_json::json!({ "results": rows(&bench(&["--sizes", "64", "--scope", "path", "--json"])) });
    let mut judge = |ratio: f64| {
        for row in report["results"].as_array_mut().expect("rows") {
            row["ratio_raw"] = ratio.into();
        }
        fs::write(&path, report.to_string()).expect("written");
        run(&path)
    };
    assert!(judge(1e9).status.success());
    let worse = judge(1e-9);
    assert_eq!(worse.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&worse.stderr).into_owned();
    assert!(complaint.contains("path encap AES-GCM-16-128 64 bytes"), "{complaint}");
    assert!(!run(Path::new("/nonexistent")).status.success());
}

#[test]
fn handshakes_of_every_suite() {
    let output = bench(&["--handshakes", "--tunnels", "2", "--json"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let rows = report["results"].as_array().expect("rows");
    assert_eq!(rows.len(), 5);
    for row in rows {
        for figure in ["initiator_per_second", "responder_per_second"] {
            assert!(row[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {row}");
        }
        assert!(row["bytes_per_ike_sa"].is_u64() && row["tunnels"] == 2, "{row}");
    }
}

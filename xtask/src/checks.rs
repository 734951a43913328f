//! Checks that run no test: formatting, lints, licences, and the dependency rules of the design.

use crate::coverage;
use crate::run::{command, output, passes, root, say, target_dir};
use crate::units;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many checks or tests held and how many did not.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Counts one named check and says how it went.
    pub(crate) fn count(&mut self, name: &str, held: bool) {
        if held {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        say(&format!("{name}: {}", if held { "ok" } else { "FAILED" }));
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The version of cargo-deny that CI installs where it is missing.
const CARGO_DENY: &str = "0.20.2";

/// All checks.
pub(crate) fn all() -> Result<Tally> {
    let mut tally = Tally::default();
    tally.count("formatting", passes(&mut command("cargo", &["fmt", "--all", "--check"]))?);
    let broken = layering()?;
    broken.iter().for_each(|rule| eprintln!("  {rule}"));
    tally.count("layering", broken.is_empty());
    let strays = unsafe_outside_its_crates()?;
    strays.iter().for_each(|place| eprintln!("  {place}"));
    tally.count("unsafe stays in its crates", strays.is_empty());
    let missing = coverage::missing_tests()?;
    missing.iter().for_each(|name| eprintln!("  {name}"));
    tally.count("the tests that the coverage tables name", missing.is_empty());
    if let Some(complaints) = units::complaints()? {
        complaints.iter().for_each(|complaint| eprintln!("  {complaint}"));
        tally.count("systemd units", complaints.is_empty());
    }
    tally.count("licences, bans and sources", deny()?);
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"];
    tally.count("clippy", passes(&mut command("cargo", &clippy))?);
    tally.count("fuzz targets compile", fuzz_targets()?);
    Ok(tally)
}

/// The crate of the fuzz targets, which the workspace leaves out. Nothing is linked, so libFuzzer itself, which is C++,
/// may be missing.
fn fuzz_targets() -> Result<bool> {
    let check = ["check", "--manifest-path", "tests/fuzz/Cargo.toml", "--locked", "--quiet"];
    let mut check = command("cargo", &check);
    check.env("CARGO_TARGET_DIR", target_dir()).env("CUSTOM_LIBFUZZER_PATH", "/nonexistent/libfuzzer.a");
    passes(&mut check)
}

/// cargo-deny, installed by cargo where it is missing (unoptimised: it runs for a second, an optimised build takes minutes).
fn deny() -> Result<bool> {
    if output(&mut command("cargo", &["deny", "--version"])).is_err() {
        say("installing cargo-deny (once, about two minutes)");
        let install = ["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug", "--quiet"];
        if !passes(&mut command("cargo", &install))? {
            return Ok(false);
        }
    }
    passes(&mut command("cargo", &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

/// What each crate of ours may depend on among our own (docs/architecture.md draws it), and what it must never reach at all.
///
/// A crate that is missing here is an error: a new crate states its place.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("dpdk-sys", &[], ASYNC),
    ("dpdk", &["dpdk-sys", "hugepages"], ASYNC),
    ("rcu", &[], NO_IO),
    ("crypto", &[], NO_IO),
    ("packet", &[], NO_IO),
    ("shm", &[], &["tokio", "dpdk-sys"]),
    ("doctree", &[], NO_IO),
    ("hugepages", &[], NO_IO),
    ("esplanade-dataplane", &["dpdk", "rcu", "crypto", "packet", "shm", "doctree", "hugepages"], ASYNC),
    ("ike", &[], NO_IO),
    ("test-pki", &[], NO_IO),
    ("gateway", &["doctree"], NO_IO),
    ("routing", &[], NO_IO),
    ("store", &[], NO_IO),
    ("api", &["ike", "gateway", "routing"], &["dpdk-sys"]),
    (
        "esplanade-controlplane",
        &["ike", "gateway", "routing", "store", "api", "shm"],
        &["dpdk-sys", "packet", "esplanade-dataplane"],
    ),
    (
        "esplanade",
        // `ike` only replays recordings of negotiations, offline.
        &["api", "gateway", "hugepages", "ike", "shm"],
        &["dpdk-sys", "esplanade-dataplane", "esplanade-controlplane"],
    ),
    (
        "bench",
        &[
            "dpdk",
            "rcu",
            "crypto",
            "packet",
            "shm",
            "esplanade-dataplane",
            "ike",
            "gateway",
            "api",
            "esplanade-controlplane",
            "esplanade",
        ],
        &[],
    ),
    ("sim", &["ike", "test-pki"], NO_IO),
    ("interop", &["esplanade", "api", "shm", "test-pki"], &["dpdk-sys"]),
    ("xtask", &[], &["dpdk-sys"]),
];
const ASYNC: &[&str] = &["tokio", "mio", "async-std"];
const NO_IO: &[&str] = &["tokio", "mio", "async-std", "socket2", "dpdk-sys"];

/// Every way in which the dependency graph breaks [`LAYERS`].
fn layering() -> Result<Vec<String>> {
    let json = output(&mut command("cargo", &["metadata", "--format-version", "1", "--locked"]))?;
    let graph = Graph::read(&serde_json::from_str(&json).context("cargo metadata")?);
    let mut broken = Vec::new();
    for name in &graph.ours {
        let Some((_, allowed, never)) = LAYERS.iter().find(|(layer, ..)| layer == name) else {
            broken.push(format!("{name}: has no place in the layers (xtask/src/checks.rs)"));
            continue;
        };
        let direct = graph.needs.get(name).into_iter().flatten().filter(|d| graph.ours.contains(*d));
        broken.extend(
            direct
                .filter(|d| !allowed.contains(&d.as_str()))
                .map(|d| format!("{name} must not depend on {d}")),
        );
        let reached = graph.reachable(name);
        broken.extend(
            never.iter().filter(|d| reached.contains(**d)).map(|d| format!("{name} must never reach {d}")),
        );
    }
    Ok(broken)
}

/// The resolved dependency graph, by crate name, without dev and build dependencies.
struct Graph {
    ours: BTreeSet<String>,
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let name_of = |id: &Value| names.get(&text(id)).cloned().unwrap_or_default();
        let ours = list(&metadata["workspace_members"]).iter().map(name_of).collect();
        let is_normal = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let deps = list(&node["deps"]);
            let normal = deps.iter().filter(|dep| is_normal(dep)).map(|dep| name_of(&dep["pkg"]));
            needs.entry(name_of(&node["id"])).or_default().extend(normal);
        }
        Self { ours, needs }
    }

    fn reachable(&self, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(name) = next.pop() {
            for need in self.needs.get(&name).into_iter().flatten() {
                if seen.insert(need.clone()) {
                    next.push(need.clone());
                }
            }
        }
        seen
    }
}

/// The folders whose crates may contain `unsafe`.
const UNSAFE_HOMES: &[&str] = &[
    "dataplane/dpdk-sys/",
    "dataplane/dpdk/",
    "dataplane/rcu/",
    "dataplane/crypto/",
    "dataplane/src/",
    "dataplane/tests/",
    "shm/",
    "bench/",
];

/// Source lines that open an unsafe block, function or impl anywhere else.
fn unsafe_outside_its_crates() -> Result<Vec<String>> {
    let mut strays = Vec::new();
    for file in rust_files()? {
        if UNSAFE_HOMES.iter().any(|home| file.starts_with(home)) || file == "xtask/src/checks.rs" {
            continue;
        }
        let text = std::fs::read_to_string(root().join(&file))?;
        let opens = |line: &str| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|w| line.contains(w))
        };
        strays.extend(
            text.lines()
                .enumerate()
                .filter(|(_, l)| opens(l))
                .map(|(n, l)| format!("{file}:{}: {}", n + 1, l.trim())),
        );
    }
    Ok(strays)
}

/// The Rust files that git tracks.
fn rust_files() -> Result<Vec<String>> {
    Ok(output(&mut command("git", &["ls-files", "*.rs"]))?.lines().map(str::to_owned).collect())
}

/// Prints lines of code per crate: neither blank nor comment, files of tests counted apart.
pub(crate) fn lines_of_code() -> Result<()> {
    let mut crates: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for file in rust_files()? {
        let text = std::fs::read_to_string(root().join(&file))?;
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
        let is_test = file.split('/').any(|part| ["tests", "tests.rs", "examples", "fuzz"].contains(&part));
        crates.entry(crate_of(Path::new(&file))).or_default()[usize::from(is_test)] += lines;
    }
    println!("{:<28}{:>8}{:>8}", "crate", "code", "tests");
    for (name, [code, tests]) in &crates {
        println!("{name:<28}{code:>8}{tests:>8}");
    }
    let sum = |which: usize| crates.values().map(|lines| lines[which]).sum::<usize>();
    println!("{:<28}{:>8}{:>8}", "all", sum(0), sum(1));
    Ok(())
}

/// The folder of the crate that a file belongs to.
fn crate_of(file: &Path) -> String {
    let owner = file.ancestors().skip(1).find(|folder| root().join(folder).join("Cargo.toml").exists());
    match owner.map(|folder| folder.to_string_lossy().into_owned()) {
        Some(folder) if !folder.is_empty() => folder,
        _ => "esplanade".to_owned(),
    }
}

//! `cargo xtask bench`: the benchmark, and the gateway it is compared with.

use crate::deps;
use crate::run::{command, must, say, target_dir};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Where Debian's `dpdk-doc` has the sources of DPDK's examples.
const EXAMPLES: &str = "/usr/share/dpdk/examples";

/// Installs, builds and runs the benchmark with these arguments.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    deps::ensure(&[deps::BUILD])?;
    let mut args = args.to_vec();
    let given = |name: &str| args.iter().any(|arg| arg.split('=').next() == Some(name));
    if given("--compare") && !given("--secgw") {
        deps::ensure(&[deps::COMPARE])?;
        args.extend(["--secgw".to_owned(), secgw()?.to_string_lossy().into_owned()]);
    }
    let program = build()?.to_string_lossy().into_owned();
    // Its standard output is its result: it must not be mixed with this command's own.
    Ok(deps::privileged(&program, &args).status()?.success())
}

/// Builds the benchmark in release mode; returns the program, which `esplanade bench` runs from beside itself.
pub(crate) fn build() -> Result<PathBuf> {
    say("building the benchmark (release)");
    must(&mut command("cargo", &["build", "--release", "--locked", "-p", "bench"]))?;
    Ok(target_dir().join("release/esplanade-bench"))
}

/// Builds DPDK's example gateway ipsec-secgw; returns the program.
///
/// It asks every port for receive checksum offload, which no virtual device has: it is built without.
fn secgw() -> Result<PathBuf> {
    let folder = target_dir().join("peers/examples");
    let program = folder.join("ipsec-secgw/build/ipsec-secgw");
    if program.exists() {
        return Ok(program);
    }
    say("building ipsec-secgw of DPDK's examples");
    for part in ["common", "ipsec-secgw"] {
        copy(&Path::new(EXAMPLES).join(part), &folder.join(part))?;
    }
    let source = folder.join("ipsec-secgw/ipsec-secgw.c");
    let text = std::fs::read_to_string(&source).context("ipsec-secgw.c")?;
    let asked = ".offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM";
    ensure!(text.contains(asked), "{}: it asks for no checksum offload, as it did", source.display());
    std::fs::write(&source, text.replace(asked, ".offloads = 0"))?;
    must(&mut command("make", &["-C", &folder.join("ipsec-secgw").to_string_lossy()]))?;
    Ok(program)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

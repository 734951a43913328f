//! `cargo xtask debian13`: the crates that know DPDK and ipsec-mb, against the releases of the next Debian, in a root of its own.

use crate::deps;
use crate::run::{command, must, passes, root, say, target_dir};
use anyhow::{Result, bail};

/// What the root needs beyond a minimal Debian.
const PACKAGES: &str =
    "libdpdk-dev,libipsec-mb-dev,libclang-dev,gcc,libc6-dev,pkg-config,iproute2,util-linux,ca-certificates";

/// Builds and tests them there; `false` if a test fails.
pub(crate) fn check() -> Result<bool> {
    if !deps::is_root() {
        bail!("a root needs root: sudo --preserve-env=PATH cargo xtask debian13");
    }
    deps::ensure(&[deps::GUEST])?;
    let folder = target_dir().join("debian13");
    let place = folder.to_string_lossy().into_owned();
    if !folder.join("usr/bin/gcc").exists() {
        say("making a Debian 13 root (about three minutes, 1.1 GB, once; it stays under the target folder)");
        must(&mut command(
            "mmdebstrap",
            &["--variant=minbase", &format!("--include={PACKAGES}"), "trixie", &place],
        ))?;
    }
    // What cargo fetches, it fetches here: the root has no need of a network.
    must(&mut command("cargo", &["fetch", "--locked"]))?;
    let (script, tree) = (root().join("xtask/debian13.sh"), root());
    let (script, tree) = (script.to_string_lossy(), tree.to_string_lossy());
    let test = "cargo test --offline --locked -p dpdk-sys -p dpdk -p crypto";
    let words = ["--mount", "--propagation", "private", "bash", &script, &place, &tree, test];
    passes(&mut command("unshare", &words))
}

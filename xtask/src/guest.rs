//! The Linux kernel peers' images: made once, kept beside what cargo builds.

use crate::deps;
use crate::run::{must, root, say, target_dir};
use anyhow::Result;
use std::path::PathBuf;

/// strongSwan on the Linux kernel: what the chosen scenarios and the demo need.
pub(crate) const ONE: [&str; 1] = ["base.cpio.zst"];
/// Those and other daemons: what the whole matrix needs.
pub(crate) const ALL: [&str; 5] =
    ["base.cpio.zst", "libreswan.cpio.zst", "strongswan6.cpio.zst", "frr.cpio.zst", "xfrm_interface.ko"];

/// The folder that holds the kernel and the images.
pub(crate) fn folder() -> PathBuf {
    target_dir().join("guest")
}

/// Makes the kernel and those of these files that are not there yet.
pub(crate) fn ensure(files: &[&str]) -> Result<()> {
    let made = |file: &str| folder().join(file).exists();
    let missing = files.iter().filter(|file| !made("linux.uml") || !made(file));
    let missing: Vec<&str> = missing.filter_map(|file| file.split('.').next()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    deps::ensure(&[deps::GUEST])?;
    say(&format!("making the Linux kernel peers {} (about a minute each, once)", missing.join(", ")));
    let script = root().join("tests/interop/guest/build.sh");
    let mut words = vec![script.to_string_lossy().into_owned(), folder().to_string_lossy().into_owned()];
    words.extend(missing.into_iter().map(str::to_owned));
    must(&mut deps::privileged("bash", &words))
}

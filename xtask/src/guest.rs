//! The Linux kernel peer's image: made once, kept beside what cargo builds.

use crate::deps;
use crate::run::{must, root, say, target_dir};
use anyhow::Result;
use std::path::PathBuf;

/// The folder that holds the kernel and the image.
pub(crate) fn folder() -> PathBuf {
    target_dir().join("guest")
}

/// Makes the image if it is not there yet.
pub(crate) fn ensure() -> Result<()> {
    let complete = ["linux.uml", "base.cpio.zst"].iter().all(|file| folder().join(file).exists());
    if complete {
        return Ok(());
    }
    deps::ensure(&[deps::GUEST])?;
    say("making the Linux kernel peer (a User Mode Linux image, about a minute, once)");
    let script = root().join("tests/interop/guest/build.sh");
    let words = [script.to_string_lossy().into_owned(), folder().to_string_lossy().into_owned()];
    must(&mut deps::privileged("bash", &words))
}

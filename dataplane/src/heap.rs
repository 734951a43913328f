//! The heap on huge pages.
//!
//! Tables, SAs and remembered flows lie on the heap. A packet of one SA in ten thousand touches a dozen of its cache
//! lines, on as many pages: with pages of 4 kB each is another entry of the TLB, of which there are too few. The C
//! library asks the kernel for transparent huge pages where a variable of the environment tells it to when the
//! program starts; nothing can tell it later.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use signal_hook::consts::SIGPIPE;

const TUNABLES: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";

/// Set for the second start. A program with capabilities of its file is not let have the tunable: without this it would
/// start for ever.
const MARK: &str = "ESPLANADE_STARTED_AGAIN";

/// Starts the program anew, as the same process, with a heap on transparent huge pages; returns where it was started
/// so, and where it cannot be. Whoever sets the tunable has their way: 0 leaves the heap on small pages.
pub fn prefer_huge_pages() {
    let [before, mark] = [TUNABLES, MARK].map(env::var_os);
    let Some(tunables) = with_huge_pages(before.unwrap_or_default()).filter(|_| mark.is_none()) else {
        return;
    };
    let (mut args, Ok(program)) = (env::args_os(), env::current_exe()) else { return };
    let mut again = Command::new(program);
    args.next().inspect(|name| {
        again.arg0(name);
    });
    // It only returns what went wrong: then the pages are small, and nothing else changes.
    let error = again.args(args).env(TUNABLES, tunables).env(MARK, "1").exec();
    tracing::warn!(%error, "the heap stays on small pages");
    // The attempt had the default action restored: a log that nobody reads any more would end the process.
    if let Err(error) = signal_hook::flag::register(SIGPIPE, Arc::default()) {
        tracing::warn!(%error, "SIGPIPE ends this process");
    }
}

/// True if this program was started with such a heap. How much of it the kernel could back so is another matter:
/// `AnonHugePages` in `/proc/PID/smaps_rollup` says it.
#[must_use]
pub fn has_huge_pages() -> bool {
    let tunables = env::var_os(TUNABLES).unwrap_or_default();
    tunables.to_string_lossy().contains("glibc.malloc.hugetlb=1")
}

/// The tunables with ours; `None` where they say something about it.
fn with_huge_pages(mut tunables: OsString) -> Option<OsString> {
    if tunables.to_string_lossy().contains(TUNABLE) {
        return None;
    }
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(TUNABLE);
    tunables.push("=1");
    Some(tunables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tunable_is_added_unless_it_is_there() {
        let with = |tunables: &str| with_huge_pages(tunables.into());
        assert_eq!(with(""), Some("glibc.malloc.hugetlb=1".into()));
        assert_eq!(with("glibc.malloc.check=1"), Some("glibc.malloc.check=1:glibc.malloc.hugetlb=1".into()));
        assert_eq!(with("glibc.malloc.hugetlb=0"), None);
        assert_eq!(with("glibc.malloc.hugetlb=1"), None, "or it would start for ever");
    }
}

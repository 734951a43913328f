//! How far a long run is: on standard error, where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

const STYLE: &str = "{elapsed_precise} {wide_bar} {pos}/{len} {msg}";

/// A bar of so many steps. It is drawn when it moves, between two measurements: a thread that animates it would
/// be a neighbour of what is measured.
pub(crate) fn bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template(STYLE) {
        bar.set_style(style);
    }
    bar
}

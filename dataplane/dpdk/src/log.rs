//! DPDK's log: every line goes to `tracing`, and the errors of a call can be kept for its error message.

use std::cell::RefCell;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use dpdk_sys::FILE;

const ERROR: i32 = 4;
const WARNING: i32 = 5;
const NOTICE: i32 = 6;
const INFO: i32 = 7;

thread_local! {
    /// Lines that this thread caused and [`capture`] keeps; none outside of it.
    static CAPTURED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Sends DPDK's log to `tracing` from now on, for the whole process.
pub(crate) fn redirect() {
    // SAFETY: `write` may be called by any thread at any time and never unwinds; the stream is never
    // closed. Should it be NULL, DPDK keeps writing to standard error.
    unsafe {
        let stream: *mut FILE = dpdk_sys::shim_log_stream(Some(write));
        if !stream.is_null() {
            dpdk_sys::rte_openlog_stream(stream);
        }
    }
}

/// Runs `call` and returns with its result the errors that DPDK logged meanwhile on this thread.
pub(crate) fn capture<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    CAPTURED.with_borrow_mut(|lines| *lines = Some(Vec::new()));
    let result = call();
    let lines = CAPTURED.with_borrow_mut(Option::take).unwrap_or_default();
    (result, lines)
}

/// Receives text that DPDK logs: usually one line.
unsafe extern "C" fn write(text: *const c_char, length: usize) {
    // Unwinding into C would be undefined; a line is not worth an abort.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the shim passes `length` readable bytes, for the time of this call.
        let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
        // SAFETY: reads a thread-local integer.
        let level = unsafe { dpdk_sys::rte_log_cur_msg_loglevel() };
        for line in String::from_utf8_lossy(bytes).lines().map(str::trim).filter(|line| !line.is_empty()) {
            record(level, line);
        }
    }));
}

fn record(level: i32, line: &str) {
    let kept = level <= ERROR && keep(line);
    match level {
        // The caller of `capture` reports it.
        _ if kept => tracing::debug!(target: "dpdk", "{line}"),
        i32::MIN..=ERROR => tracing::error!(target: "dpdk", "{line}"),
        WARNING => tracing::warn!(target: "dpdk", "{line}"),
        NOTICE | INFO => tracing::info!(target: "dpdk", "{line}"),
        _ => tracing::debug!(target: "dpdk", "{line}"),
    }
}

/// Keeps the line if this thread is within [`capture`].
fn keep(line: &str) -> bool {
    CAPTURED.with_borrow_mut(|lines| lines.as_mut().map(|lines| lines.push(line.to_owned())).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_keeps_errors_of_its_own_call_only() {
        record(ERROR, "before");
        let ((), said) = capture(|| {
            record(ERROR, "no such device");
            record(NOTICE, "probing");
            record(3, "giving up");
        });
        record(ERROR, "after");
        assert_eq!(said, ["no such device", "giving up"]);
        assert_eq!(capture(|| 7), (7, Vec::new()));
    }
}

//! The gateway's resources: one document in, checked desired state and a plan out.
//!
//! ```text
//! text ──check()──▶ Report { errors, warnings, desired } ──plan()──▶ Plan { dataplane, tunnels }
//! ```
//!
//! The crate is pure: it opens no file, asks no clock and draws no random number. The daemon and `config
//! check` call the same [`check`], so what one accepts the other accepts.
#![forbid(unsafe_code)]

pub mod algorithm;
pub mod diagnostic;
pub mod diff;
mod document;
pub mod edit;
pub mod import;
pub mod keys;
pub mod model;
pub mod peer;
pub mod plan;
pub mod psk;
pub mod redact;
mod schema;
mod validate;

pub use diagnostic::{Code, Diagnostic, Report, Severity};
pub use model::Desired;
pub use plan::{Plan, plan};
pub use schema::schema;

/// As [`check`], of a document whose pre-shared keys will be made where they are left out: for its problems only.
#[must_use]
pub fn check_open(text: &str, file_name: &str) -> Report {
    let mut sink = diagnostic::Sink::new(text, file_name);
    sink.makes_keys = true;
    let document = document::read(text, &mut sink);
    let desired = validate::validate(document, &mut sink);
    Report { desired: None, ..sink.finish(desired) }
}

/// Reads and validates one document.
///
/// Every problem of the document is in the report, not only the first: a syntax error does not hide a bad
/// lifetime further down. `Report::desired` is `Some` exactly when there is no error; warnings do not stop it.
/// `file_name` only labels the diagnostics. Files that the document names (`psk-file`) are not opened here.
#[must_use]
pub fn check(text: &str, file_name: &str) -> Report {
    let mut sink = diagnostic::Sink::new(text, file_name);
    let document = document::read(text, &mut sink);
    let desired = validate::validate(document, &mut sink);
    sink.finish(desired)
}

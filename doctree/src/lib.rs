//! The text of a document as a tree that knows where each value stands.
//!
//! A document is TOML 1.1 or JSON (RFC 8259); both make the same tree, so whoever reads it cannot tell them apart.
//! Both processes read it: the control plane everything, the data plane its section.
#![forbid(unsafe_code)]

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

mod json;

/// Where the text breaks the rules of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Bytes of the text.
    pub span: Range<usize>,
    pub message: String,
}

/// Whether a text is JSON: it begins with a brace, which no TOML document does.
#[must_use]
pub fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// The tree, as far as it can be read, and every mistake.
#[must_use]
pub fn parse(text: &str) -> (Spanned<DeTable<'_>>, Vec<Mistake>) {
    if is_json(text) {
        return json::parse(text);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mistake = |error: &toml::de::Error| Mistake {
        span: error.span().unwrap_or(0..0),
        message: error.message().to_owned(),
    };
    (root, errors.iter().map(mistake).collect())
}

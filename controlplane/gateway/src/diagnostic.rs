//! What is wrong with a document, where, and how to put it right.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::model::Desired;

/// Errors stop a document, warnings do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One name per kind of problem: stable, for people to search and for programs to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Code {
    /// The text is neither TOML nor JSON.
    Syntax,
    UnknownKey,
    DuplicateKey,
    MissingKey,
    /// Both of two keys that exclude each other.
    ConflictingKeys,
    WrongType,
    /// A word outside its list.
    UnknownValue,
    OutOfRange,
    /// Not an address, prefix or name.
    Malformed,
    /// Two resources of a kind with one name, or two interfaces in one place.
    Duplicate,
    /// A reference to a resource that is not there.
    NotFound,
    /// Understood, and not built yet.
    NotYet,
    /// An address that must be one of ours and is on no fitting interface.
    AddressNotOurs,
    MultiCidrNeedsIkev2,
    FlowsNeedBothNetworks,
    AsnOutOfRange,
    AsdotPartOutOfRange,
    PskLength,
    PskCharset,
    IdHasSpace,
    IdTooLong,
    LifetimeOutOfRange,
    UnknownAlgorithm,
    GuomiNeedsIkev1,
    TwoTunnelsRequired,
    RouteOverlapsServiceRange,
    // Warnings only.
    WeakAlgorithm,
    SlowCipher,
    LifetimeZero,
    OneTunnelOnly,
    PsksDiffer,
    NoEffect,
    NoRoute,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Characters from 1.
    pub column: usize,
    /// Field path such as `connection[0].tunnel[1].ike.lifetime`.
    pub path: String,
    /// The value as written; absent for a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub message: String,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The line of the document, unless it holds a secret, and how many characters to mark.
    #[serde(skip)]
    pub excerpt: Option<(String, usize)>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}[{}]: {}", self.code, self.message)?;
        let gutter = self.line.to_string().len();
        writeln!(f, "{:gutter$}--> {}:{}:{}", " ", self.file, self.line, self.column)?;
        if let Some((text, width)) = &self.excerpt {
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {text}", self.line)?;
            writeln!(f, "{:gutter$} | {:indent$}{:^<width$}", "", "", "", indent = self.column - 1)?;
        }
        if !self.path.is_empty() {
            writeln!(f, "{:gutter$} = field:   {}", "", self.path)?;
        }
        for (label, text) in [("value:  ", &self.value), ("allowed:", &self.allowed), ("fix:    ", &self.fix)]
        {
            if let Some(text) = text {
                writeln!(f, "{:gutter$} = {label} {text}", "")?;
            }
        }
        Ok(())
    }
}

/// The outcome of [`check`](crate::check).
#[derive(Debug, Clone)]
pub struct Report {
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    /// The resources; present exactly when `errors` is empty.
    pub desired: Option<Desired>,
}

impl Report {
    /// Errors before warnings, each in the order of the document.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.errors.iter().chain(&self.warnings)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.diagnostics() {
            writeln!(f, "{diagnostic}")?;
        }
        let plural = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        writeln!(f, "{}, {}", plural(self.errors.len(), "error"), plural(self.warnings.len(), "warning"))
    }
}

/// Where a value stands: its path and its bytes in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
}

impl At {
    /// A key below this place.
    pub(crate) fn child(&self, key: &str, span: Range<usize>) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, span }
    }

    /// An element of this list.
    pub(crate) fn element(&self, index: usize, span: Range<usize>) -> Self {
        Self { path: format!("{}[{index}]", self.path), span }
    }
}

/// A problem on its way to the report.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    at: &'a At,
    code: Code,
    message: String,
    value: Option<String>,
    allowed: Option<String>,
    fix: Option<String>,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(code: Code, at: &'a At, message: impl Into<String>) -> Self {
        Self { at, code, message: message.into(), value: None, allowed: None, fix: None }
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    pub(crate) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Collects the problems of one document.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    file: &'a str,
    /// Where secrets stand: their lines are not repeated.
    secrets: Vec<Range<usize>>,
    found: Vec<(usize, Diagnostic)>,
    /// A pre-shared key that is left out will be made.
    pub(crate) makes_keys: bool,
    /// Where somebody wants to know: the names of keys that are spelled otherwise, by their paths.
    pub(crate) names: Option<BTreeMap<String, &'static str>>,
    /// The names of the keys that each table was asked for, by its path.
    #[cfg(test)]
    pub(crate) asked: BTreeMap<String, std::collections::BTreeSet<&'static str>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(text: &'a str, file: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            lines: std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect(),
            file,
            secrets: Vec::new(),
            found: Vec::new(),
            makes_keys: false,
            names: None,
            #[cfg(test)]
            asked: BTreeMap::new(),
        }
    }

    /// Lines with these bytes are not shown.
    pub(crate) fn hide(&mut self, secrets: Vec<Range<usize>>) {
        self.secrets = secrets;
    }

    pub(crate) fn error(&mut self, problem: Problem<'_>) {
        self.push(Severity::Error, problem);
    }

    pub(crate) fn warn(&mut self, problem: Problem<'_>) {
        self.push(Severity::Warning, problem);
    }

    pub(crate) fn finish(mut self, desired: Desired) -> Report {
        self.found.sort_by_key(|(offset, _)| *offset);
        let all = self.found.into_iter().map(|(_, diagnostic)| diagnostic);
        let (errors, warnings): (Vec<_>, Vec<_>) = all.partition(|d| d.severity == Severity::Error);
        let desired = errors.is_empty().then_some(desired);
        Report { errors, warnings, desired }
    }

    fn push(&mut self, severity: Severity, problem: Problem<'_>) {
        let (line, column, excerpt) = self.locate(&problem.at.span);
        let diagnostic = Diagnostic {
            severity,
            code: problem.code,
            file: self.file.to_owned(),
            line,
            column,
            path: problem.at.path.clone(),
            value: problem.value,
            message: problem.message,
            allowed: problem.allowed,
            fix: problem.fix,
            excerpt,
        };
        self.found.push((problem.at.span.start, diagnostic));
    }

    /// Line and column from 1, and the excerpt unless the line holds a secret.
    fn locate(&self, span: &Range<usize>) -> (usize, usize, Option<(String, usize)>) {
        let start = self.boundary(span.start);
        let line = self.lines.partition_point(|line| *line <= start);
        let line_start = self.lines[line - 1];
        let column = self.text[line_start..start].chars().count() + 1;
        let content = self.text[line_start..].lines().next().unwrap_or_default();
        let end = self.boundary(span.end).clamp(start, line_start + content.len().max(start - line_start));
        let width = self.text[start..end].chars().count().max(1);
        let line_end = line_start + content.len();
        let secret = self.secrets.iter().any(|secret| secret.start <= line_end && line_start < secret.end);
        let hidden = content.is_empty() || secret || holds_secret(content);
        let excerpt = (!hidden).then(|| (content.to_owned(), width));
        (line, column, excerpt)
    }

    fn boundary(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

/// Whether a line of a text that could not be read assigns a `psk` and so must not be repeated.
fn holds_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices("psk").any(|(at, _)| {
        let after = lower[at + 3..].trim_start_matches(['"', '\'']).trim_start();
        after.starts_with(['=', ':'])
    }) || lower.contains("pre-shared-key")
        || lower.contains("pre_shared_key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, span: Range<usize>) -> (usize, usize, Option<(String, usize)>) {
        Sink::new(text, "f").locate(&span)
    }

    #[test]
    fn locates_lines_and_columns_in_characters() {
        assert_eq!(place("a = 1\nb = 22\n", 10..12), (2, 5, Some(("b = 22".to_owned(), 2))));
        assert_eq!(place("é = 1\n", 5..6), (1, 5, Some(("é = 1".to_owned(), 1))));
        assert_eq!(place("a", 9..12), (1, 2, Some(("a".to_owned(), 1))));
        assert_eq!(place("", 0..0), (1, 1, None));
    }

    #[test]
    fn a_line_with_a_secret_is_not_repeated() {
        assert!(holds_secret("psk = \"x\""));
        assert!(holds_secret("tunnel = { \"psk\"=\"x\" }"));
        assert!(holds_secret("{ \"psk\" : \"x\" }"));
        assert!(!holds_secret("psk-file = \"/etc/x\""));
    }

    #[test]
    fn displays_like_a_compiler() {
        let text = "[a]\nlifetime = 90000\n";
        let mut sink = Sink::new(text, "gw.toml");
        let at = At { path: "a.lifetime".to_owned(), span: 15..20 };
        sink.push(
            Severity::Error,
            Problem::new(Code::LifetimeOutOfRange, &at, "lifetime is too long")
                .value("90000")
                .allowed("0 to 86400 s"),
        );
        assert_eq!(
            sink.found[0].1.to_string(),
            "error[LifetimeOutOfRange]: lifetime is too long\n --> gw.toml:2:12\n  |\n2 | lifetime = 90000\n  |            \
             ^^^^^\n  = field:   a.lifetime\n  = value:   90000\n  = allowed: 0 to 86400 s\n"
        );
    }
}

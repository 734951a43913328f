//! Other daemons' configurations, read into a document of ours.

pub mod settings;
mod swanctl;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

use zeroize::Zeroizing;

pub use swanctl::swanctl;

/// A file, by the name that warnings have.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What became of the files.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    /// TOML, with the pre-shared keys in it.
    pub document: Zeroizing<String>,
    /// What was not carried over as it was, in the order of the files.
    pub warnings: Vec<Warning>,
}

impl fmt::Debug for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imported").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// Something that is different in the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Never holds a secret.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

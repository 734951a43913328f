//! Other daemons' configurations, read into a document of ours.

pub mod settings;
mod swanctl;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

pub use swanctl::swanctl;

/// A file, by the name that warnings have.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What the files do not say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Our address where a connection does not name it.
    pub gateway_ip: Option<IpAddr>,
    /// The folder where pre-shared keys get files of their own; without it they stand in the document.
    pub psk_files: Option<&'a str>,
}

/// A file for one pre-shared key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    pub path: String,
    pub key: Zeroizing<String>,
}

/// What became of the files.
#[derive(Clone, PartialEq, Eq)]
pub struct Imported {
    /// TOML, with the pre-shared keys in it, or the paths of their files.
    pub document: Zeroizing<String>,
    pub key_files: Vec<KeyFile>,
    /// What was not carried over as it was, in the order of the files.
    pub warnings: Vec<Warning>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
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

//! Another document takes the place of the one in force.

use std::collections::{BTreeMap, BTreeSet};

use api::{ConfigProblem, ConfigReport, Severity};
use gateway::plan::{InterfaceIds, TunnelPlan};
use gateway::{Diagnostic, Report};
use ike::Time;

use super::Engine;
use crate::convert;
use crate::credentials::TunnelAuth;
use crate::document::{LoadError, Loaded};

impl Engine {
    /// The numbers that interfaces keep in the next document.
    #[must_use]
    pub fn interface_ids(&self) -> &InterfaceIds {
        &self.document.plan.interface_ids
    }

    /// Puts `document` into force. Tunnels that it does not change keep their SAs.
    pub fn reload(&mut self, document: Loaded, now: Time) -> ConfigReport {
        let (unchanged, changed) = compare(&self.document, &document);
        let stays: BTreeSet<u32> = document.plan.tunnels.iter().map(|t| t.id).collect();
        let old = self.document.plan.tunnels.iter();
        let goes = old.filter(|t| !stays.contains(&t.id));
        let gone: Vec<ike::ConnectionKey> = goes.clone().map(convert::key).collect();
        self.teller.depart(goes);
        self.ledger.keep(&stays);
        let control_moved = self.document.desired.control != document.desired.control;
        self.document = document;
        if control_moved {
            tracing::warn!("[control], [api] and the data plane's socket take effect with the next start");
        }
        // Configuration first: an exchange for a new tunnel finds its addresses and routes.
        if !self.ports.is_empty() {
            self.push_configuration(now);
        }
        for key in gone {
            self.held_down.remove(&key);
            self.manager.remove_connection(key, now);
            self.delete_orphans(key.tunnel, std::time::Duration::ZERO);
        }
        if self.begun {
            for tunnel in &self.document.plan.tunnels {
                if let Some(auth) = self.document.auth.get(&tunnel.id) {
                    self.manager.set_connection(convert::connection(tunnel, auth), now);
                }
            }
        }
        self.tell_of_ends(now);
        self.settle(now);
        tracing::info!(?changed, unchanged = unchanged.len(), "document reloaded");
        ConfigReport { unchanged, changed, ..report(&self.document.report, true) }
    }
}

/// The answer to a reload that failed: the document in force stays.
pub fn failed(error: &LoadError) -> Result<ConfigReport, api::Problem> {
    match error {
        LoadError::Invalid { report: invalid } => Ok(report(invalid, false)),
        LoadError::Read { .. }
        | LoadError::Mode { .. }
        | LoadError::Psk { .. }
        | LoadError::Credential { .. }
        | LoadError::Api(_)
        | LoadError::Random { .. }
        | LoadError::NotText { .. } => {
            Err(api::Problem::new(422, "CannotLoad", "The document cannot be loaded", error.to_string()))
        }
    }
}

/// A report as the API shows it.
pub(super) fn report(report: &Report, valid: bool) -> ConfigReport {
    let problems = report.diagnostics().map(problem).collect();
    ConfigReport { valid, problems, unchanged: Vec::new(), changed: Vec::new() }
}

fn problem(diagnostic: &Diagnostic) -> ConfigProblem {
    ConfigProblem {
        severity: match diagnostic.severity {
            gateway::Severity::Error => Severity::Error,
            gateway::Severity::Warning => Severity::Warning,
        },
        code: diagnostic.code.to_string(),
        file: diagnostic.file.clone(),
        line: diagnostic.line,
        column: diagnostic.column,
        path: diagnostic.path.clone(),
        value: diagnostic.value.clone(),
        message: diagnostic.message.clone(),
        allowed: diagnostic.allowed.clone(),
        fix: diagnostic.fix.clone(),
    }
}

/// Names of the connections that are the same in both documents, and of those that are not.
fn compare(old: &Loaded, new: &Loaded) -> (Vec<String>, Vec<String>) {
    let (old, new) = (by_connection(old), by_connection(new));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let (same, other): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| old.get(name) == new.get(name));
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    (owned(same), owned(other))
}

/// A connection as the document has it, and its tunnels with their keys.
type Parts<'a> = (&'a gateway::model::Connection, Vec<(&'a TunnelPlan, Option<&'a TunnelAuth>)>);

fn by_connection(document: &Loaded) -> BTreeMap<&str, Parts<'_>> {
    let mut tunnels: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for tunnel in &document.plan.tunnels {
        tunnels.entry(&tunnel.connection).or_default().push((tunnel, document.auth.get(&tunnel.id)));
    }
    let mut parts = |connection: &'_ gateway::model::Connection| {
        tunnels.remove(connection.name.as_str()).unwrap_or_default()
    };
    let connections = document.desired.connections.iter();
    connections.map(|connection| (connection.name.as_str(), (connection, parts(connection)))).collect()
}

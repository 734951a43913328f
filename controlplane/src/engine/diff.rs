//! What another document would change, and what that does to traffic.

use api::{CommitReport, ConfigChange, ConfigDiff, ConfigText, FieldChange, Impact, Problem};
use gateway::diff::{self, Fate, ObjectChange};
use gateway::plan::TunnelPlan;
use ike::Renewal;

use super::{Engine, reload};
use crate::convert;
use crate::document::{Loaded, load_open, load_text};

/// Fields of an interface that are set up anew.
const INTERFACE_ANEW: [&str; 4] = ["port", "vlan", "role", "vrf"];

impl Engine {
    /// Documents are kept in a store, which makes the pre-shared keys that they leave open.
    pub fn make_keys(&mut self) {
        self.makes_keys = true;
    }

    /// What a commit of `new` is about to do.
    #[must_use]
    pub fn commit_report(&self, new: &Loaded) -> CommitReport {
        CommitReport {
            valid: true,
            problems: reload::report(&new.report, true).problems,
            changes: changes(&self.document, new),
            revision: None,
            pending: None,
            state: None,
        }
    }

    /// Compares a document with the one in force; the files that it names are read, from the same folder.
    pub(super) fn view_diff(&self, text: &ConfigText) -> Result<ConfigDiff, Problem> {
        let ConfigText { text, file: name } = text;
        let (in_force, file, ids) = (self.document.text.expose(), &self.document.file, self.interface_ids());
        let new = match self.makes_keys {
            true => load_open(text, in_force, name, file, ids),
            false => load_text(text, name, file, ids),
        };
        match new {
            Ok(new) => Ok(ConfigDiff {
                valid: true,
                problems: reload::report(&new.report, true).problems,
                changes: changes(&self.document, &new),
            }),
            Err(error) => {
                let report = reload::failed(&error)?;
                Ok(ConfigDiff { valid: report.valid, problems: report.problems, changes: Vec::new() })
            }
        }
    }
}

fn changes(old: &Loaded, new: &Loaded) -> Vec<ConfigChange> {
    let all = diff::objects(&old.desired, &new.desired);
    all.into_iter().map(|change| judge(change, old, new)).collect()
}

/// Says what a change does.
fn judge(change: ObjectChange, old: &Loaded, new: &Loaded) -> ConfigChange {
    let ObjectChange { kind, name, fate, fields } = change;
    let field = |f: diff::FieldChange| FieldChange { field: f.field, old: f.old, new: f.new };
    let mut fields: Vec<FieldChange> = fields.into_iter().map(field).collect();
    let both = matches!(fate, Fate::Changed | Fate::Unchanged);
    let renewal =
        if both && kind == "connection" { renewal(&name, old, new, &mut fields) } else { Impact::Unchanged };
    let impact = match (fate, kind) {
        (Fate::New, _) => Impact::New,
        (Fate::Removed, _) => Impact::Removed,
        _ if renewal != Impact::Unchanged => renewal,
        (Fate::Unchanged, _) => Impact::Unchanged,
        (Fate::Changed, "control") => Impact::NextStart,
        (Fate::Changed, "interface") if fields.iter().any(is_set_up_anew) => Impact::Interrupting,
        (Fate::Changed, _) => Impact::Hot,
    };
    ConfigChange { kind: kind.to_owned(), name, impact, fields }
}

fn is_set_up_anew(change: &FieldChange) -> bool {
    INTERFACE_ANEW.contains(&&*change.field) || change.field.starts_with("addresses")
}

/// What becomes of the SAs of a connection; what the document itself does not show of that is added to the fields.
fn renewal(name: &str, old: &Loaded, new: &Loaded, fields: &mut Vec<FieldChange>) -> Impact {
    let mut impact = Impact::Unchanged;
    for before in tunnels(old, name) {
        let Some(after) = tunnels(new, name).find(|after| after.id == before.id) else {
            impact = Impact::Interrupting;
            continue;
        };
        let of = |document: &Loaded, tunnel: &TunnelPlan| {
            document.auth.get(&tunnel.id).map(|auth| convert::connection(tunnel, auth))
        };
        let (Some(was), Some(will)) = (of(old, before), of(new, after)) else { continue };
        impact = impact.max(match will.renewal(&was) {
            _ if (was.outer_vrf, was.local, was.remote) != (will.outer_vrf, will.local, will.remote) => {
                Impact::Interrupting
            }
            Renewal::Nothing => Impact::Unchanged,
            Renewal::Rekey => Impact::Rekey,
            Renewal::Renegotiate => Impact::Renegotiate,
        });
        let addresses = [("address", before.local, after.local), ("peer", before.remote, after.remote)];
        for (what, old, new) in addresses.into_iter().filter(|(_, old, new)| old != new) {
            let field = format!("tunnels[{}].{what}", before.index - 1);
            fields.push(FieldChange { field, old: Some(old.to_string()), new: Some(new.to_string()) });
        }
        if (&was.local_auth, &was.remote_auth) != (&will.local_auth, &will.remote_auth) {
            let field = format!("tunnels[{}]: contents of its keys or certificates", before.index - 1);
            fields.push(FieldChange { field, old: None, new: None });
        }
    }
    impact
}

fn tunnels<'a>(document: &'a Loaded, connection: &'a str) -> impl Iterator<Item = &'a TunnelPlan> {
    document.plan.tunnels.iter().filter(move |tunnel| tunnel.connection == connection)
}

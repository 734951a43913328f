//! Pre-shared keys that a document leaves open: those that were not shown, and those that nobody chose.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::document::normal;
use crate::edit::{insert_into_toml, spliced};
use crate::psk::Psk;
use crate::redact::NOT_SHOWN;

/// A document whose tunnels have their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The text with each [`NOT_SHOWN`] replaced for which there is a key. Each key stands where its mark stood.
    pub restored: Zeroizing<String>,
    /// That text with the keys that were left out, where there are any.
    pub filled: Option<Zeroizing<String>>,
}

/// Gives `text` the keys it leaves open. A tunnel that `in_force` has a key for keeps that; where no tunnel of the
/// connection has one, those that leave theirs out share one that `generate` makes.
#[must_use]
pub fn complete(text: &str, in_force: &str, generate: impl FnMut() -> Psk) -> Completed {
    let (root, _) = doctree::parse(in_force);
    let mut stored = BTreeMap::new();
    for tunnel in tunnels(root.get_ref()) {
        if let Some(key) = tunnel.key.and_then(|key| key.get_ref().as_str()) {
            stored.insert((tunnel.connection, tunnel.at.1), key);
        }
    }
    let restored = restore(text, &stored);
    let filled = fill(&restored, &stored, generate);
    Completed { restored, filled }
}

/// Keys by the name of their connection and the index of their tunnel.
type Stored<'a> = BTreeMap<(&'a str, usize), &'a str>;

fn restore(text: &str, stored: &Stored<'_>) -> Zeroizing<String> {
    let (root, _) = doctree::parse(text);
    let mut edits = Vec::new();
    for Tunnel { connection, at, key, .. } in tunnels(root.get_ref()) {
        if let Some(mark) = key.filter(|key| key.get_ref().as_str() == Some(NOT_SHOWN))
            && let Some(key) = stored.get(&(connection, at.1))
        {
            edits.push((mark.span(), quoted(key)));
        }
    }
    Zeroizing::new(spliced(text, edits))
}

fn fill(text: &str, stored: &Stored<'_>, mut generate: impl FnMut() -> Psk) -> Option<Zeroizing<String>> {
    let (root, mistakes) = doctree::parse(text);
    let mut open: BTreeMap<usize, Vec<Tunnel<'_>>> = BTreeMap::new();
    for tunnel in tunnels(root.get_ref()).into_iter().filter(|tunnel| tunnel.is_open) {
        open.entry(tunnel.at.0).or_default().push(tunnel);
    }
    if open.is_empty() || !mistakes.is_empty() {
        return None;
    }
    let mut keys = Vec::new();
    for tunnels in open.into_values() {
        let known = |tunnel: &Tunnel<'_>| stored.get(&(tunnel.connection, tunnel.at.1)).copied();
        let shared = tunnels.iter().find_map(known).map_or_else(
            || Zeroizing::new(String::from_utf8_lossy(generate().expose()).into_owned()),
            |key| Zeroizing::new(key.to_owned()),
        );
        for tunnel in tunnels {
            let key = known(&tunnel).map_or_else(|| shared.clone(), |key| Zeroizing::new(key.to_owned()));
            keys.push((tunnel, key));
        }
    }
    let filled = if doctree::is_json(text) {
        let entry = |(tunnel, key): &(Tunnel<'_>, Zeroizing<String>)| {
            let after_brace = tunnel.place.start + 1;
            let comma = if tunnel.is_empty { "" } else { ", " };
            (after_brace..after_brace, format!("\"psk\": {}{comma}", quoted(key)))
        };
        Some(spliced(text, keys.iter().map(entry).collect()))
    } else {
        insert_into_toml(text, keys.iter().map(|(tunnel, key)| (tunnel.steps, "psk", key.as_str())))
    };
    filled.map(Zeroizing::new)
}

/// A key as TOML and JSON both write it.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\"))
}

/// A tunnel and what it has of a key.
struct Tunnel<'a> {
    connection: &'a str,
    /// The indices of the connection in the document and of the tunnel in the connection.
    at: (usize, usize),
    /// How the document writes both tables, with those indices.
    steps: [(&'a str, usize); 2],
    place: std::ops::Range<usize>,
    is_empty: bool,
    key: Option<&'a Spanned<DeValue<'a>>>,
    /// It needs a key and names none.
    is_open: bool,
}

fn tunnels<'a>(root: &'a DeTable<'a>) -> Vec<Tunnel<'a>> {
    let mut found = Vec::new();
    for (index, (written, connection)) in each(root, "connection").into_iter().enumerate() {
        let Some(connection) = connection.get_ref().as_table() else { continue };
        let name = find(connection, &["name"]).and_then(|(_, name)| name.get_ref().as_str());
        for (tunnel_index, (tunnel_written, tunnel)) in each(connection, "tunnel").into_iter().enumerate() {
            let Some(table) = tunnel.get_ref().as_table() else { continue };
            let gives = |name| find(table, &[name]).is_some();
            let key = find(table, &["psk", "pre-shared-key"]).map(|(_, key)| key);
            let certified = gives("certificate") && gives("ca");
            found.push(Tunnel {
                connection: name.unwrap_or_default(),
                at: (index, tunnel_index),
                steps: [(written, index), (tunnel_written, tunnel_index)],
                place: tunnel.span(),
                is_empty: table.is_empty(),
                key,
                is_open: key.is_none() && !gives("psk-file") && !certified,
            });
        }
    }
    found
}

type Entry<'a> = (&'a str, &'a Spanned<DeValue<'a>>);

/// The tables under a key: a list of them, or the one.
fn each<'a>(table: &'a DeTable<'a>, name: &str) -> Vec<Entry<'a>> {
    let Some((written, value)) = find(table, &[name]) else { return Vec::new() };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| (written, item)).collect(),
        _ => vec![(written, value)],
    }
}

fn find<'a>(table: &'a DeTable<'a>, names: &[&str]) -> Option<Entry<'a>> {
    let entry = table.iter().find(|(key, _)| names.contains(&normal(key.get_ref()).as_str()));
    entry.map(|(key, value)| (&**key.get_ref(), value))
}

#[cfg(test)]
mod tests;

//! Objects of a JSON document. Only the text of what differs is replaced.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tree::{Names, child};
use super::{Change, Object};

/// Sets `object` in the place of one that is there, or adds it.
pub(super) fn put(change: &Change<'_>, before: Option<(usize, &Object)>, object: &Object) -> Option<String> {
    let (root, _) = doctree::parse(change.text);
    let root = root.get_ref();
    let new = Value::Object(object.clone());
    let Some((key, list)) = find(root, change) else { return add_table(change, root, &new) };
    let mut splice = Splice { text: change.text, names: change.names, edits: Vec::new() };
    match (list.get_ref(), before) {
        (DeValue::Array(items), Some((at, before))) => {
            let path = format!("{key}[{at}]");
            splice.value(items.get(at)?, &path, &Value::Object(before.clone()), &new);
        }
        (_, Some((_, before))) => splice.value(list, key, &Value::Object(before.clone()), &new),
        (DeValue::Array(items), None) => match items.last() {
            Some(last) => splice.insert(last.span().end, last.span().start, ", ", &new),
            None => splice.replace(list.span(), &Value::Array(vec![new])),
        },
        (_, None) => {
            splice.edits.push((list.span().start..list.span().start, "[".to_owned()));
            splice.insert(list.span().end, list.span().start, ", ", &new);
            splice.edits.push((list.span().end..list.span().end, "]".to_owned()));
        }
    }
    Some(spliced(change.text, splice.edits))
}

pub(super) fn remove(change: &Change<'_>, at: usize) -> Option<String> {
    let (root, _) = doctree::parse(change.text);
    let (_, list) = find(root.get_ref(), change)?;
    let (gone, rest) = match list.get_ref() {
        DeValue::Array(items) if items.len() > 1 => match at.checked_sub(1) {
            Some(before) => (items.get(before)?.span().end..items.get(at)?.span().end, ""),
            None => (items.first()?.span().start..items.get(1)?.span().start, ""),
        },
        _ => (list.span(), "[]"),
    };
    Some(spliced(change.text, vec![(gone, rest.to_owned())]))
}

/// `text` with other text in some places, which do not overlap.
pub(crate) fn spliced(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut copied = 0;
    for (place, new) in edits {
        out.push_str(&text[copied..place.start]);
        out.push_str(&new);
        copied = place.end;
    }
    out.push_str(&text[copied..]);
    out
}

/// The table of the kind, and how it is written.
fn find<'a>(root: &'a DeTable<'_>, change: &Change<'_>) -> Option<(&'a str, &'a Spanned<DeValue<'a>>)> {
    let mut entries = root.iter().map(|(key, value)| (&**key.get_ref(), value));
    entries.find(|(key, _)| change.names.name(key, key) == change.table)
}

/// The first object of its kind.
fn add_table(change: &Change<'_>, root: &DeTable<'_>, new: &Value) -> Option<String> {
    let entry = format!("\"{}\": {}", change.table, indented(&Value::Array(vec![new.clone()]), "  "));
    let last = root.values().map(|value| value.span().end).max();
    let (at, entry) = match last {
        Some(end) => (end, format!(",\n  {entry}")),
        None => (change.text.find('{')? + 1, format!("\n  {entry}\n")),
    };
    Some(spliced(change.text, vec![(at..at, entry)]))
}

struct Splice<'a> {
    text: &'a str,
    names: &'a Names,
    edits: Vec<(Range<usize>, String)>,
}

impl Splice<'_> {
    /// Makes the value at `path` that says `old` say `new`.
    fn value(&mut self, place: &Spanned<DeValue<'_>>, path: &str, old: &Value, new: &Value) {
        match (place.get_ref(), old, new) {
            _ if old == new => {}
            (DeValue::Table(table), Value::Object(old), Value::Object(new)) if same_keys(old, new) => {
                for (key, inner) in table {
                    let path = child(path, key.get_ref());
                    let name = self.names.name(&path, key.get_ref());
                    if let (Some(old), Some(new)) = (old.get(name), new.get(name)) {
                        self.value(inner, &path, old, new);
                    }
                }
            }
            (DeValue::Array(items), Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
                for (at, ((item, old), new)) in items.iter().zip(old).zip(new).enumerate() {
                    self.value(item, &format!("{path}[{at}]"), old, new);
                }
            }
            _ => self.replace(place.span(), new),
        }
    }

    fn replace(&mut self, place: Range<usize>, new: &Value) {
        let new = indented(new, self.indent(place.start));
        self.edits.push((place, new));
    }

    /// Writes a value at `at`, as deep as what begins at `like`.
    fn insert(&mut self, at: usize, like: usize, between: &str, new: &Value) {
        let new = indented(new, self.indent(like));
        self.edits.push((at..at, format!("{between}{new}")));
    }

    /// The blanks before the line that `at` is in.
    fn indent(&self, at: usize) -> &str {
        let line = &self.text[self.text[..at].rfind('\n').map_or(0, |end| end + 1)..];
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    }
}

fn same_keys(old: &Object, new: &Object) -> bool {
    old.len() == new.len() && old.keys().all(|key| new.contains_key(key))
}

fn indented(value: &Value, indent: &str) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.replace('\n', &format!("\n{indent}"))
}

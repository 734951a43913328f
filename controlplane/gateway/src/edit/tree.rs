//! A document as JSON whose keys have their names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Sink;
use crate::document;

/// The names of the keys that a document spells otherwise, by their paths.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, &'static str>);

impl Names {
    pub(super) fn of(text: &str) -> Self {
        let mut sink = Sink::new(text, "");
        sink.names = Some(BTreeMap::new());
        document::read(text, &mut sink);
        Self(sink.names.unwrap_or_default())
    }

    /// The name of the key that is written as `key` at `path`.
    pub(super) fn name<'a>(&self, path: &str, key: &'a str) -> &'a str {
        self.0.get(path).copied().unwrap_or(key)
    }
}

/// Where a key of the table at `path` stands.
pub(super) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn table(table: &DeTable<'_>, path: &str, names: &Names) -> Map<String, Value> {
    let mut all = Map::new();
    for (written, inner) in table {
        let written: &str = written.get_ref();
        let path = child(path, written);
        let name = names.name(&path, written);
        // What is there twice stays so, for the document's reader to refuse.
        let is_taken =
            name != written && (all.contains_key(name) || table.keys().any(|other| other.get_ref() == name));
        let key = if is_taken { written } else { name };
        all.insert(key.to_owned(), value(inner.get_ref(), &path, names));
    }
    all
}

/// What JSON has no type for is text; so is a decimal number, whose digits count in an AS number.
pub(super) fn value(inner: &DeValue<'_>, path: &str, names: &Names) -> Value {
    match inner {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.as_str().into(), Value::from),
        DeValue::Float(number) => number.as_str().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(date) => date.to_string().into(),
        DeValue::Array(items) => {
            let item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                value(item.get_ref(), &format!("{path}[{index}]"), names)
            };
            items.iter().enumerate().map(item).collect()
        }
        DeValue::Table(inner) => table(inner, path, names).into(),
    }
}

/// A value with its keys by their names.
pub(super) fn renamed(inner: Value, path: &str, names: &Names) -> Value {
    match inner {
        Value::Array(items) => {
            let item = |(index, item)| renamed(item, &format!("{path}[{index}]"), names);
            items.into_iter().enumerate().map(item).collect()
        }
        Value::Object(entries) => {
            let entry = |(key, inner): (String, Value)| {
                let path = child(path, &key);
                (names.name(&path, &key).to_owned(), renamed(inner, &path, names))
            };
            Value::Object(entries.into_iter().map(entry).collect())
        }
        other => other,
    }
}

//! Objects of a TOML document. Only what differs is written anew.

use serde_json::Value;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike};

use super::tree::{Names, child};
use super::{Change, Object};

/// Sets `object` in the place of one that is there, or adds it.
pub(super) fn put(change: &Change<'_>, before: Option<(usize, &Object)>, object: &Object) -> Option<String> {
    let mut document: DocumentMut = change.text.parse().ok()?;
    match (key(&document, change), before) {
        (None, _) => {
            let tables = ArrayOfTables::from_iter([table(object)]);
            document.insert(change.table, Item::ArrayOfTables(tables));
        }
        (Some(key), None) => append(document.get_mut(&key)?, object),
        (Some(key), Some((at, before))) => {
            let item = document.get_mut(&key)?;
            let is_list = !item.is_table_like();
            let inline = !item.is_table() && !item.is_array_of_tables();
            let path = if is_list { format!("{key}[{at}]") } else { key };
            merge(element(item, at)?, &Place { names: change.names, path, inline }, before, object);
        }
    }
    Some(document.to_string())
}

pub(super) fn remove(change: &Change<'_>, at: usize) -> Option<String> {
    let mut document: DocumentMut = change.text.parse().ok()?;
    let key = key(&document, change)?;
    if !remove_element(document.get_mut(&key)?, at) {
        document.remove(&key);
    }
    Some(document.to_string())
}

/// A key with its text more in some tables, each by the keys and indices that lead to it.
pub(crate) fn insert_into_toml<'a, const N: usize>(
    text: &str,
    entries: impl Iterator<Item = ([(&'a str, usize); N], &'a str, &'a str)>,
) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    for (steps, key, value) in entries {
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for (key, at) in steps {
            table = element(table.get_mut(key)?, at)?;
        }
        table.insert(key, toml_edit::value(value));
    }
    Some(document.to_string())
}

/// How the document writes the table.
fn key(document: &DocumentMut, change: &Change<'_>) -> Option<String> {
    let mut keys = document.iter().map(|(key, _)| key);
    keys.find(|key| change.names.name(key, key) == change.table).map(str::to_owned)
}

/// An element of a list, or the one table where a list is not written.
fn element(item: &mut Item, at: usize) -> Option<&mut dyn TableLike> {
    match item {
        Item::ArrayOfTables(tables) => tables.get_mut(at).map(|table| table as &mut dyn TableLike),
        Item::Value(toml_edit::Value::Array(items)) => {
            let table = items.get_mut(at)?.as_inline_table_mut();
            table.map(|table| table as &mut dyn TableLike)
        }
        one => one.as_table_like_mut().filter(|_| at == 0),
    }
}

/// Takes an element out of a list; false where a list is not written.
fn remove_element(item: &mut Item, at: usize) -> bool {
    match item {
        Item::ArrayOfTables(tables) => drop(tables.remove(at)),
        Item::Value(toml_edit::Value::Array(items)) => drop(items.remove(at)),
        _ => return false,
    }
    true
}

/// Adds an object to a list, or makes a list of the one that is there.
fn append(item: &mut Item, object: &Object) {
    match item {
        Item::ArrayOfTables(tables) => tables.push(table(object)),
        Item::Value(toml_edit::Value::Array(items)) => items.push(inline_table(object)),
        Item::Table(one) => {
            let mut one = std::mem::take(one);
            one.set_dotted(false);
            *item = Item::ArrayOfTables(ArrayOfTables::from_iter([one, table(object)]));
        }
        Item::Value(one) => {
            let one = std::mem::replace(one, false.into());
            *item = Item::Value(Array::from_iter([one, inline_table(object).into()]).into());
        }
        Item::None => {}
    }
}

/// Where a table stands, and whether it is written in a line.
struct Place<'a> {
    names: &'a Names,
    path: String,
    inline: bool,
}

/// Makes the table that says `old` say `new`.
fn merge(table: &mut dyn TableLike, place: &Place<'_>, old: &Object, new: &Object) {
    let written: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
    for key in written {
        let path = child(&place.path, &key);
        let name = place.names.name(&path, &key);
        let Some(item) = table.get_mut(&key) else { continue };
        match (old.get(name), new.get(name)) {
            (_, None) => drop(table.remove(&key)),
            (old, Some(new)) if old == Some(new) => {}
            (old, Some(new)) => set(item, &Place { path, ..*place }, old.unwrap_or(&Value::Null), new),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        table.insert(name, if place.inline { Item::Value(inline(value)) } else { item(value) });
    }
}

/// Makes what says `old` say `new`.
fn set(item: &mut Item, place: &Place<'_>, old: &Value, new: &Value) {
    match (item, old, new) {
        (item, Value::Object(old), Value::Object(new)) if item.is_table_like() => {
            let inline = !item.is_table();
            if let Some(table) = item.as_table_like_mut() {
                merge(table, &Place { inline, path: place.path.clone(), ..*place }, old, new);
            }
        }
        (item, Value::Array(old), Value::Array(new)) if are_objects(old) && are_objects(new) => {
            for (at, new) in new.iter().filter_map(Value::as_object).enumerate() {
                let path =
                    if item.is_table_like() { place.path.clone() } else { format!("{}[{at}]", place.path) };
                let inline = item.is_value();
                match old.get(at).and_then(Value::as_object).zip(element(item, at)) {
                    Some((old, table)) => merge(table, &Place { path, inline, ..*place }, old, new),
                    None => append(item, new),
                }
            }
            for at in (new.len()..old.len()).rev() {
                remove_element(item, at);
            }
        }
        (item, _, new) => {
            let decor = item.as_value().map(|value| value.decor().clone());
            let mut value = inline(new);
            if let Some(decor) = decor {
                *value.decor_mut() = decor;
            }
            *item = Item::Value(value);
        }
    }
}

fn are_objects(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(Value::is_object)
}

/// A table with its own header.
fn table(object: &Object) -> Table {
    let mut table = Table::new();
    for (key, value) in named_first(object) {
        table.insert(key, item(value));
    }
    table
}

fn inline_table(object: &Object) -> InlineTable {
    named_first(object).map(|(key, value)| (key, inline(value))).collect()
}

/// The entries of an object, its name before all others.
fn named_first(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let name = |(key, _): &(&String, &Value)| *key == "name";
    object.iter().filter(name).chain(object.iter().filter(move |entry| !name(entry)))
}

/// Lists of objects get headers, everything else stands in a line.
fn item(value: &Value) -> Item {
    match value {
        Value::Array(items) if are_objects(items) => {
            Item::ArrayOfTables(items.iter().filter_map(Value::as_object).map(table).collect())
        }
        value => Item::Value(inline(value)),
    }
}

fn inline(value: &Value) -> toml_edit::Value {
    match value {
        // It does not come here: `null` is as if the key was left out.
        Value::Null => "".into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => toml_edit::Value::Array(items.iter().map(inline).collect()),
        Value::Object(object) => toml_edit::Value::InlineTable(inline_table(object)),
    }
}

//! Where secrets stand in a document.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::reader::normal;

/// Keys whose values are secret, at whatever place of the document.
const SECRET: [&str; 2] = ["psk", "pre-shared-key"];

/// The bytes of every secret, in the order of the text.
pub(crate) fn spans(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    table(root, &mut found);
    found.sort_by_key(|span| span.start);
    found
}

fn table(table: &DeTable<'_>, found: &mut Vec<Range<usize>>) {
    for (key, inner) in table {
        if SECRET.contains(&normal(key.get_ref()).as_str()) {
            found.push(inner.span());
        } else {
            value(inner.get_ref(), found);
        }
    }
}

fn value(inner: &DeValue<'_>, found: &mut Vec<Range<usize>>) {
    match inner {
        DeValue::Table(inner) => table(inner, found),
        DeValue::Array(items) => items.iter().for_each(|item| value(item.get_ref(), found)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

//! A table that is read key by key and knows in the end which keys nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Parsed;
use super::value::{Value, quoted};
use crate::diagnostic::{At, Code, Problem, Sink};

/// Reads one table. Keys match without regard to case, and `_` is `-`.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    table: &'a DeTable<'a>,
    at: At,
    known: BTreeSet<&'static str>,
    fields: BTreeMap<&'static str, At>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a DeTable<'a>, at: At) -> Self {
        Self { table, at, known: BTreeSet::new(), fields: BTreeMap::new() }
    }

    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// The value of a key, which may be written in several ways; the first is its name.
    pub(super) fn take(&mut self, names: &[&'static str], sink: &mut Sink<'_>) -> Option<Value<'a>> {
        self.known.extend(names);
        #[cfg(test)]
        sink.asked.entry(self.at.path.clone()).or_default().insert(names[0]);
        let mut found: Option<Value<'a>> = None;
        for (key, value) in self.table {
            if !names.contains(&normal(key.get_ref()).as_str()) {
                continue;
            }
            let at = self.at.child(key.get_ref(), value.span());
            if let Some(first) = &found {
                let message = format!("{} is given twice, also as {}", names[0], first.at().path);
                sink.error(Problem::new(Code::DuplicateKey, &at, message).fix("keep one of them"));
                continue;
            }
            if let Some(spellings) = sink.names.as_mut().filter(|_| key.get_ref() != names[0]) {
                spellings.insert(at.path.clone(), names[0]);
            }
            self.fields.insert(names[0], at.clone());
            found = Some(Value::new(value.get_ref(), at));
        }
        found
    }

    /// As [`take`](Self::take), for a key that must be there.
    pub(super) fn require(
        &mut self,
        names: &[&'static str],
        example: &str,
        sink: &mut Sink<'_>,
    ) -> Option<Value<'a>> {
        let value = self.take(names, sink);
        if value.is_none() {
            let at = At { path: self.at.child(names[0], 0..0).path, span: self.at.span.clone() };
            let problem = Problem::new(Code::MissingKey, &at, format!("{} is missing", names[0]));
            sink.error(problem.fix(format!("add a line such as  {} = {example}", names[0])));
        }
        value
    }

    /// Reads the tables under `name`: one `[name]`, or a list of `[[name]]`.
    pub(super) fn each<T>(
        &mut self,
        name: &'static str,
        sink: &mut Sink<'_>,
        read: impl Fn(Reader<'a>, &mut Sink<'_>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.take(&[name], sink) else { return Vec::new() };
        let tables = match value.array() {
            Some(items) => items,
            None => vec![value],
        };
        tables.into_iter().filter_map(|item| Some(read(item.table(sink)?, sink))).collect()
    }

    /// Reads the table under `name`, if there is one.
    pub(super) fn table(&mut self, name: &'static str, sink: &mut Sink<'_>) -> Option<Reader<'a>> {
        self.take(&[name], sink)?.table(sink)
    }

    /// Refuses the keys nobody took; those in `later` by saying that they will come.
    pub(super) fn finish(&self, later: &[&str], sink: &mut Sink<'_>) {
        for (key, value) in self.table {
            let name = normal(key.get_ref());
            if self.known.contains(name.as_str()) {
                continue;
            }
            let at = self.at.child(key.get_ref(), key.span());
            let _ = value;
            if later.contains(&name.as_str()) {
                let problem = Problem::new(Code::NotYet, &at, format!("{name} is not supported yet"));
                sink.error(problem.fix("remove it"));
            } else {
                sink.error(self.unknown(&at, key, &name));
            }
        }
    }

    /// Ends reading: refuses what is left over and binds the value to its places.
    pub(super) fn parsed<T>(self, value: T, later: &[&str], sink: &mut Sink<'_>) -> Parsed<T> {
        self.finish(later, sink);
        Parsed { value, at: self.at, fields: self.fields }
    }

    fn unknown<'b>(&self, at: &'b At, key: &Spanned<impl AsRef<str>>, name: &str) -> Problem<'b> {
        let known: Vec<&str> = self.known.iter().copied().collect();
        let place = if self.at.path.is_empty() { "the document".to_owned() } else { self.at.path.clone() };
        let problem =
            Problem::new(Code::UnknownKey, at, format!("{place} has no key {}", key.get_ref().as_ref()))
                .allowed(known.join(", "));
        match known.iter().map(|k| (distance(k, name), k)).min() {
            Some((steps, nearest)) if steps <= 2 => problem.fix(format!("did you mean {nearest}?")),
            _ => problem.fix("remove it"),
        }
    }
}

/// Every value of a list, or the one value where a list is not written.
pub(super) fn one_or_many<'a>(value: Value<'a>) -> Vec<Value<'a>> {
    match value.array() {
        Some(items) => items,
        None => vec![value],
    }
}

/// The words of a value: what is allowed, quoted, for messages.
pub(super) fn words(words: &[&str]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Lower case, with `-` for `_`.
pub(crate) fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("lifetime", "lifetime"), 0);
        assert_eq!(distance("lifetime", "liftime"), 1);
        assert_eq!(distance("psk", ""), 3);
    }
}

//! JSON as the tree that TOML makes.
//!
//! serde_json reads one level at a time and leaves what is inside as slices of the text: their addresses are the
//! places of the values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use crate::Mistake;

/// Deepest nesting: each level reads its text again.
const MAX_DEPTH: usize = 32;

pub(crate) fn parse(text: &str) -> (Spanned<DeTable<'_>>, Vec<Mistake>) {
    let mut reader = Reader { text, mistakes: Vec::new() };
    let root = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => reader.value(raw, 0),
        Err(error) => {
            reader.syntax(0, text, &error);
            None
        }
    };
    let table = root.and_then(|root| match root.into_inner() {
        DeValue::Table(table) => Some(table),
        _ => None,
    });
    (Spanned::new(0..text.len(), table.unwrap_or_default()), reader.mistakes)
}

struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// Where a slice of the text begins.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr()
    }

    fn mistake(&mut self, part: &str, message: impl Into<String>) {
        let start = self.offset(part);
        self.mistakes.push(Mistake { span: start..start + part.len(), message: message.into() });
    }

    /// An error of serde_json in `part`, which begins at `start`.
    fn syntax(&mut self, start: usize, part: &str, error: &serde_json::Error) {
        let lines = part.split_inclusive('\n').take(error.line().saturating_sub(1));
        let at = start + lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
        let at = at.min(self.text.len());
        // Without the line and the column, which count from the wrong place.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        self.mistakes.push(Mistake { span: at..at, message });
    }

    /// A value and its place; `None` for what has no place in a tree of TOML, which is told unless it is `null`.
    fn value(&mut self, raw: &'a RawValue, depth: usize) -> Option<Spanned<DeValue<'a>>> {
        let part = raw.get();
        let value = match part.as_bytes().first()? {
            b'{' | b'[' if depth == MAX_DEPTH => {
                self.mistake(part, "nested too deep");
                return None;
            }
            b'{' => DeValue::Table(self.table(part, depth)?),
            b'[' => DeValue::Array(self.array(part, depth)?),
            b'"' => DeValue::String(self.string(part)?),
            b't' => DeValue::Boolean(true),
            b'f' => DeValue::Boolean(false),
            b'n' => return None,
            _ => self.number(part)?,
        };
        let start = self.offset(part);
        Some(Spanned::new(start..start + part.len(), value))
    }

    fn table(&mut self, part: &'a str, depth: usize) -> Option<DeTable<'a>> {
        let Entries(entries) = self.read(part)?;
        let mut table = DeTable::new();
        for (key, raw) in entries {
            let start = self.offset(key.get());
            let Some(name) = self.string(key.get()) else { continue };
            let name = Spanned::new(start..start + key.get().len(), name);
            // `null` is as if the key was left out.
            let Some(value) = self.value(raw, depth + 1) else { continue };
            if table.contains_key(&name) {
                self.mistake(key.get(), "the key is there twice");
            } else {
                table.insert(name, value);
            }
        }
        Some(table)
    }

    fn array(&mut self, part: &'a str, depth: usize) -> Option<DeArray<'a>> {
        let items: Vec<&'a RawValue> = self.read(part)?;
        let mut array = DeArray::new();
        for raw in items {
            match self.value(raw, depth + 1) {
                Some(value) => array.push(value),
                None if raw.get() == "null" => self.mistake(raw.get(), "null is no element of a list"),
                None => {}
            }
        }
        Some(array)
    }

    /// Text; borrowed unless it has escapes.
    fn string(&mut self, part: &'a str) -> Option<DeString<'a>> {
        match part.get(1..part.len() - 1) {
            Some(plain) if !plain.contains('\\') => Some(DeString::Borrowed(plain)),
            _ => self.read(part).map(DeString::Owned),
        }
    }

    /// A number, which JSON writes as TOML does.
    fn number(&mut self, part: &'a str) -> Option<DeValue<'a>> {
        let value = DeValue::parse(part).map(Spanned::into_inner);
        if value.is_err() {
            self.mistake(part, "not a number");
        }
        value.ok()
    }

    fn read<T: Deserialize<'a>>(&mut self, part: &'a str) -> Option<T> {
        let read = serde_json::from_str(part);
        read.map_err(|error| self.syntax(self.offset(part), part, &error)).ok()
    }
}

/// The keys of an object and their values, as they are written.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests;

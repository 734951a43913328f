//! Reading one TOML table by hand, so that a mistake has its line, field, value and what is allowed.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong, in the words an operator needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line in the file, from 1; 0 if the file could not be read.
    pub line: usize,
    /// The full path of the key, as `dataplane.ports[1].mtu`.
    pub field: String,
    /// The value as it stands in the file.
    pub value: String,
    /// What would be accepted.
    pub allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, value, allowed } = self;
        write!(f, "{}:{line}: {field} = {value}: allowed is {allowed}", file.display())
    }
}

/// All mistakes of a section, in the order of their lines; never empty.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(vec![Mistake {
            file: path.to_owned(),
            line: 0,
            field: "file".to_owned(),
            value: error.to_string(),
            allowed: "a readable file".to_owned(),
        }])
    }
}

/// The word that `value` is written as.
pub(super) fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, v)| v == value).map_or("", |(name, _)| name)
}

/// Parses `text`, hands its table `name` to `read`, and refuses keys that `read` did not ask for.
pub(super) fn with_table<T>(
    file: &Path,
    text: &str,
    name: &str,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> Result<T, Mistakes> {
    let empty = DeTable::new();
    let mut source = Source { file, text, empty: &empty, mistakes: Vec::new() };
    let (document, mistakes) = doctree::parse(text);
    if let Some(doctree::Mistake { span, message }) = mistakes.into_iter().next() {
        source.report(span, "syntax".to_owned(), &message);
        return Err(Mistakes(source.mistakes));
    }
    let (table, span) = match document.get_ref().get(name) {
        None => (&empty, 0..0),
        Some(entry) => match entry.get_ref().as_table() {
            Some(table) => (table, entry.span()),
            None => {
                source.report(entry.span(), name.to_owned(), "a table");
                return Err(Mistakes(source.mistakes));
            }
        },
    };
    let mut section = Section { table, span, path: name.to_owned(), asked: Vec::new(), source: &mut source };
    let value = read(&mut section);
    section.refuse_unknown();
    if source.mistakes.is_empty() {
        return Ok(value);
    }
    source.mistakes.sort_by_key(|m| m.line);
    Err(Mistakes(source.mistakes))
}

struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    /// Stands for every table that is not there.
    empty: &'a DeTable<'a>,
    mistakes: Vec<Mistake>,
}

impl Source<'_> {
    fn report(&mut self, span: Range<usize>, field: String, allowed: &str) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let value = self.text.get(span).and_then(|v| v.lines().next()).unwrap_or("").to_owned();
        let value = if value.is_empty() { "(missing)".to_owned() } else { value };
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            line,
            field,
            value,
            allowed: allowed.to_owned(),
        });
    }
}

/// One table being read. Every accessor returns something usable, and reports what was wrong.
pub(super) struct Section<'s, 't> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    path: String,
    asked: Vec<&'static str>,
    source: &'s mut Source<'t>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'t> Section<'_, 't> {
    /// A number in `range`.
    pub(super) fn integer<N>(&mut self, key: &'static str, range: RangeInclusive<N>, default: N) -> N
    where
        N: TryFrom<u64> + PartialOrd + fmt::Display + Copy,
    {
        let Some(value) = self.entry(key) else { return default };
        self.number(value, key.to_owned(), &range).unwrap_or(default)
    }

    /// A list of numbers in `range`; empty if absent.
    pub(super) fn integers<N>(&mut self, key: &'static str, range: RangeInclusive<N>) -> Vec<N>
    where
        N: TryFrom<u64> + PartialOrd + fmt::Display + Copy,
    {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.report(value.span(), key, "a list of numbers");
            return Vec::new();
        };
        array.iter().enumerate().filter_map(|(i, v)| self.number(v, format!("{key}[{i}]"), &range)).collect()
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.entry(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.report(value.span(), key, "true or false");
            default
        })
    }

    /// One of `words`; the first is the default.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        self.word_optional(key, words).unwrap_or(words[0].1)
    }

    /// One of `words`, if it is there.
    pub(super) fn word_optional<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.entry(key)?;
        let found = value.get_ref().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.report(value.span(), key, &list.join(" or "));
        }
        found.map(|(_, value)| *value)
    }

    /// A required string that `check` accepts.
    pub(super) fn string(&mut self, key: &'static str, allowed: &str, check: fn(&str) -> bool) -> String {
        let Some(value) = self.entry(key) else {
            self.report(self.span.start..self.span.start, key, allowed);
            return String::new();
        };
        match value.get_ref().as_str() {
            Some(text) if check(text) => text.to_owned(),
            _ => {
                self.report(value.span(), key, allowed);
                String::new()
            }
        }
    }

    /// An absolute path, short enough for a socket address.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let Some(value) = self.entry(key) else { return default.into() };
        match value.get_ref().as_str() {
            Some(text) if text.starts_with('/') && text.len() <= 107 && !text.contains('\0') => text.into(),
            _ => {
                self.report(value.span(), key, "an absolute path of at most 107 bytes");
                default.into()
            }
        }
    }

    /// A table of its own, empty if absent.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        let path = format!("{}.{key}", self.path);
        match self.entry(key) {
            None => self.nested(None, path, read),
            Some(value) => {
                if !value.get_ref().is_table() {
                    self.report(value.span(), key, "a table");
                }
                self.nested(Some(value), path, read)
            }
        }
    }

    /// A list of tables, `count` of them.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Section<'_, 't>) -> T,
    ) -> Vec<T> {
        let allowed = format!("a list of {} to {} tables", count.start(), count.end());
        let Some(value) = self.entry(key) else {
            self.report(self.span.start..self.span.start, key, &allowed);
            return Vec::new();
        };
        let list = value.get_ref().as_array().filter(|list| {
            count.contains(&list.len()) && list.iter().all(|entry| entry.get_ref().is_table())
        });
        let Some(list) = list else {
            self.report(value.span(), key, &allowed);
            return Vec::new();
        };
        let path = |i| format!("{}.{key}[{i}]", self.path);
        let paths: Vec<_> = (0..list.len()).map(path).collect();
        list.iter().zip(paths).map(|(entry, path)| self.nested(Some(entry), path, &mut read)).collect()
    }

    /// Reports the value of `key`, which was read before and does not go with the others.
    pub(super) fn refuse(&mut self, key: &'static str, allowed: &str) {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.report(span, key, allowed);
    }

    fn entry(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        self.asked.push(key);
        self.table.get(key)
    }

    fn number<N>(&mut self, value: &Value<'_>, key: String, range: &RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<u64> + PartialOrd + fmt::Display + Copy,
    {
        let number =
            value.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.and_then(|n| N::try_from(n).ok()).filter(|n| range.contains(n));
        if number.is_none() {
            let allowed = format!("{} to {}", range.start(), range.end());
            self.report(value.span(), &key, &allowed);
        }
        number
    }

    fn nested<T>(
        &mut self,
        value: Option<&'t Value<'t>>,
        path: String,
        read: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let span = value.map_or(self.span.clone(), Spanned::span);
        let table = value.and_then(|v| v.get_ref().as_table()).unwrap_or(self.source.empty);
        let mut section = Section { table, span, path, asked: Vec::new(), source: self.source };
        let result = read(&mut section);
        section.refuse_unknown();
        result
    }

    fn refuse_unknown(&mut self) {
        let allowed = format!("one of the keys {}", self.asked.join(", "));
        for key in self.table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref())) {
            let field = format!("{}.{}", self.path, key.get_ref());
            self.source.report(key.span(), field, &allowed);
        }
    }

    fn report(&mut self, span: Range<usize>, key: &str, allowed: &str) {
        let field = format!("{}.{key}", self.path);
        self.source.report(span, field, allowed);
    }
}

//! strongSwan's settings: sections in braces, `key = value`, `#` comments, quoted text, and sections that take over what
//! others have (`name : other, another { .. }`).

use std::collections::BTreeMap;

use super::Source;

/// Bytes of all files together.
const MAX_BYTES: usize = 4 << 20;
/// Sections within sections.
const MAX_DEPTH: usize = 8;
/// Sections that take over from sections that take over.
const MAX_REFERENCES: usize = 8;
/// Values and sections, what is taken over counted each time.
const MAX_ENTRIES: usize = 20_000;

/// Why files cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct SyntaxError {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub message: &'static str,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the file.
    pub file: usize,
    /// From 1.
    pub line: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    pub text: String,
    pub at: Place,
}

/// A section; a later value of a key, or section of a name, adds to the earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    pub at: Place,
    pub values: BTreeMap<String, Setting>,
    /// In the order of the files.
    pub sections: Vec<(String, Section)>,
    references: Vec<String>,
    /// `include` statements.
    pub includes: Vec<Place>,
}

impl Section {
    /// The section of a name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|(own, _)| own == name).map(|(_, section)| section)
    }

    fn section_mut(&mut self, name: &str, at: Place) -> &mut Self {
        let index = self.sections.iter().position(|(own, _)| own == name).unwrap_or_else(|| {
            self.sections.push((name.to_owned(), Self { at, ..Self::default() }));
            self.sections.len() - 1
        });
        &mut self.sections[index].1
    }
}

/// Reads files as one configuration, with all that sections take over in its place.
///
/// # Errors
/// Where a file is not understood, or is larger than any configuration.
pub fn parse(sources: &[Source<'_>]) -> Result<Section, SyntaxError> {
    let mut root = Section::default();
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    for (file, source) in sources.iter().enumerate() {
        let mut parser = Parser { file, line: 1, rest: source.text, entries: 0 };
        let parsed = match bytes > MAX_BYTES {
            true => Err("the files have more than 4 MiB"),
            false => parser.section(&mut root, 0),
        };
        parsed.map_err(|message| SyntaxError { file: source.name.to_owned(), line: parser.line, message })?;
    }
    let mut budget = MAX_ENTRIES;
    let resolved = resolve(&root, &root, 0, &mut budget);
    resolved.map_err(|(at, message)| {
        let file = sources.get(at.file).map_or_else(String::new, |source| source.name.to_owned());
        SyntaxError { file, line: at.line, message }
    })
}

struct Parser<'a> {
    file: usize,
    line: usize,
    rest: &'a str,
    entries: usize,
}

/// What a name cannot hold.
const SEPARATORS: &[char] = &['{', '}', '=', '#', '"', ',', ':'];

impl<'a> Parser<'a> {
    const fn at(&self) -> Place {
        Place { file: self.file, line: self.line }
    }

    /// All up to the end of the section, whose brace was read, or of the file.
    fn section(&mut self, into: &mut Section, depth: usize) -> Result<(), &'static str> {
        loop {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err("there are more than 20,000 values");
            }
            self.skip();
            let at = self.at();
            match self.rest.chars().next() {
                None if depth == 0 => return Ok(()),
                None => return Err("a section has no }"),
                Some('}') if depth == 0 => return Err("} without {"),
                Some('}') => return self.take(1).map(drop),
                Some(_) => {}
            }
            let name = self.name()?;
            if name == "include" && !self.next_is(&['=', '{', ':']) {
                self.line_end();
                into.includes.push(at);
                continue;
            }
            self.statement(name, at, into, depth)?;
        }
    }

    fn statement(
        &mut self,
        name: &str,
        at: Place,
        into: &mut Section,
        depth: usize,
    ) -> Result<(), &'static str> {
        self.skip();
        match self.rest.chars().next() {
            Some('=') => {
                self.take(1)?;
                let text = self.value()?;
                into.values.insert(name.to_owned(), Setting { text, at });
                Ok(())
            }
            Some('{' | ':') if depth + 1 == MAX_DEPTH => Err("sections are nested too deep"),
            Some('{' | ':') => {
                let section = into.section_mut(name, at);
                let references = self.references()?;
                section.references.extend(references);
                self.section(section, depth + 1)
            }
            _ => Err("a name without = or {"),
        }
    }

    /// What stands between the name of a section and its brace.
    fn references(&mut self) -> Result<Vec<String>, &'static str> {
        let mut references = Vec::new();
        loop {
            self.skip();
            match self.rest.chars().next() {
                Some('{') => {
                    self.take(1)?;
                    return Ok(references);
                }
                Some(':' | ',') if references.len() < MAX_REFERENCES => {
                    self.take(1)?;
                    self.skip();
                    references.push(self.name()?.to_owned());
                }
                _ => return Err("a section without {"),
            }
        }
    }

    /// The rest of the line, in parts that are quoted or not.
    fn value(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        loop {
            let plain = self.rest.find(['\n', '#', '}', '{', '"']).unwrap_or(self.rest.len());
            value.push_str(self.take(plain)?);
            match self.rest.chars().next() {
                Some('"') => {
                    self.take(1)?;
                    self.quoted(&mut value)?;
                }
                Some('{') => return Err("{ in a value: write it in quotation marks"),
                _ => return Ok(value.trim().to_owned()),
            }
        }
    }

    fn quoted(&mut self, value: &mut String) -> Result<(), &'static str> {
        loop {
            let plain = self.rest.find(['"', '\\']).ok_or("a quotation mark has no other")?;
            value.push_str(self.take(plain)?);
            if self.take(1)? == "\"" {
                return Ok(());
            }
            let escaped = self.rest.chars().next().ok_or("a quotation mark has no other")?;
            self.take(escaped.len_utf8())?;
            match escaped {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                '\n' => {}
                other => value.push(other),
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, &'static str> {
        let end = self.rest.find(|c: char| c.is_whitespace() || SEPARATORS.contains(&c));
        match end.unwrap_or(self.rest.len()) {
            0 => Err("a name is missing"),
            end => self.take(end),
        }
    }

    /// Past blanks, line ends and comments.
    fn skip(&mut self) {
        loop {
            let blank = self.rest.find(|c: char| !c.is_whitespace()).unwrap_or(self.rest.len());
            let _ = self.take(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            self.line_end();
        }
    }

    fn line_end(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let _ = self.take(end);
    }

    fn next_is(&self, what: &[char]) -> bool {
        self.rest.trim_start_matches([' ', '\t']).starts_with(what)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a str, &'static str> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or("the file ends here")?;
        self.line += taken.matches('\n').count();
        self.rest = rest;
        Ok(taken)
    }
}

type Unresolved = (Place, &'static str);

/// The section with all that it takes over; its own values go before those, and the first named before the next.
fn resolve(
    section: &Section,
    root: &Section,
    depth: usize,
    budget: &mut usize,
) -> Result<Section, Unresolved> {
    let mut whole = Section { references: Vec::new(), sections: Vec::new(), ..section.clone() };
    spend(section, budget)?;
    for (name, inner) in &section.sections {
        whole.sections.push((name.clone(), resolve(inner, root, depth, budget)?));
    }
    for reference in &section.references {
        if depth == MAX_REFERENCES {
            return Err((section.at, "sections refer to each other without end"));
        }
        let found = reference.split('.').try_fold(root, |section, name| section.section(name));
        let found = found.ok_or((section.at, "it takes over a section that is not there"))?;
        adopt(&mut whole, resolve(found, root, depth + 1, budget)?);
    }
    Ok(whole)
}

fn spend(section: &Section, budget: &mut usize) -> Result<(), Unresolved> {
    let size = 1 + section.values.len();
    *budget = budget.checked_sub(size).ok_or((section.at, "sections take over more than 20,000 values"))?;
    Ok(())
}

fn adopt(into: &mut Section, from: Section) {
    for (name, value) in from.values {
        into.values.entry(name).or_insert(value);
    }
    for (name, section) in from.sections {
        match into.sections.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => adopt(own, section),
            None => into.sections.push((name, section)),
        }
    }
}

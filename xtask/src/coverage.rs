//! The coverage tables of `docs/` name the test that shows each row: that test has to exist.

use crate::run::{command, output, root};
use anyhow::{Context, Result};

/// The tables.
const TABLES: [&str; 2] = ["docs/rfc-coverage.md", "docs/requirements-coverage.md"];

/// Every test that a table names and no Rust file has, as a function or as a named seed.
pub(crate) fn missing_tests() -> Result<Vec<String>> {
    let mut sources = String::new();
    for file in output(&mut command("git", &["ls-files", "*.rs"]))?.lines() {
        sources.push_str(&std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?);
    }
    let exists =
        |name: &str| sources.contains(&format!("fn {name}(")) || sources.contains(&format!("(\"{name}\", "));
    let mut missing = Vec::new();
    for table in TABLES {
        let text = std::fs::read_to_string(root().join(table)).context(table)?;
        let named = text.lines().flat_map(|line| tests_of(line).into_iter().map(move |name| (line, name)));
        missing.extend(named.filter(|(_, name)| !exists(name)).map(|(line, name)| {
            format!("{table}: no test `{name}` ({})", line.split('|').nth(1).unwrap_or("").trim())
        }));
    }
    Ok(missing)
}

/// The names between backticks in the last column of a row.
fn tests_of(line: &str) -> Vec<&str> {
    let Some(cell) = line.trim().strip_suffix('|').and_then(|row| row.rsplit('|').next()) else {
        return Vec::new();
    };
    cell.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_last_column() {
        assert_eq!(tests_of("| 2.8 `x` | yes | `a_test`, `another` |"), ["a_test", "another"]);
        assert!(tests_of("text with `code`").is_empty());
        assert!(tests_of("|---|---|---|").is_empty());
    }
}

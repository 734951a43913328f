//! docs/rfc-coverage.md names the test that shows each section: that test has to exist.

use crate::run::{command, output, root};
use anyhow::{Context, Result};

/// The table.
const TABLE: &str = "docs/rfc-coverage.md";

/// Every test that the table names and no Rust file has, as a function or as a named seed.
pub(crate) fn missing_tests() -> Result<Vec<String>> {
    let table = std::fs::read_to_string(root().join(TABLE)).context(TABLE)?;
    let mut sources = String::new();
    for file in output(&mut command("git", &["ls-files", "*.rs"]))?.lines() {
        sources.push_str(&std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?);
    }
    let exists =
        |name: &str| sources.contains(&format!("fn {name}(")) || sources.contains(&format!("(\"{name}\", "));
    let named = table.lines().flat_map(|line| tests_of(line).into_iter().map(move |name| (line, name)));
    let missing = named.filter(|(_, name)| !exists(name));
    Ok(missing
        .map(|(line, name)| {
            format!("{TABLE}: no test `{name}` ({})", line.split('|').nth(1).unwrap_or("").trim())
        })
        .collect())
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

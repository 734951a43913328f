//! Tags and resource groups (requirement RM-05).

use std::collections::BTreeMap;

use super::reader::Reader;
use super::value::Value;
use crate::diagnostic::{Code, Sink};
use crate::model::Labels;

/// Tags of one resource.
const MAX_TAGS: usize = 50;
/// Longest key and longest value of a tag, in characters.
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

/// Reads `resource-group` and `tags`.
pub(super) fn labels(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Labels {
    let resource_group = reader.take(&["resource-group"], sink).and_then(|v| v.name(sink));
    let tags = reader.take(&["tags"], sink).map(|v| tags(&v, sink)).unwrap_or_default();
    Labels { resource_group, tags }
}

/// A key is needed, its value may be empty.
fn tags(value: &Value<'_>, sink: &mut Sink<'_>) -> BTreeMap<String, String> {
    let entries = value.entries(sink).unwrap_or_default();
    if entries.len() > MAX_TAGS {
        let problem = value.problem(Code::OutOfRange, "too many tags");
        sink.error(problem.allowed(format!("up to {MAX_TAGS}")).fix("remove some"));
    }
    let printable = |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
    let mut tags = BTreeMap::new();
    for (key, value) in entries {
        let Some(text) = value.text(sink) else { continue };
        if key.is_empty() || !printable(key, MAX_KEY) || key.contains('=') || !printable(text, MAX_VALUE) {
            let problem = value.problem(Code::Malformed, "not a tag");
            sink.error(problem.allowed(format!(
                "a key of 1 to {MAX_KEY} characters without '=', a value of up to {MAX_VALUE}, which may be empty"
            )));
            continue;
        }
        tags.insert(key.to_owned(), text.to_owned());
    }
    tags
}

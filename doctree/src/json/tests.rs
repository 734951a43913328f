use proptest::prelude::*;

use super::*;

fn mistakes(text: &str) -> Vec<(String, String)> {
    let (_, mistakes) = parse(text);
    mistakes.into_iter().map(|m| (text[m.span].to_owned(), m.message)).collect()
}

#[test]
fn the_tree_is_that_of_toml_and_knows_its_places() {
    let text = "{\n \"a\": [1, -2.5, true, \"x\\u00e9\\/\"],\n \"b\": {\"c\": \"plain\"},\n \"d\": null }";
    let (root, found) = parse(text);
    assert_eq!(found, []);
    let root = root.get_ref();
    assert_eq!(root.len(), 2);
    let (key, list) = root.iter().next().expect("a");
    assert_eq!((&text[key.span()], &text[list.span()]), ("\"a\"", "[1, -2.5, true, \"x\\u00e9\\/\"]"));
    let items = list.get_ref().as_array().expect("a list");
    let shown: Vec<&str> = items.iter().map(|item| &text[item.span()]).collect();
    assert_eq!(shown, ["1", "-2.5", "true", "\"x\\u00e9\\/\""]);
    assert_eq!(items[0].get_ref().as_integer().map(|i| i.as_str()), Some("1"));
    assert_eq!(items[3].get_ref().as_str(), Some("xé/"));
    let inner = root.get("b").and_then(|b| b.get_ref().as_table()).expect("a table");
    assert_eq!(inner.get("c").and_then(|c| c.get_ref().as_str()), Some("plain"));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    assert_eq!(mistakes("{\"a\": 1, \"a\": 2}"), [("\"a\"".into(), "the key is there twice".into())]);
    assert_eq!(mistakes("{\"a\": [null]}"), [("null".into(), "null is no element of a list".into())]);
    assert_eq!(mistakes("{\"a\": 1,}")[0].1, "key must be a string");
    let (_, found) = parse("{\n  \"a\": 1\n  \"b\": 2\n}");
    assert_eq!(found[0].span.start, 13, "{found:?}");
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(mistakes(&deep)[0].1, "nested too deep");
}

proptest! {
    #[test]
    fn any_text_ends_in_a_tree_or_mistakes_within_it(text in "\\{[\\[\\]{}\",:0-9a-c\\\\\\-e.\n ]{0,60}") {
        let (_, found) = parse(&text);
        for mistake in found {
            prop_assert!(mistake.span.end <= text.len());
        }
    }
}

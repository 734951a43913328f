//! A document in JSON is read as the same document in TOML.

use crate::{Code, check};

const TOML: &str = include_str!("../../../../../docs/examples/two-sites.toml");
const JSON: &str = include_str!("../../../../../docs/examples/two-sites.json");

#[test]
fn both_formats_say_the_same() {
    let desired = |text| check(text, "test").desired.expect("valid");
    assert_eq!(desired(JSON), desired(TOML));
}

#[test]
fn a_problem_in_json_has_its_place() {
    let text = JSON.replace("\"192.0.2.2\"", "\"192.0.2\"");
    let report = check(&text, "gw.json");
    let [error] = &report.errors[..] else { panic!("{:#?}", report.errors) };
    let place = (&*error.path, error.line, error.column);
    assert_eq!((error.code, place), (Code::Malformed, ("customer-gateway[0].ip", 15, 50)));
    let report = check(&JSON.replace("\"profile\": \"modern\",", "\"profile\": \"modern\""), "gw.json");
    let [error] = &report.errors[..] else { panic!("{:#?}", report.errors) };
    assert_eq!((error.code, error.line), (Code::Syntax, 23));
}

#[test]
fn a_key_on_a_line_of_its_own_is_not_repeated() {
    let text = JSON.replace("\"psk-file\": \"a-to-b.psk\"", "\"psk\":\n\"se same\"\n");
    let report = check(&text, "gw.json");
    assert!(report.errors.iter().any(|error| error.code == Code::PskCharset), "{:#?}", report.errors);
    assert!(!format!("{report} {report:?}").contains("se same"));
}

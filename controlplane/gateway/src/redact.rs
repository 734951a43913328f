//! A document without its secrets.

use crate::document::secrets;

/// Stands for a secret that is not shown. It has spaces, so that it is no pre-shared key.
pub const NOT_SHOWN: &str = "(not shown)";

/// The text with [`NOT_SHOWN`] in the place of each secret; everything else stays as it is written.
#[must_use]
pub fn redact(text: &str) -> String {
    let (root, _) = doctree::parse(text);
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets::spans(root.get_ref()) {
        out.push_str(&text[copied..secret.start]);
        out.push('"');
        out.push_str(NOT_SHOWN);
        out.push('"');
        copied = secret.end;
    }
    out.push_str(&text[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/examples/two-sites.toml");

    #[test]
    fn every_spelling_of_a_secret_is_replaced_and_nothing_else() {
        assert_eq!(redact(DOCUMENT), DOCUMENT);
        for key in ["psk", "PSK", "pre_shared_key", "\"psk\""] {
            for value in ["\"sesame\"", "'sesame'", "\"\"\"\nsesame\"\"\""] {
                let text = DOCUMENT.replace("psk-file = \"a-to-b.psk\"", &format!("{key} = {value}"));
                let shown =
                    DOCUMENT.replace("psk-file = \"a-to-b.psk\"", &format!("{key} = \"{NOT_SHOWN}\""));
                assert_eq!(redact(&text), shown);
            }
        }
        let inline = "connection = [{ tunnel = { psk = \"sesame\" } }, { tunnel = [{ psk = 5 }] }]";
        assert!(!redact(inline).contains("sesame") && redact(inline).matches(NOT_SHOWN).count() == 2);
        let json = r#"{"connection": [{"tunnel": [{"psk": "ses\u0061me", "customer-gateway": "b"}]}]}"#;
        assert_eq!(redact(json), json.replace(r"ses\u0061me", NOT_SHOWN));
    }

    #[test]
    fn what_is_not_shown_is_no_key() {
        let text = DOCUMENT.replace("psk-file = \"a-to-b.psk\"", &format!("psk = \"{NOT_SHOWN}\""));
        let report = crate::check(&text, "test");
        assert!(report.errors.iter().any(|error| error.code == crate::Code::PskCharset));
    }
}

//! The part of `[[connection.tunnel]]` that says who both ends are and how they prove it.

use std::path::PathBuf;

use super::reader::{Reader, one_or_many};
use super::value::Value;
use crate::diagnostic::{Code, Problem, Sink};
use crate::model::{
    Authority, Identity, LocalAuth, OwnCertificate, Proofs, PskSource, RemoteAuth, RsaPadding,
};
use crate::psk::{self, Psk, PskError};
use crate::redact::NOT_SHOWN;

/// Longest identity, in characters.
const MAX_ID: usize = 100;
/// Longest distinguished name, in characters.
const MAX_DN: usize = 1000;

/// `certificate` with `private-key` for our end and `ca` for the peer's; a pre-shared key for what is left.
pub(super) fn proofs(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Proofs {
    let own = own_certificate(reader, sink);
    let authority = authority(reader, sink);
    let needed = own.is_none() || authority.is_none();
    let psk = pre_shared_key(reader, needed, sink);
    Proofs {
        local: own.map_or_else(|| LocalAuth::Psk(psk.clone()), LocalAuth::Certificate),
        remote: authority.map_or_else(|| RemoteAuth::Psk(psk.clone()), RemoteAuth::Certificate),
    }
}

fn own_certificate(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Option<OwnCertificate> {
    let certificate = reader.take(&["certificate"], sink);
    let private_key = reader.take(&["private-key"], sink);
    let paddings = [("pss", RsaPadding::Pss), ("pkcs1", RsaPadding::Pkcs1)];
    let padding = reader.take(&["rsa-padding"], sink);
    match (&certificate, &private_key, &padding) {
        (Some(given), None, _) => {
            let problem = Problem::new(Code::MissingKey, given.at(), "the certificate has no private key");
            sink.error(problem.fix("add  private-key = \"/etc/esplanade/NAME.key\"  (mode 0600, PKCS#8)"));
        }
        (None, Some(lonely), _) | (None, None, Some(lonely)) => {
            let message = format!("{} without certificate", lonely.key());
            let problem = Problem::new(Code::ConflictingKeys, lonely.at(), message);
            sink.error(problem.fix("add  certificate = \"/etc/esplanade/NAME.pem\", or remove it"));
        }
        _ => {}
    }
    let rsa_padding = padding.and_then(|v| v.word(&paddings, sink)).unwrap_or(RsaPadding::Pss);
    let certificate = certificate?.path(sink)?;
    let private_key = private_key.and_then(|v| v.path(sink)).unwrap_or_default();
    Some(OwnCertificate { certificate, private_key, rsa_padding })
}

fn authority(reader: &mut Reader<'_>, sink: &mut Sink<'_>) -> Option<Authority> {
    let ca = reader.take(&["ca"], sink);
    let crl = reader.take(&["crl"], sink);
    let strict = reader.take(&["crl-strict"], sink);
    if let (None, Some(lonely)) = (&ca, crl.as_ref().or(strict.as_ref())) {
        let message = format!("{} without ca", lonely.key());
        let problem = Problem::new(Code::ConflictingKeys, lonely.at(), message);
        sink.error(problem.fix("add  ca = \"/etc/esplanade/ca.pem\", or remove it"));
    }
    let crl_strict = strict.and_then(|v| v.flag(sink)).unwrap_or(false);
    let crl = crl.map(|v| paths(v, sink)).unwrap_or_default();
    let ca = ca?;
    let at = ca.at().clone();
    let ca = paths(ca, sink);
    if ca.is_empty() {
        let problem = Problem::new(Code::Malformed, &at, "ca names no file");
        sink.error(problem.allowed("a file of CA certificates in PEM, or a list of such files"));
    }
    Some(Authority { ca, crl, crl_strict })
}

fn paths(value: Value<'_>, sink: &mut Sink<'_>) -> Vec<PathBuf> {
    one_or_many(value).into_iter().filter_map(|item| item.path(sink)).collect()
}

/// `psk` or `psk-file`. The key never reaches a message.
fn pre_shared_key(reader: &mut Reader<'_>, needed: bool, sink: &mut Sink<'_>) -> PskSource {
    let inline = reader.take(&["psk", "pre-shared-key"], sink);
    let file = reader.take(&["psk-file"], sink);
    if let (false, Some(unused)) = (needed, inline.as_ref().or(file.as_ref())) {
        let message = "both ends prove themselves by certificate: nobody uses the pre-shared key";
        let problem = Problem::new(Code::ConflictingKeys, unused.at(), message);
        sink.error(
            problem.fix("remove it; or certificate, for a key on our end; or ca, for one on the peer's"),
        );
    }
    match (inline, file) {
        (Some(value), None) => inline_key(&value, sink).map(PskSource::Inline),
        (None, Some(value)) => value.path(sink).map(PskSource::File),
        (Some(value), Some(_)) => {
            let problem =
                Problem::new(Code::ConflictingKeys, value.at(), "psk and psk-file exclude each other");
            sink.error(problem.fix("keep psk-file"));
            None
        }
        (None, None) if needed && !sink.makes_keys => {
            let message = "the tunnel has no pre-shared key, nor certificate and ca";
            let problem = Problem::new(Code::MissingKey, reader.at(), message);
            sink.error(problem.fix(
                "add  psk-file = \"/etc/esplanade/NAME.psk\"  (mode 0600, the key only, as `openssl rand -base64 12` \
                 makes one), or certificate, private-key and ca; a gateway with a store (--state) makes one itself",
            ));
            None
        }
        (None, None) => None,
    }
    .unwrap_or_else(|| PskSource::File("".into()))
}

fn inline_key(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<Psk> {
    let text = value.text(sink)?;
    let error = match Psk::new(text) {
        Ok(psk) => return Some(psk),
        Err(error) => error,
    };
    if text == NOT_SHOWN {
        let message = "the key was not shown, and there is none in force for this tunnel of this connection";
        let problem = Problem::new(Code::PskCharset, value.at(), message);
        sink.error(
            problem.fix("write the key, or take the line out where a gateway with a store shall make one"),
        );
        return None;
    }
    let (code, allowed) = match error {
        PskError::Length(_) => (Code::PskLength, "1 to 100 characters".to_owned()),
        PskError::Charset { .. } => (Code::PskCharset, format!("digits, letters and {}", psk::PUNCTUATION)),
    };
    let problem = Problem::new(code, value.at(), error.to_string()).allowed(allowed);
    sink.error(problem.fix("choose another key, the same at the peer"));
    None
}

pub(super) fn identity(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<Identity> {
    let (code, message) = match read_identity(value.text(sink)?) {
        Ok(identity) => return Some(identity),
        Err(error) => error,
    };
    sink.error(value.problem(code, message).allowed(
        "an IP address, a domain name, name@domain, keyid:TEXT (at most 100 characters), or a distinguished \
         name such as \"C=DE, O=Example, CN=gw-a\"",
    ));
    None
}

/// An address, a name, `name@domain`, `keyid:TEXT`, or a distinguished name, which alone may have spaces.
pub(crate) fn read_identity(text: &str) -> Result<Identity, (Code, String)> {
    let kind = text.split_once('=').map(|(kind, _)| kind);
    let is_dn = kind.is_some_and(|kind| !kind.contains('@') && !kind.starts_with("keyid:"));
    let longest = if is_dn { MAX_DN } else { MAX_ID };
    let bad = |c: char| c.is_ascii_control() || !is_dn && !c.is_ascii();
    if !is_dn && text.chars().any(char::is_whitespace) {
        Err((Code::IdHasSpace, "an identity has no spaces".to_owned()))
    } else if text.chars().count() > longest {
        Err((Code::IdTooLong, format!("an identity has at most {longest} characters")))
    } else if text.is_empty() || text == "keyid:" || text.contains(bad) {
        Err((Code::Malformed, "not an identity".to_owned()))
    } else {
        Ok(match text.parse() {
            Ok(address) => Identity::Address(address),
            Err(_) if is_dn => Identity::Dn(text.to_owned()),
            Err(_) if text.starts_with("keyid:") => Identity::KeyId(text.to_owned()),
            Err(_) if text.contains('@') => Identity::Email(text.to_owned()),
            Err(_) => Identity::Fqdn(text.to_owned()),
        })
    }
}

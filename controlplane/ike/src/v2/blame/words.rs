//! Algorithms in the words of our configuration document, and parameters in those of any peer.

use crate::v2::offer::Mismatch;
use crate::wire::Transform;
use crate::wire::iana::{EncrId, EsnId, IntegId, KeId, PrfId, TransformType};

/// Groups that the document has words for.
const GROUPS: [u16; 10] = [1, 2, 5, 14, 15, 16, 19, 20, 21, 31];

/// What mends a proposal here, and at the peer.
pub(super) fn proposal_fixes(m: &Mismatch) -> [String; 2] {
    let key = m.parameter.split(' ').next().unwrap_or_default();
    let Some(name) = generic(m.parameter) else {
        let what = if m.parameter == "ipsec protocol" { "ESP" } else { &m.ours };
        return [
            match m.parameter {
                "ipsec protocol" => "nothing: only ESP is offered".to_owned(),
                _ => format!("set {key} = {{ .. }} to one of the peer's proposals"),
            },
            format!("add the proposal {what}"),
        ];
    };
    let mut values: Vec<String> = m.offered.iter().filter_map(word).collect();
    values.dedup();
    if m.offered.is_empty() && key == "ipsec.pfs" {
        values.push("disabled".to_owned());
    }
    let here = match &values[..] {
        [] => format!("nothing: {key} has no word for what the peer offers"),
        _ => format!("set {key} to {}", values.join(" or ")),
    };
    [here, format!("set its {name} to {}", m.ours)]
}

/// What others call the parameter.
fn generic(parameter: &str) -> Option<&'static str> {
    Some(match parameter {
        "ike.encryption" => "IKE encryption",
        "ike.authentication (integrity)" => "IKE integrity",
        "ike.authentication (prf)" => "IKE pseudorandom function",
        "ike.dh-group" => "IKE Diffie-Hellman group",
        "ipsec.encryption" => "ESP encryption",
        "ipsec.authentication" => "ESP integrity",
        "ipsec.esn" => "extended sequence numbers",
        "ipsec.pfs" => "Diffie-Hellman group for PFS",
        _ => return None,
    })
}

/// The document's word for an algorithm, if it has one.
fn word(transform: &Transform) -> Option<String> {
    let hash = |name: &'static str| Some(name.to_owned());
    match transform.transform_type {
        TransformType::ENCR => encryption(EncrId(transform.id), transform.key_bits),
        TransformType::INTEG => match IntegId(transform.id) {
            IntegId::HMAC_MD5_96 => hash("md5"),
            IntegId::HMAC_SHA1_96 => hash("sha1"),
            IntegId::HMAC_SHA2_256_128 => hash("sha256"),
            IntegId::HMAC_SHA2_384_192 => hash("sha384"),
            IntegId::HMAC_SHA2_512_256 => hash("sha512"),
            _ => None,
        },
        TransformType::PRF => match PrfId(transform.id) {
            PrfId::HMAC_MD5 => hash("md5"),
            PrfId::HMAC_SHA1 => hash("sha1"),
            PrfId::HMAC_SHA2_256 => hash("sha256"),
            PrfId::HMAC_SHA2_384 => hash("sha384"),
            PrfId::HMAC_SHA2_512 => hash("sha512"),
            _ => None,
        },
        TransformType::KE if transform.id == KeId::NONE.0 => hash("disabled"),
        TransformType::KE => GROUPS.contains(&transform.id).then(|| format!("group{}", transform.id)),
        TransformType::ESN => Some((transform.id == EsnId::ESN.0).to_string()),
        _ => None,
    }
}

fn encryption(id: EncrId, key_bits: Option<u16>) -> Option<String> {
    let bits = key_bits.filter(|bits| matches!(bits, 128 | 192 | 256));
    let sized = |mode: &str| bits.map(|bits| format!("aes{bits}{mode}"));
    match id {
        EncrId::DES => Some("des".to_owned()),
        EncrId::TRIPLE_DES => Some("3des".to_owned()),
        EncrId::AES_CBC if bits == Some(128) => Some("aes".to_owned()),
        EncrId::AES_CBC => sized(""),
        EncrId::AES_CTR => sized("ctr"),
        EncrId::AES_GCM_8 => sized("gcm8"),
        EncrId::AES_GCM_12 => sized("gcm12"),
        EncrId::AES_GCM_16 => sized("gcm16"),
        EncrId::NULL_AUTH_AES_GMAC => sized("gmac"),
        EncrId::CHACHA20_POLY1305 => Some("chacha20poly1305".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Code;

    fn mismatch(parameter: &'static str, offered: Vec<Transform>) -> Mismatch {
        Mismatch {
            code: Code::NegotiationFailed,
            parameter,
            ours: "ours".into(),
            theirs: String::new(),
            offered,
        }
    }

    #[test]
    fn what_the_peer_offers_becomes_a_word_of_the_document() {
        let offered = vec![
            Transform::encr(EncrId::AES_CBC, Some(256)),
            Transform::encr(EncrId::CAMELLIA_CBC, Some(256)),
            Transform::encr(EncrId::AES_GCM_16, Some(128)),
        ];
        let [here, there] = proposal_fixes(&mismatch("ike.encryption", offered));
        assert_eq!(here, "set ike.encryption to aes256 or aes128gcm16");
        assert_eq!(there, "set its IKE encryption to ours");
        let [here, _] =
            proposal_fixes(&mismatch("ike.authentication (prf)", vec![Transform::prf(PrfId::HMAC_SHA2_384)]));
        assert_eq!(here, "set ike.authentication to sha384");
        let [here, _] = proposal_fixes(&mismatch("ike.dh-group", vec![Transform::ke(KeId::ML_KEM_768)]));
        assert_eq!(here, "nothing: ike.dh-group has no word for what the peer offers");
        let [here, _] = proposal_fixes(&mismatch("ipsec.pfs", Vec::new()));
        assert_eq!(here, "set ipsec.pfs to disabled");
        let [here, there] = proposal_fixes(&mismatch("ike proposal", Vec::new()));
        assert_eq!(
            (here.as_str(), there.as_str()),
            ("set ike = { .. } to one of the peer's proposals", "add the proposal ours",)
        );
    }
}

//! How credentials stand in a recording: certificates and lists, never a key.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::crypto::RsaPadding;

/// DER in hexadecimal digits.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Der(#[serde(with = "hex::serde")] Vec<u8>);

fn ders<'a>(all: impl Iterator<Item = &'a [u8]>) -> Vec<Der> {
    all.map(|der| Der(der.to_vec())).collect()
}

fn bytes(all: Vec<Der>) -> Vec<Vec<u8>> {
    all.into_iter().map(|der| der.0).collect()
}

/// Our certificate with its chain. Read back it has another key of the same kind, which proves nothing to anybody.
pub(crate) mod credential {
    use super::*;
    use crate::pki::Credential;
    use std::sync::Arc;

    #[derive(Serialize, Deserialize)]
    struct Public {
        chain: Vec<Der>,
        padding: RsaPadding,
    }

    pub(crate) fn serialize<S: Serializer>(own: &Arc<Credential>, serializer: S) -> Result<S::Ok, S::Error> {
        let chain = ders(own.chain().iter().map(|certificate| certificate.der()));
        Public { chain, padding: own.padding() }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Credential>, D::Error> {
        let Public { chain, padding } = Public::deserialize(deserializer)?;
        Credential::stand_in(&bytes(chain), padding).map(Arc::new).map_err(D::Error::custom)
    }
}

/// The CAs, and what they revoked.
pub(crate) mod trust {
    use super::*;
    use crate::pki::Trust;
    use std::sync::Arc;

    #[derive(Serialize, Deserialize)]
    struct Public {
        authorities: Vec<Der>,
        revocation_lists: Vec<Der>,
        strict: bool,
    }

    pub(crate) fn serialize<S: Serializer>(trust: &Arc<Trust>, serializer: S) -> Result<S::Ok, S::Error> {
        let authorities = ders(trust.authorities().iter().map(|certificate| certificate.der()));
        let revocation_lists = ders(trust.revocation_lists().iter().map(Vec::as_slice));
        Public { authorities, revocation_lists, strict: trust.is_strict() }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Trust>, D::Error> {
        let Public { authorities, revocation_lists, strict } = Public::deserialize(deserializer)?;
        let trust = Trust::new(&bytes(authorities), &bytes(revocation_lists), strict);
        trust.map(Arc::new).map_err(D::Error::custom)
    }
}

//! The section `secrets`: which pre-shared key belongs to whom.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{Import, Section};
use crate::import::words::{identity, secret};

/// Pre-shared keys, each with the identities that it is for; without any it is for all.
pub(super) struct Secrets(Vec<(Vec<String>, Zeroizing<String>)>);

impl Secrets {
    pub(super) fn read(section: Option<&Section>, import: &mut Import<'_>) -> Self {
        let mut secrets = Vec::new();
        for (name, section) in section.into_iter().flat_map(|section| &section.sections) {
            if !name.starts_with("ike") {
                import.warn(section.at, format!("secret {name} is not carried over"));
                continue;
            }
            let Some(setting) = section.values.get("secret") else { continue };
            let Some(text) = secret(&setting.text) else {
                import.warn(setting.at, format!("secret {name} is no text"));
                continue;
            };
            let ids = section.values.iter().filter(|(key, _)| key.starts_with("id"));
            let ids = ids.filter_map(|(_, id)| identity(&id.text)).collect();
            secrets.push((ids, Zeroizing::new(text)));
        }
        Self(secrets)
    }

    /// The key that names most of both ends: the peer before us, one for all last.
    pub(super) fn of(&self, ids: &[Option<String>; 2], addresses: [IpAddr; 2]) -> Option<&str> {
        let named = |owners: &[String], end: usize| {
            let address = addresses[end].to_string();
            owners.iter().any(|owner| *owner == address || Some(owner) == ids[end].as_ref())
        };
        let score = |owners: &[String]| match (owners.is_empty(), named(owners, 0), named(owners, 1)) {
            (true, ..) => Some(0),
            (_, false, false) => None,
            (_, ours, theirs) => Some(u8::from(ours) + 2 * u8::from(theirs)),
        };
        let scored = self.0.iter().filter_map(|(owners, secret)| Some((score(owners)?, secret)));
        // The first of equals.
        let best = scored.rev().max_by_key(|(score, _)| *score);
        best.map(|(_, secret)| secret.as_str())
    }
}

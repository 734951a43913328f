//! Stable numbers for names.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers for `keys`: the FNV-1a hash of each key, never 0; a key whose number is taken by a smaller key is
/// hashed again with a suffix.
#[must_use]
pub fn assign<'a>(keys: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, u32> {
    let keys: BTreeSet<&str> = keys.into_iter().collect();
    let mut taken = BTreeSet::from([0]);
    let mut ids = BTreeMap::new();
    for key in keys {
        let mut attempt = 0_u32;
        let id = loop {
            let id = hash(key, attempt);
            if taken.insert(id) {
                break id;
            }
            attempt += 1;
        };
        ids.insert(key.to_owned(), id);
    }
    ids
}

/// Numbers are below 2^20: the data plane's tables hold no more.
const BITS: u32 = 20;

/// 32-bit FNV-1a of the key and, after the first attempt, of the attempt's number; folded to [`BITS`] bits.
fn hash(key: &str, attempt: u32) -> u32 {
    let suffix = attempt.to_le_bytes();
    let suffix = if attempt == 0 { &[][..] } else { &suffix[..] };
    let bytes = key.bytes().chain(suffix.iter().copied());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> BITS)) & ((1 << BITS) - 1)
}

/// The interface numbers in force, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceIds(BTreeMap<String, u16>);

impl InterfaceIds {
    /// The number of an interface.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<u16> {
        self.0.get(name).copied()
    }

    /// Keeps the numbers of `names` that have one, and gives the others the smallest free ones, from 1.
    #[must_use]
    pub fn renew<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let mut ids: BTreeMap<String, u16> =
            names.iter().filter_map(|&name| Some((name.to_owned(), self.of(name)?))).collect();
        let mut taken: BTreeSet<u16> = ids.values().copied().collect();
        for name in names {
            if !ids.contains_key(name)
                && let Some(id) = (1..u16::MAX).find(|id| !taken.contains(id))
            {
                taken.insert(id);
                ids.insert(name.to_owned(), id);
            }
        }
        Self(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_the_name_alone() {
        let few = assign(["tokyo", "tokyo/1"]);
        let many = assign(["tokyo", "osaka", "tokyo/1", "kyoto/2"]);
        assert_eq!(few["tokyo"], many["tokyo"]);
        assert_eq!(few["tokyo/1"], many["tokyo/1"]);
        // The published FNV-1a test vector for "a", 0xe40c292c, folded.
        assert_eq!(assign(["a"])["a"], 0xc_292c ^ 0xe40);
    }

    #[test]
    fn interfaces_keep_their_number_over_a_reload() {
        let first = InterfaceIds::default().renew(["out", "in"]);
        assert_eq!((first.of("out"), first.of("in")), (Some(1), Some(2)));
        let second = first.renew(["dmz", "in"]);
        assert_eq!((second.of("in"), second.of("dmz"), second.of("out")), (Some(2), Some(1), None));
    }
}

//! The pre-shared key: its character set, its length, and that it is never shown.

use std::fmt;

use zeroize::Zeroizing;

/// Shortest and longest key, in characters.
pub const LENGTH: std::ops::RangeInclusive<usize> = 1..=100;
/// The punctuation a key may hold besides letters and digits.
pub const PUNCTUATION: &str = "~`!@#$%^&*()_-+={}[]\\|;:',.<>/?";

/// Length of a generated key, in characters.
pub const GENERATED: usize = 16;
/// What generated keys are made of: no byte favours one of 64, and no peer's configuration has to quote any.
const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A checked pre-shared key. `Debug` shows its length only; memory is cleared on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(Zeroizing<String>);

/// Why a string is no pre-shared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PskError {
    #[error("a pre-shared key has 1 to 100 characters, this one has {0}")]
    Length(usize),
    #[error("character {position} (from 1) is not allowed in a pre-shared key")]
    Charset { position: usize },
}

impl Psk {
    /// Checks `key`.
    ///
    /// # Errors
    /// The length, or the first character outside digits, letters and [`PUNCTUATION`].
    pub fn new(key: &str) -> Result<Self, PskError> {
        let length = key.chars().count();
        if !LENGTH.contains(&length) {
            return Err(PskError::Length(length));
        }
        match key.chars().position(|c| !c.is_ascii_alphanumeric() && !PUNCTUATION.contains(c)) {
            Some(index) => Err(PskError::Charset { position: index + 1 }),
            None => Ok(Self(Zeroizing::new(key.to_owned()))),
        }
    }

    /// Checks the contents of a PSK file: the key, and at most one line end after it.
    ///
    /// # Errors
    /// As [`Psk::new`].
    pub fn from_file_text(text: &str) -> Result<Self, PskError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        Self::new(text.strip_suffix('\r').unwrap_or(text))
    }

    /// A key of 16 characters, made of as many random bytes: 96 bits of chance.
    #[must_use]
    pub fn generate(chance: &[u8; GENERATED]) -> Self {
        Self(Zeroizing::new(chance.iter().map(|byte| char::from(SYMBOLS[usize::from(byte % 64)])).collect()))
    }

    /// The key itself, for the key derivation only.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psk({} characters)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_1_to_100() {
        assert_eq!(Psk::new(""), Err(PskError::Length(0)));
        assert!(Psk::new("x").is_ok());
        assert!(Psk::new(&"x".repeat(100)).is_ok());
        assert_eq!(Psk::new(&"x".repeat(101)), Err(PskError::Length(101)));
    }

    #[test]
    fn charset_excludes_space_quote_control_and_non_ascii() {
        assert!(Psk::new(PUNCTUATION).is_ok());
        for bad in ["a b", "a\"b", "a\tb", "aéb"] {
            assert_eq!(Psk::new(bad), Err(PskError::Charset { position: 2 }), "{bad:?}");
        }
    }

    #[test]
    fn a_generated_key_has_16_characters_of_the_set() {
        let chance = std::array::from_fn(|at| u8::try_from(at * 17).expect("a byte"));
        let key = Psk::generate(&chance);
        assert_eq!(key.expose(), b"ARizEVm3IZq7Mdu_");
        assert!(std::str::from_utf8(key.expose()).is_ok_and(|key| Psk::new(key).is_ok()));
    }

    #[test]
    fn file_text_loses_one_line_end() {
        assert_eq!(Psk::from_file_text("key\r\n"), Psk::new("key"));
        assert_eq!(Psk::from_file_text("key\n\n"), Err(PskError::Charset { position: 4 }));
    }

    #[test]
    fn debug_hides_the_key() {
        assert_eq!(format!("{:?}", Psk::new("sesame").expect("valid")), "Psk(6 characters)");
    }
}

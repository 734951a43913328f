//! The key schedule: SKEYSEED, the seven keys of an IKE SA, and KEYMAT (RFC 7296 sections 2.14, 2.17, 2.18).

use serde::{Deserialize, Serialize};

use super::{CryptoError, Encr, EspEncr, Group, Integ, Prf, Secret, SkCipher};
use crate::wire::{IkeSpi, Nonce};

/// The algorithms of an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IkeSuite {
    /// Encryption.
    pub encr: Encr,
    /// Integrity; none exactly when the encryption is an AEAD.
    pub integ: Option<Integ>,
    /// Pseudorandom function.
    pub prf: Prf,
    /// Key exchange.
    pub group: Group,
}

/// The algorithms of an ESP CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EspSuite {
    /// Encryption.
    pub encr: EspEncr,
    /// Integrity; none exactly when the encryption is an AEAD.
    pub integ: Option<Integ>,
    /// Key exchange of the CHILD_SA itself (PFS).
    pub group: Option<Group>,
    /// Extended sequence numbers.
    pub esn: bool,
}

/// Both SPIs of an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IkeSpis {
    /// Of the initiator.
    pub initiator: IkeSpi,
    /// Of the responder.
    pub responder: IkeSpi,
}

/// Both nonces of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonces {
    /// Ni, of the exchange's initiator.
    pub initiator: Nonce,
    /// Nr, of the exchange's responder.
    pub responder: Nonce,
}

/// The keys of an IKE SA. "i" is the original initiator of this IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeKeys {
    /// Derives KEYMAT and the keys of the next IKE SA.
    pub sk_d: Secret,
    /// Integrity of the initiator's messages; empty with an AEAD.
    pub sk_ai: Secret,
    /// Integrity of the responder's messages; empty with an AEAD.
    pub sk_ar: Secret,
    /// Encryption of the initiator's messages, with the salt of an AEAD.
    pub sk_ei: Secret,
    /// Encryption of the responder's messages, with the salt of an AEAD.
    pub sk_er: Secret,
    /// AUTH of the initiator.
    pub sk_pi: Secret,
    /// AUTH of the responder.
    pub sk_pr: Secret,
}

impl IkeKeys {
    /// The keys of a first IKE SA: SKEYSEED = prf(Ni | Nr, g^ir).
    pub fn derive(suite: &IkeSuite, shared: &Secret, nonces: &Nonces, spis: IkeSpis) -> Self {
        let key = [nonces.initiator.as_bytes(), nonces.responder.as_bytes()].concat();
        let skeyseed = suite.prf.compute(&key, &[shared.expose()]);
        Self::from_skeyseed(suite, &skeyseed, nonces, spis)
    }

    /// The keys of the IKE SA that replaces one: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the
    /// old IKE SA's prf; the new one's prf does the rest (RFC 7296 section 2.18).
    pub fn derive_rekey(
        old_prf: Prf,
        old_sk_d: &Secret,
        suite: &IkeSuite,
        shared: &Secret,
        nonces: &Nonces,
        spis: IkeSpis,
    ) -> Self {
        let seed = [shared.expose(), nonces.initiator.as_bytes(), nonces.responder.as_bytes()];
        let skeyseed = old_prf.compute(old_sk_d.expose(), &seed);
        Self::from_skeyseed(suite, &skeyseed, nonces, spis)
    }

    /// {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
    fn from_skeyseed(suite: &IkeSuite, skeyseed: &Secret, nonces: &Nonces, spis: IkeSpis) -> Self {
        let (initiator_spi, responder_spi) = (spis.initiator.to_bytes(), spis.responder.to_bytes());
        let seed = [nonces.initiator.as_bytes(), nonces.responder.as_bytes(), &initiator_spi, &responder_spi];
        let (prf, integ, encr) =
            (suite.prf.output_len(), suite.integ.map_or(0, Integ::key_len), suite.encr.key_len());
        let keymat = suite.prf.plus(skeyseed, &seed, 3 * prf + 2 * integ + 2 * encr);
        let mut parts = Parts(keymat.expose());
        Self {
            sk_d: parts.take(prf),
            sk_ai: parts.take(integ),
            sk_ar: parts.take(integ),
            sk_ei: parts.take(encr),
            sk_er: parts.take(encr),
            sk_pi: parts.take(prf),
            sk_pr: parts.take(prf),
        }
    }

    /// What protects the messages one side sends; `from_initiator` means the IKE SA's original initiator.
    pub fn cipher(&self, suite: &IkeSuite, from_initiator: bool) -> Result<SkCipher, CryptoError> {
        let (encr, integ) =
            if from_initiator { (&self.sk_ei, &self.sk_ai) } else { (&self.sk_er, &self.sk_ar) };
        SkCipher::new(suite.encr, suite.integ, encr.clone(), integ.clone())
    }
}

/// The keys of a CHILD_SA. "i" is the initiator of the exchange that created it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildKeys {
    /// Encryption from initiator to responder, with the salt of an AEAD or of counter mode.
    pub encr_i: Secret,
    /// Integrity from initiator to responder; empty with an AEAD.
    pub integ_i: Secret,
    /// Encryption from responder to initiator, with the salt of an AEAD or of counter mode.
    pub encr_r: Secret,
    /// Integrity from responder to initiator; empty with an AEAD.
    pub integ_r: Secret,
}

impl ChildKeys {
    /// KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr), split as RFC 7296 section 2.17 orders it.
    ///
    /// The nonces are those of the exchange that creates the CHILD_SA (for the first one, of IKE_SA_INIT);
    /// `shared` is the secret of that exchange when it had one of its own (PFS).
    pub fn derive(
        prf: Prf,
        sk_d: &Secret,
        suite: &EspSuite,
        shared: Option<&Secret>,
        nonces: &Nonces,
    ) -> Self {
        let seed = [
            shared.map_or(&[][..], Secret::expose),
            nonces.initiator.as_bytes(),
            nonces.responder.as_bytes(),
        ];
        let (encr, integ) = (suite.encr.key_len(), suite.integ.map_or(0, Integ::key_len));
        let keymat = prf.plus(sk_d, &seed, 2 * (encr + integ));
        let mut parts = Parts(keymat.expose());
        Self {
            encr_i: parts.take(encr),
            integ_i: parts.take(integ),
            encr_r: parts.take(encr),
            integ_r: parts.take(integ),
        }
    }
}

/// Cuts key material from left to right.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take(&mut self, len: usize) -> Secret {
        let (head, tail) = self.0.split_at(len.min(self.0.len()));
        self.0 = tail;
        Secret::from(head)
    }
}

//! Modular exponentiation groups (RFC 2409 section 6, RFC 3526), in constant time by crypto-bigint.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use std::sync::OnceLock;
use zeroize::Zeroize;

use super::{Group, Secret};

/// A short exponent from random bytes. Its top bit is set: the size of the exponent is what gives the
/// strength, and it cannot be zero.
pub(super) fn private(random: &[u8]) -> Secret {
    let mut exponent = random.to_vec();
    if let Some(top) = exponent.first_mut() {
        *top |= 0x80;
    }
    Secret::new(exponent)
}

/// The safe prime of a group, with what exponentiation needs precomputed. The generator is always 2.
#[derive(Debug)]
pub(super) struct Modulus {
    params: BoxedMontyParams,
    len: usize,
}

impl Modulus {
    /// The prime of a MODP group.
    pub(super) fn of(group: Group) -> Option<&'static Self> {
        static MODULI: [OnceLock<Option<Modulus>>; 6] = [const { OnceLock::new() }; 6];
        let (at, prime) = match group {
            Group::Modp768 => (0, P768),
            Group::Modp1024 => (1, P1024),
            Group::Modp1536 => (2, P1536),
            Group::Modp2048 => (3, P2048),
            Group::Modp3072 => (4, P3072),
            Group::Modp4096 => (5, P4096),
            Group::Ecp256 | Group::Ecp384 | Group::Ecp521 | Group::Curve25519 => return None,
        };
        MODULI[at].get_or_init(|| Self::new(prime)).as_ref()
    }

    fn new(prime: &str) -> Option<Self> {
        let len = prime.len() / 2;
        let bits = u32::try_from(len * 8).ok()?;
        let prime = BoxedUint::from_str_radix_with_precision_vartime(prime, 16, bits).ok()?;
        let params = BoxedMontyParams::new_vartime(Odd::new(prime).into_option()?);
        Some(Self { params, len })
    }

    fn prime(&self) -> &BoxedUint {
        self.params.modulus()
    }

    /// 2^private mod p.
    pub(super) fn public(&self, private: &Secret) -> Vec<u8> {
        let two = BoxedUint::from_be_slice_truncated(&[2], self.params.bits_precision());
        self.pow(two, private).expose().to_vec()
    }

    /// peer^private mod p, if 1 < peer < p - 1. Those bounds leave no element of small order: p is safe.
    pub(super) fn agree(&self, private: &Secret, peer_public: &[u8]) -> Option<Secret> {
        let bits = self.params.bits_precision();
        let one = BoxedUint::one_with_precision(bits);
        let peer = BoxedUint::from_be_slice(peer_public, bits).ok()?;
        let acceptable = peer > one && peer < self.prime().wrapping_sub(&one);
        acceptable.then(|| self.pow(peer, private))
    }

    /// base^exponent mod p, big-endian with the length of p. The time depends on the exponent's length only.
    fn pow(&self, base: BoxedUint, exponent: &Secret) -> Secret {
        let bits = u32::try_from(exponent.len() * 8).unwrap_or(u32::MAX);
        let mut exponent = BoxedUint::from_be_slice_truncated(exponent.expose(), bits);
        let mut power = BoxedMontyForm::new(base, &self.params).pow(&exponent);
        exponent.zeroize();
        let mut value = power.retrieve();
        power.zeroize();
        let bytes = Secret::new(value.to_be_bytes().into_vec());
        value.zeroize();
        debug_assert_eq!(bytes.len(), self.len);
        bytes
    }
}

const P768: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3620ffffffffffffffff";
const P1024: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";
const P1536: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca237327ffffffffffffffff";
const P2048: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aacaa68ffffffffffffffff";
const P3072: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7\
    abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c\
    bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff";
const P4096: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f\
    83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510\
    15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7\
    abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c\
    bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a92108011a723c12a787e6d7\
    88719a10bdba5b2699c327186af4e23c1a946834b6150bda2583e9ca2ad44ce8dbbbc2db04de8ef92e8efc141fbecaa6\
    287c59474e6bc05d99b2964fa090c3a2233ba186515be7ed1f612970cee2d7afb81bdd762170481cd0069127d5b05aa9\
    93b4ea988d8fddc186ffb7dc90a6c08f4df435c934063199ffffffffffffffff";

//! Known answers: NIST's IKEv2 KDF samples, RFC 5903 section 8, RFC 7748 section 6.1, and
//! `tests/vectors/ike/ikev2.txt`, which its generator computes without our code.

use std::collections::BTreeMap;

use crate::crypto::*;
use crate::wire::iana::{EncrId, IntegId, KeId, PrfId};
use crate::wire::{IdPayload, IkeSpi, Nonce, Payload};

const FILE: &str = include_str!("../../../../../tests/vectors/ike/ikev2.txt");

/// One section of the file.
struct Section(BTreeMap<&'static str, &'static str>);

impl Section {
    fn all(name: &str) -> Vec<Self> {
        let sections: Vec<Self> = FILE
            .split("\n[")
            .filter_map(|text| text.split_once("]\n"))
            .filter(|(title, _)| *title == name)
            .map(|(_, body)| Self(body.lines().filter_map(|line| line.split_once(" = ")).collect()))
            .collect();
        assert!(!sections.is_empty(), "no section {name}");
        sections
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        hex::decode(self.0[key]).unwrap()
    }

    fn secret(&self, key: &str) -> Secret {
        Secret::new(self.bytes(key))
    }

    fn number(&self, key: &str) -> u16 {
        self.0[key].parse().unwrap()
    }

    fn spis(&self, key: &str) -> IkeSpis {
        let bytes = self.bytes(key);
        let spi = |bytes: &[u8]| IkeSpi(u64::from_be_bytes(bytes.try_into().unwrap()));
        IkeSpis { initiator: spi(&bytes[..8]), responder: spi(&bytes[8..]) }
    }

    fn nonces(&self) -> Nonces {
        let nonce = |key| Nonce::new(self.bytes(key)).unwrap();
        Nonces { initiator: nonce("ni"), responder: nonce("nr") }
    }

    fn suite(&self) -> IkeSuite {
        let bits = Some(self.number("bits")).filter(|bits| *bits != 0);
        IkeSuite {
            encr: Encr::from_transform(EncrId(self.number("encr")), bits).unwrap(),
            integ: Integ::from_id(IntegId(self.number("integ"))),
            prf: Prf::from_id(PrfId(self.number("prf"))).unwrap(),
            group: Group::Modp1024,
        }
    }

    fn ike_keys(&self, prefix: &str) -> IkeKeys {
        let key = |name: &str| self.secret(&format!("{prefix}{name}"));
        IkeKeys {
            sk_d: key("sk_d"),
            sk_ai: key("sk_ai"),
            sk_ar: key("sk_ar"),
            sk_ei: key("sk_ei"),
            sk_er: key("sk_er"),
            sk_pi: key("sk_pi"),
            sk_pr: key("sk_pr"),
        }
    }

    fn child_keys(&self, prefix: &str) -> ChildKeys {
        let key = |name: &str| self.secret(&format!("{prefix}{name}"));
        ChildKeys {
            encr_i: key("encr_i"),
            integ_i: key("integ_i"),
            encr_r: key("encr_r"),
            integ_r: key("integ_r"),
        }
    }
}

#[test]
fn key_schedule() {
    let sections = Section::all("schedule");
    for (at, s) in sections.iter().enumerate() {
        let (suite, nonces) = (s.suite(), s.nonces());
        let keys = IkeKeys::derive(&suite, &s.secret("shared"), &nonces, s.spis("spis"));
        assert_eq!(keys, s.ike_keys(""), "{suite:?}");

        let (fresh, next) = (s.secret("fresh"), sections[(at + 1) % sections.len()].suite());
        let rekeyed =
            IkeKeys::derive_rekey(suite.prf, &keys.sk_d, &next, &fresh, &nonces, s.spis("new_spis"));
        assert_eq!(rekeyed, s.ike_keys("rekeyed_"), "{suite:?}");

        let esp = EspSuite { encr: EspEncr::Common(suite.encr), integ: suite.integ, group: None, esn: false };
        let child = |shared| ChildKeys::derive(suite.prf, &keys.sk_d, &esp, shared, &nonces);
        assert_eq!(child(None), s.child_keys("plain_"));
        assert_eq!(child(Some(&fresh)), s.child_keys("pfs_"));
    }
}

#[test]
fn shared_key_authentication() {
    for s in Section::all("schedule") {
        let prf = s.suite().prf;
        let id = IdPayload::decode(&s.bytes("id")).unwrap();
        let octets = signed_octets(prf, &s.secret("sk_pi"), &s.bytes("message"), &s.nonces().responder, &id);
        let (psk, auth) = (s.secret("psk"), s.bytes("auth"));
        assert_eq!(psk_auth(prf, &psk, &octets), auth);
        assert!(verify_psk_auth(prf, &psk, &octets, &auth));
        assert!(!verify_psk_auth(prf, &psk, &octets, &auth[1..]));
        assert!(!verify_psk_auth(prf, &Secret::from(&b"other"[..]), &octets, &auth));
    }
}

#[test]
fn sealed_messages() {
    for s in Section::all("schedule") {
        let suite = s.suite();
        let cipher = s.ike_keys("").cipher(&suite, true).unwrap();
        let sealed = s.bytes("sealed");
        let message = cipher.open(&sealed).unwrap();
        assert_eq!(message.payloads, [Payload::Nonce(Nonce::new(s.bytes("nonce")).unwrap())]);
        assert_eq!(cipher.seal(&message.header, &message.payloads, &s.bytes("iv")), Ok(sealed), "{suite:?}");
        assert!(s.ike_keys("").cipher(&suite, false).unwrap().open(&s.bytes("sealed")).is_err());
    }
}

#[test]
fn modp_groups() {
    for s in Section::all("modp") {
        let group = Group::from_id(KeId(s.number("group"))).unwrap();
        let initiator = KeyExchange::new(group, &s.bytes("random_i")).unwrap();
        let responder = KeyExchange::new(group, &s.bytes("random_r")).unwrap();
        assert_eq!(hex::encode(initiator.public()), s.0["public_i"], "{group:?}");
        assert_eq!(hex::encode(responder.public()), s.0["public_r"], "{group:?}");
        assert_eq!(initiator.agree(responder.public()), Ok(s.secret("shared")), "{group:?}");
        assert_eq!(responder.agree(initiator.public()), Ok(s.secret("shared")), "{group:?}");

        // p - 1 has order two, p and p + 1 are 0 and 1.
        let prime = s.bytes("prime");
        let mut below = prime.clone();
        *below.last_mut().unwrap() -= 1;
        assert!(initiator.agree(&below).is_err());
        assert!(initiator.agree(&prime).is_err());
        *below.last_mut().unwrap() -= 1;
        assert!(initiator.agree(&below).is_ok());
    }
}

#[test]
fn nat_detection() {
    for s in Section::all("nat") {
        let spis = s.spis("spis");
        let hash = nat_detection_hash(spis.initiator, spis.responder, s.0["addr"].parse().unwrap());
        assert_eq!(hex::encode(hash), s.0["hash"]);
    }
}

/// Both sides' keys and the shared secret: i, g^i, r, g^r, g^ir.
const CURVES: &[(Group, [&str; 5])] = &[
    // RFC 5903 section 8.1
    (
        Group::Ecp256,
        [
            "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
         5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
            "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63\
         56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
        ],
    ),
    // RFC 5903 section 8.2
    (
        Group::Ecp384,
        [
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
            "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa\
         9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c",
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571\
         dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c",
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
        ],
    ),
    // RFC 5903 section 8.3
    (
        Group::Ecp521,
        [
            "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a0\
         95aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52",
            "0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1e3bf42e00b8e380aeae57c2d107564\
         941885942af5a7f4601723c4195d176ced3e\
         017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8a788015ac405d7799dc75e7b7d5b6c\
         f2261a6a7f1507438bf01beb6ca3926f9582",
            "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e\
         9c677d600b343757a3bdbf2a3163e4c2f869cca7458aa4a4effc311f5cb151685eb9",
            "00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b97c356436adc6e95bb0352f6be64a6\
         c2912d4ef2d0433ced2b6171640012d9460f\
         015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87220b6536c5c408a1d2aebb8e86d678ae\
         49cb57091f4732296579ab44fcd17f0fc56a",
            "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04\
         d1427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea",
        ],
    ),
    // RFC 7748 section 6.1
    (
        Group::Curve25519,
        [
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ],
    ),
];

#[test]
fn curves() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    for &(group, [i, public_i, r, public_r, shared]) in CURVES {
        let initiator = KeyExchange::from_private(group, Secret::new(bytes(i))).unwrap();
        let responder = KeyExchange::from_private(group, Secret::new(bytes(r))).unwrap();
        assert_eq!(hex::encode(initiator.public()), public_i, "{group:?}");
        assert_eq!(hex::encode(responder.public()), public_r, "{group:?}");
        let shared = Secret::new(bytes(shared));
        assert_eq!(initiator.agree(responder.public()).unwrap(), shared, "{group:?}");
        assert_eq!(responder.agree(initiator.public()).unwrap(), shared, "{group:?}");
    }
}

/// NIST CAVP, SP 800-135 IKEv2 KDF samples, SHA-1, count 0.
#[test]
fn nist_kdf() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let prf = Prf::HmacSha1;
    let (ni, nr) = (bytes("3651fef5c9c35e93"), bytes("c09a8b90a3f04d59"));
    let shared = bytes(
        "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e28\
         9cd3f34dad4eb4df1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a3\
         6455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c",
    );
    let fresh = bytes(
        "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41\
         ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d047504\
         84f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2",
    );
    let (spi_i, spi_r) = (bytes("8e5c3ae507221684"), bytes("b1f201bb155c3acd"));

    let skeyseed = prf.compute(&[&ni[..], &nr].concat(), &[&shared]);
    assert_eq!(hex::encode(skeyseed.expose()), "cd2e8050137832245f1dbacc6e4f0a92f94d45d6");
    let dkm = prf.plus(&skeyseed, &[&ni, &nr, &spi_i, &spi_r], 132);
    assert_eq!(
        hex::encode(dkm.expose()),
        "6f1b12cad3cbe097b35430356d869d54cddb0198ec859174d53ceb92dddedbe2436db69f60977c58fa63bbb667f8d369\
         20b109baae8f6c61a9ac49feda01843225d080ec5539d5881a25521ffb2a0a91874a9c0a27fcc2d717eb8963a9e3a89c\
         7ab264757284c28cf8c3ca40576f4220b052b1fb8e9ad60ba3c80557323331a8cbb89f20"
    );
    let sk_d = Secret::from(&dkm.expose()[..20]);
    assert_eq!(
        hex::encode(prf.plus(&sk_d, &[&ni, &nr], 132).expose()),
        "4727dc0ef94eb326ce131cf282fb652faa638ad0ddae3786a11bcc0309876009f8c485de011ad962c5b1ca8a41ff8145\
         445749079c5686e26ffebbc342f06981f3da745e11ca0976424d1f8caec623d59dc7186deb20a27b411d1dcb70a36544\
         0bf7de905088b0692e8addc094e18d1939bdb67e89798ca6b239e2ccb81c2409dac0106c"
    );
    assert_eq!(
        hex::encode(prf.plus(&sk_d, &[&fresh, &ni, &nr], 132).expose()),
        "b109c21ad4c0797768c1cec9e63554681e48f224bca7f23c20c4ea7041983451e9aa1d5408656c8a975ff1b9d9a12c75\
         ffeb64bdecb30174664cccb4e14f1c377b7f6d1525af77c7092aac3e47f917ebae8297fb5539d2008ce830823a09cc19\
         7361d4a289c72745f6ce9fefe812be5bf55b3200fbb82e41a4a40877d3fe106db909707b"
    );
    let rekeyed = prf.compute(sk_d.expose(), &[&fresh, &ni, &nr]);
    assert_eq!(hex::encode(rekeyed.expose()), "3b03bce748c96d5e8306918d2ff89b68f0648da3");
}

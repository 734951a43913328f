#!/usr/bin/python3
"""ESP packets by an independent implementation (scapy), for the data plane's tests.

  golden   writes golden.json: packets of every suite with fixed keys, SPI, sequence number and IV; and
           sealed.json: packets as our own data plane has to make them, to the last bit
  open     reads our packets as JSON on stdin, opens each with scapy, writes the inner packets as JSON

Each golden packet is taken apart again without scapy before it is written, so that a fault of scapy would show.
A packet is {suite: [encryption, key bits, integrity] (IANA IKEv2 transform IDs), natt, esn (null, or the high
half), seq (low half), spi, enc_key, auth_key, iv, inner, wire}; bytes are hexadecimal.

Needs Debian's python3-scapy and python3-cryptography.
"""
import hashlib, hmac, json, logging, os, struct, sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw
from scapy.compat import raw
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

GCM, CBC, TRIPLE_DES, DES, NULL = 20, 12, 3, 2, 11
CTR, GCM_8, GCM_12, GMAC, CHACHA20 = 13, 18, 19, 21, 28
# combined-mode ciphers and their tag bytes; these and CTR have a salt of 4 bytes behind the key
AEADS = {GCM: 16, GCM_8: 8, GCM_12: 12, GMAC: 16, CHACHA20: 16}
# encryption: scapy's name (none where scapy 2.5 lacks it: then primitives alone judge), IV bytes, key bytes without a salt for each key length
CIPHERS = {
    GCM: ("AES-GCM", 8, {128: 16, 192: 24, 256: 32}),
    CBC: ("AES-CBC", 16, {128: 16, 192: 24, 256: 32}),
    TRIPLE_DES: ("3DES", 8, {0: 24}),
    DES: ("DES", 8, {0: 8}),
    NULL: ("NULL", 0, {0: 0}),
    CTR: ("AES-CTR", 8, {128: 16, 192: 24, 256: 32}),
    GCM_8: (None, 8, {128: 16, 192: 24, 256: 32}),
    GCM_12: (None, 8, {128: 16, 192: 24, 256: 32}),
    GMAC: (None, 8, {128: 16, 192: 24, 256: 32}),
    CHACHA20: ("CHACHA20-POLY1305", 8, {0: 32}),
}
# integrity: scapy's name, hash, key bytes, tag bytes
HASHES = {
    1: ("HMAC-MD5-96", "md5", 16, 12),
    2: ("HMAC-SHA1-96", "sha1", 20, 12),
    12: ("SHA2-256-128", "sha256", 32, 16),
    13: ("SHA2-384-192", "sha384", 48, 24),
    14: ("SHA2-512-256", "sha512", 64, 32),
}
SUITES = (
    [(GCM, bits, 0) for bits in (128, 192, 256)]
    + [(CBC, bits, h) for bits in (128, 192, 256) for h in HASHES]
    + [(c, 0, h) for c in (TRIPLE_DES, DES) for h in HASHES]
    + [(NULL, 0, 2)]
    + [(CTR, bits, 12) for bits in (128, 192, 256)]
    + [(CHACHA20, 0, 0)]
)
SPI, SEQ = 0x11223344, 7
OUTER_SRC, OUTER_DST = "192.0.2.1", "192.0.2.2"


def derive(length, *label):
    return hashlib.shake_128(b"esplanade golden " + repr(label).encode()).digest(length)


def keys(suite):
    cipher, bits, integrity = suite
    salt = 4 if cipher in AEADS or cipher == CTR else 0
    auth = HASHES[integrity][2] if integrity else 0
    return derive(CIPHERS[cipher][2][bits] + salt, "enc", suite), derive(auth, "auth", suite)


def our_iv(suite, enc_key, esn, seq):
    """The IV that our data plane uses: the sequence number for counter modes, the encrypted one for CBC."""
    number = struct.pack(">II", esn or 0, seq)
    cipher, block = suite[0], CIPHERS[suite[0]][1]
    if cipher in AEADS or cipher in (CTR, NULL):
        return number[:block]
    alg = algorithms.AES(enc_key) if cipher == CBC else algorithms.TripleDES((enc_key * 3)[:24])
    encryptor = Cipher(alg, modes.ECB()).encryptor()
    return encryptor.update(number.ljust(block, b"\0")) + encryptor.finalize()


def association(packet):
    cipher, _, integrity = packet["suite"]
    more = {"crypt_algo": CIPHERS[cipher][0], "crypt_key": bytes.fromhex(packet["enc_key"])}
    if integrity:
        more.update(auth_algo=HASHES[integrity][0], auth_key=bytes.fromhex(packet["auth_key"]))
    header = IP(src=OUTER_SRC, dst=OUTER_DST, id=0x4242, ttl=64)
    return SecurityAssociation(ESP, spi=packet["spi"], tunnel_header=header, **more, **high_half(packet))


def high_half(packet):
    return {} if packet["esn"] is None else {"esn_en": True, "esn": packet["esn"]}


def tag_with_high_half(packet, esp):
    """The tag of encrypt-then-MAC with ESN (RFC 4303 section 2.8): scapy 2.5 leaves the high half out."""
    _, digest, _, tag_len = HASHES[packet["suite"][2]]
    covered = esp[:-tag_len] + struct.pack(">I", packet["esn"])
    return esp[:-tag_len] + hmac.new(bytes.fromhex(packet["auth_key"]), covered, digest).digest()[:tag_len]


def seal(packet):
    inner = IP(bytes.fromhex(packet["inner"]))
    iv = bytes.fromhex(packet["iv"])
    esp = raw(association(packet).encrypt(inner, seq_num=packet["seq"], iv=iv, **high_half(packet)))[20:]
    if packet["esn"] is not None and packet["suite"][2]:
        esp = tag_with_high_half(packet, esp)
    outer = IP(src=OUTER_SRC, dst=OUTER_DST, ttl=64, **packet.get("outer", {"id": 0x4242}))
    if packet["natt"]:  # by hand: scapy 2.5 gets the UDP length wrong
        return raw(outer / UDP(sport=4500, dport=4500, chksum=0) / Raw(esp))
    outer.proto = 50
    return raw(outer / Raw(esp))


def open_with_scapy(packet):
    integrity = packet["suite"][2]
    wire = bytes.fromhex(packet["wire"])
    esp = wire[28:] if packet["natt"] else wire[20:]
    association_of = packet
    if packet["esn"] is not None and integrity:
        assert tag_with_high_half(packet, esp) == esp, "integrity check value"
        esp = esp[: -HASHES[integrity][3]]
        association_of = dict(packet, suite=[*packet["suite"][:2], 0])
    bare = IP(raw(IP(src=OUTER_SRC, dst=OUTER_DST, proto=50) / Raw(esp)))
    return raw(association(association_of).decrypt(bare, **high_half(packet)))


def open_by_hand(packet):
    """RFC 4303 section 3.4 with primitives only."""
    cipher, _, integrity = packet["suite"]
    wire = bytes.fromhex(packet["wire"])
    enc_key, auth_key = bytes.fromhex(packet["enc_key"]), bytes.fromhex(packet["auth_key"])
    esp = wire[28:] if packet["natt"] else wire[20:]
    high = b"" if packet["esn"] is None else struct.pack(">I", packet["esn"])
    iv_len = CIPHERS[cipher][1]
    iv, rest = esp[8 : 8 + iv_len], esp[8 + iv_len :]
    if cipher in AEADS:
        plain = open_aead(cipher, enc_key, iv, rest, esp[:4] + high + esp[4:8])
    else:
        _, digest, _, tag_len = HASHES[integrity]
        tag = hmac.new(auth_key, esp[:-tag_len] + high, digest).digest()[:tag_len]
        assert tag == esp[-tag_len:], "integrity check value"
        plain = rest[:-tag_len]
        if cipher == CTR:
            counter = enc_key[-4:] + iv + struct.pack(">I", 1)
            plain = Cipher(algorithms.AES(enc_key[:-4]), modes.CTR(counter)).decryptor().update(plain)
        elif cipher != NULL:
            # DES is 3DES with one key three times
            alg = algorithms.AES(enc_key) if cipher == CBC else algorithms.TripleDES((enc_key * 3)[:24])
            decryptor = Cipher(alg, modes.CBC(iv)).decryptor()
            plain = decryptor.update(plain) + decryptor.finalize()
    pad_len, next_header = plain[-2:]
    inner, padding = plain[: -2 - pad_len], plain[-2 - pad_len : -2]
    assert padding == bytes(range(1, pad_len + 1)), "padding"
    assert next_header == 4, "next header"
    return inner


def open_aead(cipher, enc_key, iv, rest, aad):
    key, nonce = enc_key[:-4], enc_key[-4:] + iv
    if cipher == CHACHA20:
        return ChaCha20Poly1305(key).decrypt(nonce, rest, aad)
    body, tag = rest[: -AEADS[cipher]], rest[-AEADS[cipher] :]
    opened = Cipher(algorithms.AES(key), modes.GCM(nonce, tag, min_tag_length=len(tag))).decryptor()
    if cipher == GMAC:  # RFC 4543 section 3.3: all is authenticated, nothing encrypted
        opened.authenticate_additional_data(aad + iv + body)
        opened.finalize()
        return body
    opened.authenticate_additional_data(aad)
    return opened.update(body) + opened.finalize()


def describe(suite, natt, esn, length, ours=False):
    payload = Raw(bytes(i & 255 for i in range(length)))
    marks = {"tos": 0xB8, "flags": "DF"} if ours else {}
    inner = IP(src="10.1.0.1", dst="10.2.0.1", id=1, ttl=64, **marks) / ICMP(id=1, seq=1) / payload
    enc_key, auth_key = keys(suite)
    iv = our_iv(suite, enc_key, esn, SEQ) if ours else derive(CIPHERS[suite[0]][1], "iv", suite, length)
    packet = dict(suite=suite, natt=natt, esn=esn, seq=SEQ, spi=SPI, enc_key=enc_key.hex(), auth_key=auth_key.hex(),
                  iv=iv.hex(), inner=raw(inner).hex())
    # DSCP and DF are copied, and the identification is the sequence number.
    packet["wire"] = seal(dict(packet, outer=dict(id=SEQ, **marks)) if ours else packet).hex()
    assert open_by_hand(packet).hex() == packet["inner"], packet
    assert open_with_scapy(packet).hex() == packet["inner"], packet
    return packet


def write(path, packets):
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(p, separators=(",", ":")) for p in packets) + "\n]\n")
    print(len(packets), "packets in", path)


def golden(folder):
    variants = [(natt, esn) for natt in (False, True) for esn in (None, 0, 1)]
    theirs, ours = [], []
    for suite in SUITES:
        theirs += [describe(suite, False, None, length) for length in (0, 1, 301)]
        theirs += [describe(suite, natt, esn, 56) for natt, esn in variants]
        ours += [describe(suite, natt, esn, 57, ours=True) for natt, esn in variants]
    write(os.path.join(folder, "golden.json"), theirs)
    write(os.path.join(folder, "sealed.json"), ours)


def open_ours():
    results = []
    for packet in json.load(sys.stdin):
        by_hand = open_by_hand(packet).hex()
        known = CIPHERS[packet["suite"][0]][0]
        assert not known or open_with_scapy(packet).hex() == by_hand, "scapy and primitives disagree"
        results.append(by_hand)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1:] == ["golden"]:
        golden(os.path.dirname(os.path.abspath(__file__)))
    elif sys.argv[1:] == ["open"]:
        open_ours()
    else:
        sys.exit(__doc__)

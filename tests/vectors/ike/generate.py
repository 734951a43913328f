#!/usr/bin/env python3
"""Writes ikev2.txt: known answers for the cryptography of IKEv2.

Everything is computed here from the text of RFC 7296, RFC 5282 and RFC 3526 with Python's hmac, pow and the
`cryptography` package, so that it shares no code with what it checks. Inputs come from SHA-256 of their names:
running the script again gives the same file.

    python3 tests/vectors/ike/generate.py > tests/vectors/ike/ikev2.txt
"""

import hashlib
import hmac
import struct
import sys
import warnings

warnings.simplefilter("ignore")

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PRFS = {1: "md5", 2: "sha1", 5: "sha256", 6: "sha384", 7: "sha512"}
INTEGS = {0: (None, 0, 0), 1: ("md5", 16, 12), 2: ("sha1", 20, 12), 12: ("sha256", 32, 16),
          13: ("sha384", 48, 24), 14: ("sha512", 64, 32)}
# (transform ID, key bits): (key bytes with salt, IV bytes, block bytes)
ENCRS = {(2, 0): (8, 8, 8), (3, 0): (24, 8, 8), (12, 128): (16, 16, 16), (12, 192): (24, 16, 16),
         (12, 256): (32, 16, 16), (20, 128): (20, 8, 1), (20, 192): (28, 8, 1), (20, 256): (36, 8, 1)}
# (encryption, integrity, prf)
SUITES = [((2, 0), 1, 1), ((3, 0), 1, 1), ((3, 0), 2, 2), ((12, 128), 2, 2), ((12, 192), 12, 5), ((12, 256), 12, 5),
          ((12, 256), 13, 6), ((12, 256), 14, 7), ((20, 128), 0, 5), ((20, 192), 0, 6), ((20, 256), 0, 7)]
# group: (bits, k) of p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + k), exponent bytes
MODP = {1: (768, 149686, 32), 2: (1024, 129093, 32), 5: (1536, 741804, 32), 14: (2048, 124476, 40),
        15: (3072, 1690314, 53), 16: (4096, 240904, 60)}


def data(name, length):
    out, counter = b"", 0
    while len(out) < length:
        out += hashlib.sha256(f"{name}/{counter}".encode()).digest()
        counter += 1
    return out[:length]


def prf(number, key, message):
    return hmac.new(key, message, PRFS[number]).digest()


def prf_plus(number, key, seed, length):
    out, last, counter = b"", b"", 1
    while len(out) < length:
        last = prf(number, key, last + seed + bytes([counter]))
        out += last
        counter += 1
    return out[:length]


def cut(material, lengths):
    parts, at = [], 0
    for length in lengths:
        parts.append(material[at:at + length])
        at += length
    return parts


def ike_keys(suite, skeyseed, ni, nr, spis):
    encr, integ, number = suite
    p, a, e = hashlib.new(PRFS[number]).digest_size, INTEGS[integ][1], ENCRS[encr][0]
    lengths = [p, a, a, e, e, p, p]
    keys = cut(prf_plus(number, skeyseed, ni + nr + spis, sum(lengths)), lengths)
    return dict(zip(["sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr"], keys))


def child_keys(number, sk_d, suite, shared, ni, nr):
    encr, integ, _ = suite
    lengths = [ENCRS[encr][0], INTEGS[integ][1]] * 2
    keys = cut(prf_plus(number, sk_d, shared + ni + nr, sum(lengths)), lengths)
    return dict(zip(["encr_i", "integ_i", "encr_r", "integ_r"], keys))


def encrypt(encr, key, iv, aad, text):
    if encr[0] == 20:
        return AESGCM(key[:-4]).encrypt(key[-4:] + iv, text, aad)
    if encr[0] == 12:
        algorithm = algorithms.AES(key)
    else:
        algorithm = algorithms.TripleDES(key if len(key) == 24 else key * 3)
    sealer = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return sealer.update(text) + sealer.finalize()


def seal(suite, key_e, key_a, header, first, text, iv):
    encr, integ, _ = suite
    name, _, icv = INTEGS[integ]
    block = ENCRS[encr][2]
    pad = -(len(text) + 1) % block
    text += bytes(pad) + bytes([pad])
    sealed = len(text) + (16 if encr[0] == 20 else 0)
    length = 4 + len(iv) + sealed + icv
    message = header[:16] + bytes([46]) + header[17:24] + struct.pack(">I", 28 + length)
    message += bytes([first, 0]) + struct.pack(">H", length)
    message += iv + encrypt(encr, key_e, iv, message, text)
    return message + (hmac.new(key_a, message, name).digest()[:icv] if name else b"")


def pi_bits(bits):
    """floor(pi * 2^bits), by Machin's formula."""
    def arctan_inverse(x, unity):
        total = term = unity // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total
    unity = 1 << (bits + 64)
    return 4 * (4 * arctan_inverse(5, unity) - arctan_inverse(239, unity)) >> 64


def section(name, fields):
    print(f"[{name}]")
    for key, value in fields.items():
        print(f"{key} = {value.hex() if isinstance(value, bytes) else value}")
    print()


def schedules():
    for at, suite in enumerate(SUITES):
        (encr, bits), integ, number = suite
        tag = f"suite{at}"
        ni, nr = data(tag + "ni", 16 + at), data(tag + "nr", 256 if at == 0 else 32)
        shared, fresh = data(tag + "shared", 128), data(tag + "fresh", 32)
        spis, new_spis = data(tag + "spis", 16), data(tag + "new spis", 16)
        keys = ike_keys(suite, prf(number, ni + nr, shared), ni, nr, spis)
        # The rekeyed IKE SA has the next suite; its SKEYSEED still comes from the old prf.
        next_suite = SUITES[(at + 1) % len(SUITES)]
        rekeyed = ike_keys(next_suite, prf(number, keys["sk_d"], fresh + ni + nr), ni, nr, new_spis)
        plain = child_keys(number, keys["sk_d"], suite, b"", ni, nr)
        pfs = child_keys(number, keys["sk_d"], suite, fresh, ni, nr)
        psk, message, ident = data(tag + "psk", 16), data(tag + "message", 300), b"\x02\0\0\0gw.example"
        octets = message + nr + prf(number, keys["sk_pi"], ident)
        auth = prf(number, prf(number, psk, b"Key Pad for IKEv2"), octets)
        text = bytes([0, 0]) + struct.pack(">H", 4 + 16 + at) + data(tag + "nonce", 16 + at)
        header = spis + bytes([0, 0x20, 37, 0x08]) + struct.pack(">II", at, 0)
        iv = data(tag + "iv", ENCRS[(encr, bits)][1])
        section("schedule", {
            "encr": encr, "bits": bits, "integ": integ, "prf": number,
            "ni": ni, "nr": nr, "shared": shared, "spis": spis, **keys,
            "fresh": fresh, "new_spis": new_spis, **{"rekeyed_" + k: v for k, v in rekeyed.items()},
            **{"plain_" + k: v for k, v in plain.items()}, **{"pfs_" + k: v for k, v in pfs.items()},
            "psk": psk, "message": message, "id": ident, "auth": auth,
            "iv": iv, "sealed": seal(suite, keys["sk_ei"], keys["sk_ai"], header, 40, text, iv),
            "nonce": data(tag + "nonce", 16 + at),
        })


def groups():
    pi = pi_bits(4096)
    for group, (n, k, exponent_len) in MODP.items():
        prime = 2**n - 2**(n - 64) - 1 + 2**64 * ((pi >> (4096 - (n - 130))) + k)
        random = [data(f"modp{group}{side}", exponent_len) for side in "ir"]
        # Our private key is the random bytes with the top bit set.
        private = [int.from_bytes(r, "big") | 1 << (8 * exponent_len - 1) for r in random]
        public = [pow(2, x, prime) for x in private]
        shared = pow(public[1], private[0], prime)
        assert shared == pow(public[0], private[1], prime)
        big = lambda x: x.to_bytes(n // 8, "big")
        section("modp", {"group": group, "prime": big(prime), "random_i": random[0], "random_r": random[1],
                         "public_i": big(public[0]), "public_r": big(public[1]), "shared": big(shared)})


def nat():
    spis = data("nat", 16)
    for text, packed in [("192.0.2.1:500", b"\xc0\0\x02\x01\x01\xf4"),
                         ("[2001:db8::1]:4500", bytes.fromhex("20010db8000000000000000000000001") + b"\x11\x94")]:
        section("nat", {"spis": spis, "addr": text, "hash": hashlib.sha1(spis + packed).digest()})


if __name__ == "__main__":
    print("# Written by generate.py; do not edit.\n")
    schedules()
    groups()
    nat()

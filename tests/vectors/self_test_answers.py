#!/usr/bin/env python3
"""Prints dataplane/crypto/src/selftest/answers.rs, computed by OpenSSL through Debian's python3-cryptography.

One ESP packet per suite: SPI 01020304, sequence number 6:5 (ESN), 320 bytes of payload. The tag covers
header, IV and ciphertext, so that its first 12 bytes (8 where the tag has no more) vouch for all of them.
"""
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SPI, SEQ_LOW, SEQ_HIGH = 0x01020304, 5, 6
PAYLOAD = bytes(i % 256 for i in range(320))
IV = bytes(range(0x11, 0x19))
AAD = struct.pack(">III", SPI, SEQ_HIGH, SEQ_LOW)
CIPHERS = [("Des", 8), ("TripleDes", 24), ("Null", 0), ("AesCbc128", 16), ("AesCbc192", 24), ("AesCbc256", 32),
           ("AesCtr128", 16), ("AesCtr192", 24), ("AesCtr256", 32)]
MACS = [("HmacMd5", "md5", 16), ("HmacSha1", "sha1", 20), ("HmacSha256", "sha256", 32),
        ("HmacSha384", "sha384", 48), ("HmacSha512", "sha512", 64)]


def encryption_key(length):
    return bytes(range(1, length + 1))


def authentication_key(length):
    return bytes(range(0x80, 0x80 + length))


def cbc(name, length):
    """IV and ciphertext: the sequence number is the first block of the chain."""
    if name == "Null":
        return PAYLOAD
    key = encryption_key(length)
    block = 16 if name.startswith("Aes") else 8
    algorithm = algorithms.AES(key) if block == 16 else algorithms.TripleDES(key * (24 // length))
    unique = struct.pack(">II", SEQ_HIGH, SEQ_LOW).ljust(block, b"\0")
    encryptor = Cipher(algorithm, modes.CBC(bytes(block))).encryptor()
    return encryptor.update(unique + PAYLOAD) + encryptor.finalize()


def ctr(length):
    """IV and ciphertext (RFC 3686): the nonce ends the key material, the counter starts at 1."""
    material = encryption_key(length + 4)
    first = material[length:] + IV + struct.pack(">I", 1)
    encryptor = Cipher(algorithms.AES(material[:length]), modes.CTR(first)).encryptor()
    return IV + encryptor.update(PAYLOAD) + encryptor.finalize()


def encrypt_then_mac(name, length, digest, mac_length):
    body = ctr(length) if name.startswith("AesCtr") else cbc(name, length)
    data = struct.pack(">II", SPI, SEQ_LOW) + body + struct.pack(">I", SEQ_HIGH)
    return hmac.new(authentication_key(mac_length), data, digest).digest()


def aead(algorithm, length):
    material = encryption_key(length + 4)
    return algorithm(material[:length]).encrypt(material[length:] + IV, PAYLOAD, AAD)[-16:]


def gmac(length):
    """RFC 4543: everything is additional data, the IV too."""
    material = encryption_key(length + 4)
    return AESGCM(material[:length]).encrypt(material[length:] + IV, b"", AAD + IV + PAYLOAD)


def line(cipher, mac, tag):
    rust = ", ".join(f"0x{byte:02x}" for byte in tag[:12])
    print(f"    (Cipher::{cipher}, {mac}, [{rust}]),")


print("//! Printed by `tests/vectors/self_test_answers.py`: the first 12 bytes of each suite's tag.\n")
print("use crate::suite::{Cipher, Integrity::*};\n")
print("pub(super) const ANSWERS: [(Cipher, Option<crate::Integrity>, [u8; 12]); 58] = [")
for name, length in CIPHERS:
    for mac, digest, mac_length in MACS:
        line(name, f"Some({mac})", encrypt_then_mac(name, length, digest, mac_length))
for length in (16, 24, 32):
    for cipher in ("AesGcm", "AesGcm8Of", "AesGcm12Of"):
        line(f"{cipher}{8 * length}", "None", aead(AESGCM, length))
    line(f"AesGmac{8 * length}", "None", gmac(length))
line("ChaCha20Poly1305", "None", aead(ChaCha20Poly1305, 32))
print("];")

#!/usr/bin/env python3
"""Sends the last frame with ESP in UDP of a capture again, then forged, then with an SPI of nobody.

usage: inject.py CAPTURE.pcap DEVICE SOURCE_MAC
Only a frame that SOURCE_MAC sent is taken, so that it meets the gateway under test.
"""
import socket
import struct
import sys

# Where ESP in UDP begins after Ethernet, IPv4 and UDP, all without options.
ESP = 14 + 20 + 8
NAT_T = struct.pack("!H", 4500)


def frames(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + size]
        at += 16 + size


def main():
    path, device, mac = sys.argv[1:]
    source = bytes.fromhex(mac.replace(":", ""))
    ours = [f for f in frames(path) if f[6:12] == source and f[12:14] == b"\x08\0" and f[36:38] == NAT_T]
    # IKE has a zero marker there, a keepalive nothing.
    replayed = [f for f in ours if len(f) > ESP + 8 and f[ESP : ESP + 4] != bytes(4)][-1]
    # A UDP checksum of zero is none (RFC 768).
    header, rest = replayed[: ESP - 2] + bytes(2), replayed[ESP + 8 :]
    spi, sequence = struct.unpack_from("!II", replayed, ESP)
    forged = header + struct.pack("!II", spi, sequence + 1) + rest[:-1] + bytes([rest[-1] ^ 1])
    stranger = header + struct.pack("!II", spi ^ 0x10000, sequence + 1) + rest
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((device, 0))
        for frame in (replayed, forged, stranger):
            link.send(frame)


main()

#!/usr/bin/env python3
"""Sends what a hostile network would: packets of a capture again, as they were (replays), mutated, truncated and stretched.

usage: mutate.py CAPTURE.pcap DEVICE SOURCE_MAC COUNT SEED
Prints how many frames it sent. Frames that SOURCE_MAC sent go out again, so that they meet the gateway under test.
"""
import random
import socket
import struct
import sys
import time


def frames(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frame = data[at + 16 : at + 16 + size]
        if len(frame) == size:
            yield frame
        at += 16 + size


def checksum(header):
    total = sum(struct.unpack("!%dH" % (len(header) // 2), header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def resized(frame, size):
    """The IPv4 packet cut or stretched to `size` bytes, its length and checksum right: only what is inside is wrong."""
    packet = bytearray(frame[14 : 14 + size].ljust(size, b"\xa5"))
    if size >= 20:
        packet[2:4] = struct.pack("!H", size)
        packet[10:12] = b"\0\0"
        packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])))
    return bytes(frame[:14] + packet)


def mutate(frame, chance):
    kind = chance.randrange(6)
    if kind == 0:
        return frame
    if kind == 1:
        return frame[: chance.randrange(14, len(frame))]
    if kind == 2:
        return resized(frame, chance.randrange(0, len(frame) - 14))
    if kind == 3:
        return resized(frame, chance.randrange(len(frame) - 14, 1500))
    changed = bytearray(frame)
    for _ in range(chance.randrange(1, 9)):
        changed[chance.randrange(14 if kind == 4 else 34, len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


def main():
    path, device, source, count, seed = sys.argv[1:]
    chance = random.Random(int(seed))
    source = bytes.fromhex(source.replace(":", ""))
    seeds = [f for f in frames(path) if f[6:12] == source and f[12:14] == b"\x08\x00" and len(f) > 60]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((device, 0))
    for number in range(int(count)):
        link.send(mutate(chance.choice(seeds), chance).ljust(14, b"\0"))
        if number % 50 == 49:
            time.sleep(0.005)
    print(count)


main()

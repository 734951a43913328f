#!/usr/bin/python3
"""Malformed packets, made with scapy, each with what must become of it.

usage: packets.py OUTSIDE_MAC INSIDE_MAC SPI KEY     addresses and keys of the gateway under test; SPI and KEY in hexadecimal
Prints a line per frame: side, what is expected, a name, and the frame in hexadecimal. Expected is
  NAME or NAME*N   N packets (one) dropped under this reason
  agent            left to the agent, and not answered
  held             a fragment kept until its packet is whole
  echo             through the tunnel, and its answer comes back

Every packet from inside carries a marker, so that it is recognised outside.
"""
import logging
import struct
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.compat import raw
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Jumbo, PadN,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils import checksum

OUTSIDE_MAC, INSIDE_MAC = sys.argv[1:3]
SPI, KEY = int(sys.argv[3], 16), bytes.fromhex(sys.argv[4])
MARKER = bytes.fromhex("5ec2e7913da6480f") * 2
US, PEER, US6, PEER6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
# side: our address, source and destination of a good packet, in both versions
SIDES = {
    "outside": (OUTSIDE_MAC, (US, PEER, US), (US6, PEER6, US6)),
    "inside": (INSIDE_MAC, ("10.1.0.1", "10.1.0.2", "10.2.0.2"), ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::2")),
}
# what ICMP errors about packets from outside may quote there is no leak
DATA = {"outside": bytes(16), "inside": MARKER}
HOST_MAC = "02:00:00:00:00:77"


def emit(side, expected, name, payload, ethertype=None, dst=None):
    """One frame: `payload` is a scapy packet or bytes behind the Ethernet header."""
    if isinstance(payload, bytes) and ethertype is None:
        ethertype = 0x86DD if payload[:1] and payload[0] >> 4 == 6 else 0x0800
    kind = {} if ethertype is None else {"type": ethertype}
    frame = Ether(dst=dst or SIDES[side][0], src=HOST_MAC, **kind) / payload
    print(side, expected, name.replace(" ", "-"), raw(frame).hex())


def ethernet(side):
    data = DATA[side]
    _, (_, src, dst), (_, src6, dst6) = SIDES[side]
    good, good6 = IP(src=src, dst=dst) / UDP(sport=7, dport=9) / data, IPv6(src=src6, dst=dst6) / UDP(sport=7, dport=9) / data
    emit(side, "frame_truncated", "ethernet nothing behind the header", b"", 0x0800)
    for length in range(4):
        emit(side, "frame_truncated", f"vlan tag of {length} bytes", bytes(length), 0x8100)
    emit(side, "vlan_unknown", "vlan 5", Dot1Q(vlan=5) / good)
    emit(side, "vlan_unknown", "vlan 4095", Dot1Q(vlan=4095) / good)
    emit(side, "ethertype_unsupported", "two vlan tags", Dot1Q(vlan=0) / Dot1Q(vlan=0) / good)
    emit(side, "ethertype_unsupported", "service tag", Dot1Q(vlan=0) / good, 0x88A8)
    for ethertype in (0, 46, 1500, 0x0801, 0x8847, 0x8863, 0x88CC, 0x88E5, 0xFFFF):
        emit(side, "ethertype_unsupported", f"ethertype {ethertype:#06x}", raw(good), ethertype)
    emit(side, "mac_not_ours", "another station", good, dst="02:00:00:00:00:99")
    emit(side, "multicast_destination", "unicast packet in a broadcast frame", good, dst="ff:ff:ff:ff:ff:ff")
    emit(side, "multicast_destination", "unicast packet in a group frame", good, dst="01:00:5e:00:00:01")
    emit(side, "multicast_destination", "unicast IPv6 packet in a group frame", good6, dst="33:33:00:00:00:01")
    emit(side, "ipv6_header_invalid", "IPv4 in an IPv6 frame", raw(good), 0x86DD)
    emit(side, "ipv4_header_invalid", "IPv6 in an IPv4 frame", raw(good6), 0x0800)


def with_options(packet, options, payload):
    """scapy refuses to write malformed options."""
    packet.ihl, packet.len, packet.chksum = 5 + len(options) // 4, 20 + len(options) + len(payload), 0
    header = raw(packet)[:20] + options
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def ipv4(side):
    data = DATA[side]
    _, (us, src, dst), _ = SIDES[side]
    good = IP(src=src, dst=dst, id=1) / UDP(sport=7, dport=9) / data
    whole = raw(good)
    for length in range(len(whole)):
        emit(side, "frame_truncated", f"IPv4 cut to {length} bytes", whole[:length], 0x0800)
    for version in set(range(16)) - {4, 6}:
        emit(side, "ipv4_header_invalid", f"IPv4 version {version}", bytes([version << 4 | 5]) + whole[1:], 0x0800)
    for ihl in (0, 1, 2, 3, 4, 12, 15):
        emit(side, "ipv4_header_invalid", f"IPv4 header of {ihl} words", raw(IP(src=src, dst=dst, ihl=ihl) / UDP() / b""))
    for length, reason in [(0, "ipv4_header_invalid"), (19, "ipv4_header_invalid"), (len(whole) + 1, "frame_truncated"), (65535, "frame_truncated")]:
        emit(side, reason, f"IPv4 says {length} bytes", raw(IP(src=src, dst=dst, len=length) / UDP() / data))
    for bit in range(16):
        sum_ = struct.unpack_from(">H", whole, 10)[0] ^ 1 << bit
        emit(side, "ipv4_checksum", f"IPv4 checksum with bit {bit} wrong", whole[:10] + struct.pack(">H", sum_) + whole[12:])
    for name, option, reason in [
        ("loose source route", b"\x83\x07\x04\x0a\x09\x00\x01\x00", "ipv4_source_route"),
        ("strict source route", b"\x89\x07\x04\x0a\x09\x00\x01\x00", "ipv4_source_route"),
        ("source route behind others", b"\x01\x94\x04\x00\x00\x83\x03\x04", "ipv4_source_route"),
        ("option of 0 bytes", b"\x07\x00\x00\x00", "ipv4_header_invalid"),
        ("option of 1 byte", b"\x07\x01\x00\x00", "ipv4_header_invalid"),
        ("option beyond the header", b"\x07\x05\x00\x00", "ipv4_header_invalid"),
        ("option without its length", b"\x01\x01\x01\x07", "ipv4_header_invalid"),
    ]:
        emit(side, reason, f"IPv4 {name}", with_options(IP(src=src, dst=dst, proto=17), option, raw(UDP(dport=9) / data)))
    for martian in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
        emit(side, "martian_source", f"IPv4 from {martian}", IP(src=martian, dst=dst) / UDP(sport=500, dport=500) / data)
    for martian in ("0.0.0.0", "127.0.0.1", "240.0.0.1", "255.255.255.255"):
        emit(side, "martian_destination", f"IPv4 to {martian}", IP(src=src, dst=martian) / UDP() / data)
    emit(side, "multicast_destination", "IPv4 to a group in a unicast frame", IP(src=src, dst="224.0.0.5") / UDP() / data)
    emit(side, "martian_source", "land attack by IPv4", IP(src=us, dst=us) / ICMP() / data)
    emit(side, "martian_source", "our own IPv4 address as the source", IP(src=us, dst=us) / UDP(sport=500, dport=500) / data)


def ipv6(side):
    data = DATA[side]
    _, _, (us, src, dst) = SIDES[side]
    good = IPv6(src=src, dst=dst) / UDP(sport=7, dport=9) / data
    whole = raw(good)
    for length in range(len(whole)):
        emit(side, "frame_truncated", f"IPv6 cut to {length} bytes", whole[:length], 0x86DD)
    for version in set(range(16)) - {4, 6}:
        emit(side, "ipv6_header_invalid", f"IPv6 version {version}", bytes([version << 4]) + whole[1:], 0x86DD)
    for length, reason in [(len(whole) - 39, "frame_truncated"), (65495, "frame_truncated"), (65496, "ipv6_header_invalid"), (65535, "ipv6_header_invalid")]:
        emit(side, reason, f"IPv6 says {length} bytes", raw(IPv6(src=src, dst=dst, plen=length) / UDP() / data))
    jumbo = IPv6(src=src, dst=dst, plen=0) / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / UDP() / data
    emit(side, "ipv6_header_invalid", "IPv6 jumbogram", raw(jumbo))
    chain = IPv6(src=src, dst=dst)
    for _ in range(9):
        chain = chain / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    emit(side, "ipv6_header_invalid", "IPv6 chain of nine headers", chain / UDP() / data)
    for name, header in [("hop-by-hop", IPv6ExtHdrHopByHop), ("destination options", IPv6ExtHdrDestOpt), ("routing", IPv6ExtHdrRouting)]:
        emit(side, "ipv6_header_invalid", f"IPv6 {name} beyond the packet", raw(IPv6(src=src, dst=dst) / header(len=9) / UDP() / data))
        extended = IPv6(src=src, dst=dst) / header() / UDP(sport=7, dport=9)
        for length in range(1, 8):
            emit(side, "ipv6_header_invalid", f"IPv6 {name} cut to {length} bytes", raw(IPv6(src=src, dst=dst, nh=extended.nh) / raw(extended)[40:40 + length]))
    emit(side, "ipv6_header_invalid", "IPv6 fragment header cut", raw(IPv6(src=src, dst=dst, nh=44) / bytes(7)))
    route = IPv6(src=src, dst=dst) / IPv6ExtHdrRouting(addresses=["2001:db8:9::1"], segleft=1) / UDP() / data
    emit(side, "ipv6_source_route", "IPv6 type 0 routing header", route)
    for martian in ("::", "::1", "ff02::1", "ff0e::1", "::ffff:10.1.0.2"):
        emit(side, "martian_source", f"IPv6 from {martian}", IPv6(src=martian, dst=dst) / UDP(sport=500, dport=500) / data)
    for martian in ("::", "::1", "::ffff:10.2.0.2"):
        emit(side, "martian_destination", f"IPv6 to {martian}", IPv6(src=src, dst=martian) / UDP() / data)
    emit(side, "multicast_destination", "IPv6 to a group in a unicast frame", IPv6(src=src, dst="ff0e::5") / UDP() / data)
    emit(side, "link_local", "IPv6 to a link-local address", IPv6(src=src, dst="fe80::9") / UDP() / data)
    emit(side, "martian_source", "land attack by IPv6", IPv6(src=us, dst=us) / ICMPv6EchoRequest(data=data))
    emit(side, "martian_source", "our own IPv6 address as the source", IPv6(src=us, dst=us) / UDP(sport=500, dport=500) / data)


def udp():
    for version, packet in [(4, IP(src=PEER, dst=US)), (6, IPv6(src=PEER6, dst=US6))]:
        for port in (500, 4500):
            datagram = raw(UDP(sport=port, dport=port) / bytes(16))
            for length in range(8):
                bare = packet / datagram[:length]
                bare[type(packet)].setfieldval("proto" if version == 4 else "nh", 17)
                emit("outside", "frame_truncated", f"UDP over IPv{version} cut to {length} bytes, port {port}", raw(bare))
            for length in (0, 7, 25, 65535):
                emit("outside", "frame_truncated", f"UDP over IPv{version} says {length} bytes, port {port}", raw(packet / UDP(sport=port, dport=port, len=length) / bytes(16)))
    emit("outside", "cleartext_protected", "inner packet in clear", IP(src="10.2.0.2", dst="10.1.0.2") / UDP(dport=9) / MARKER)
    emit("outside", "cleartext_protected", "inner IPv6 packet in clear", IPv6(src="2001:db8:2::2", dst="2001:db8:1::2") / UDP(dport=9) / MARKER)


sequence = 100


def seal(plain, spi=SPI, number=None, key=KEY):
    """ESP with AES-GCM-16 around padded plaintext, trailer included."""
    global sequence
    if number is None:
        sequence += 1
        number = sequence
    header, iv = struct.pack(">II", spi, number), struct.pack(">Q", number)
    return header + iv + AESGCM(key[:-4]).encrypt(key[-4:] + iv, plain, header)


def trailer(payload, next_header):
    pad = -(len(payload) + 2) % 4
    return payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])


def outer(body, dst=US):
    return IP(src=PEER, dst=dst, proto=50) / body


def esp():
    inner = raw(IP(src="10.2.0.2", dst="10.1.0.2") / UDP(sport=7, dport=9) / MARKER)
    good = seal(trailer(inner, 4))
    for length in range(8 + 8 + 2 + 16):
        emit("outside", "esp_truncated", f"ESP cut to {length} bytes", raw(outer(good[:length])))
    for cut in (1, 2, 3):
        emit("outside", "esp_length", f"ESP {cut} bytes short of a block", raw(outer(good[:-cut])))
    for spi in (0, 1, 255, 256, SPI ^ 1, SPI ^ 0x80000000, 0xFFFFFFFF):
        emit("outside", "spi_invalid", f"ESP with SPI {spi:#x}", raw(outer(seal(trailer(inner, 4), spi=spi, number=7))))
    emit("outside", "sequence_invalid", "ESP with sequence number 0", raw(outer(seal(trailer(inner, 4), number=0))))
    for at in list(range(16, len(good), 9)) + [len(good) - 1]:
        changed = good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]
        emit("outside", "authentication_failed", f"ESP with byte {at} changed", raw(outer(changed)))
    emit("outside", "authentication_failed", "ESP with another sequence number", raw(outer(good[:4] + struct.pack(">I", sequence + 1) + good[8:])))
    emit("outside", "authentication_failed", "ESP of another key", raw(outer(seal(trailer(inner, 4), key=bytes(20)))))
    emit("outside", "outer_mismatch", "ESP to another address of ours", raw(IPv6(src=PEER6, dst=US6, nh=50) / seal(trailer(inner, 4))))
    for name, plain in [
        ("padding of zeroes", inner + bytes(2) + b"\x02\x04"),
        ("padding that counts from 0", inner + b"\x00\x01\x02\x04"),
        ("padding longer than the packet", inner + b"\x01\x02\xff\x04"),
        ("padding of 255 bytes that are not there", bytes(2) + b"\xff\x04"),
    ]:
        emit("outside", "esp_padding", f"ESP with {name}", raw(outer(seal(plain))))
    for next_header in (0, 1, 6, 17, 43, 44, 50, 58, 60, 255):
        emit("outside", "esp_next_header", f"ESP around protocol {next_header}", raw(outer(seal(trailer(inner, next_header)))))
    emit("outside", "esp_dummy", "ESP dummy", raw(outer(seal(trailer(bytes(40), 59)))))
    inner6 = raw(IPv6(src="2001:db8:2::2", dst="2001:db8:1::2") / UDP(sport=7, dport=9) / MARKER)
    bad_sum = inner[:10] + bytes([inner[10] ^ 1]) + inner[11:]
    for name, payload, protocol in [("nothing", b"", 4), ("IPv6 called IPv4", inner6, 4), ("IPv4 called IPv6", inner, 41), ("a wrong checksum", bad_sum, 4)]:
        emit("outside", "inner_invalid", f"ESP around {name}", raw(outer(seal(trailer(payload, protocol)))))
    for length in range(1, len(inner), 3):
        emit("outside", "inner_invalid", f"ESP around IPv4 cut to {length} bytes", raw(outer(seal(trailer(inner[:length], 4)))))
    for length in range(1, len(inner6), 5):
        emit("outside", "inner_invalid", f"ESP around IPv6 cut to {length} bytes", raw(outer(seal(trailer(inner6[:length], 41)))))
    for name, src, dst in [("a source beyond the selector", "10.3.0.2", "10.1.0.2"), ("a destination beyond the selector", "10.2.0.2", "10.9.0.2"), ("martians", "127.0.0.1", "10.1.0.2"), ("our outside address", "10.2.0.2", US)]:
        emit("outside", "inner_selector", f"ESP around {name}", raw(outer(seal(trailer(raw(IP(src=src, dst=dst) / UDP() / MARKER), 4)))))
    emit("outside", "inner_selector", "ESP around IPv6 beyond the selector", raw(outer(seal(trailer(raw(IPv6(src="2001:db8:3::2", dst="2001:db8:1::2") / UDP() / MARKER), 41)))))
    marked = IP(src=PEER, dst=US, proto=50, tos=3) / seal(trailer(inner, 4))
    emit("outside", "ecn_not_capable", "ESP with congestion that the inner packet cannot carry", raw(marked))
    emit("outside", "replay_duplicate", "ESP again", raw(marked))
    emit("outside", "nat_keepalive", "keepalive", IP(src=PEER, dst=US) / UDP(sport=4500, dport=4500) / b"\xff")
    for length in range(1, 8):
        body = b"\xff\xfe\xfd\xfc\xfb\xfa\xf9"[:length] if length > 1 else b"\xfe"
        emit("outside", "esp_truncated", f"ESP in UDP cut to {length} bytes", IP(src=PEER, dst=US) / UDP(sport=4500, dport=4500) / body)


def fragments():
    esp_body = seal(trailer(raw(IP(src="10.2.0.2", dst="10.1.0.2") / UDP(sport=7, dport=9) / bytes(200)), 4))

    def piece4(number, start, data, more, proto=50):
        return IP(src=PEER, dst=US, id=number, frag=start // 8, flags="MF" if more else 0, proto=proto) / data

    def piece6(number, start, data, more, proto=50):
        return IPv6(src=PEER6, dst=US6) / IPv6ExtHdrFragment(nh=proto, offset=start // 8, m=int(more), id=number) / data

    for version, piece in (4, piece4), (6, piece6):
        number = 1000
        say = lambda expected, name, packet: emit("outside", expected, f"fragment over IPv{version}, {name}", raw(packet))
        say("fragment_invalid", "empty", piece(number, 64, b"", True))
        say("fragment_invalid", "of 7 bytes, not the last", piece(number, 64, bytes(7), True))
        say("fragment_invalid", "beyond all bounds", piece(number, 65528, bytes(64), False))
        say("fragment_invalid", "that hides the header", piece(number, 0, bytes(0), True, proto=17))
        say("fragment_invalid", "that hides the flags of TCP", piece(number, 0, bytes(8), True, proto=6))
        say("fragment_invalid", "that overwrites the flags of TCP", piece(number, 8, bytes(16), True, proto=6))
        say("held", "first", piece(2000, 0, esp_body[:64], True))
        say("fragment_duplicate", "first again", piece(2000, 0, esp_body[:64], True))
        say("fragment_overlap*2", "over the first", piece(2000, 32, bytes(64), True))
        say("fragment_overlap", "late for a refused packet", piece(2000, 64, esp_body[64:], False))
        say("held", "last", piece(3000, 64, bytes(32), False))
        say("fragment_overlap*2", "behind the last", piece(3000, 128, bytes(32), True))
        say("held", "one of two ends", piece(4000, 64, bytes(64), False))
        say("fragment_overlap*2", "another end", piece(4000, 32, bytes(32), False))
        say("held", "whole at last, but no ESP we know", piece(5000, 8, bytes(64), False))
        say("spi_invalid", "whole at last", piece(5000, 0, bytes(8), True))


def forgotten():
    emit("outside", "reassembly_timeout", "fragment whose packet is never whole", IP(src=PEER, dst=US, id=9, flags="MF", proto=50) / bytes(64))


def icmp():
    for version in (4, 6):
        packet = IP(src=PEER, dst=US) if version == 4 else IPv6(src=PEER6, dst=US6)
        echo = ICMP(chksum=0x1234) / MARKER if version == 4 else ICMPv6EchoRequest(data=MARKER, cksum=0x1234)
        emit("outside", "agent", f"ICMP echo over IPv{version} with a wrong checksum", raw(packet / echo))
        packet.setfieldval("proto" if version == 4 else "nh", 1 if version == 4 else 58)
        for length in range(8):
            emit("outside", "agent", f"ICMP over IPv{version} cut to {length} bytes", raw(packet / (b"\x08" if version == 4 else b"\x80").ljust(8, b"\0")[:length]))
        error = b"\x03\x04\0\0\0\0\x02\x40" if version == 4 else b"\x02\0\0\0\0\0\x05\0"
        for length in (0, 1, 19, 20, 39, 40):
            emit("outside", "agent", f"ICMP over IPv{version} too big about {length} bytes", raw(packet / (error + b"\x45" * length)))


def arp():
    for side, (_, (us, src, _), _) in SIDES.items():
        good = ARP(op="who-has", hwsrc=HOST_MAC, psrc=src, pdst=us)
        for name, packet in [
            ("of another hardware", ARP(hwtype=6, op="who-has", hwsrc=HOST_MAC, psrc=src, pdst=us)),
            ("of another protocol", ARP(ptype=0x86DD, op="who-has", hwsrc=HOST_MAC, psrc=src, pdst=us)),
            ("operation 0", ARP(op=0, hwsrc=HOST_MAC, psrc=src, pdst=us)),
            ("operation 9", ARP(op=9, hwsrc=HOST_MAC, psrc=src, pdst=us)),
            ("for nobody", ARP(op="who-has", hwsrc=HOST_MAC, psrc=src, pdst="203.0.113.9")),
            ("from our own address", ARP(op="who-has", hwsrc=HOST_MAC, psrc=us, pdst=us)),
        ]:
            emit(side, "agent", f"ARP {name}", raw(packet), 0x0806)
        for at, value in (4, 5), (4, 0), (5, 16), (5, 0):
            emit(side, "agent", f"ARP with address length {value}", raw(good)[:at] + bytes([value]) + raw(good)[at + 1:], 0x0806)
        for length in range(0, 28, 3):
            emit(side, "agent", f"ARP cut to {length} bytes", raw(good)[:length], 0x0806)


def ndp():
    for side, (_, _, (us, src, _)) in SIDES.items():
        def ask(hops=255, **kind):
            return IPv6(src=src, dst=us, hlim=hops) / ICMPv6ND_NS(tgt=us, **kind) / ICMPv6NDOptSrcLLAddr(lladdr=HOST_MAC)
        good = raw(ask())
        emit(side, "agent", "NDP solicitation with code 1", raw(ask(code=1)))
        emit(side, "agent", "NDP solicitation with a wrong checksum", raw(ask(cksum=1)))
        emit(side, "agent", "NDP solicitation from another link", raw(ask(hops=254)))
        zero = IPv6(src=src, dst=us, hlim=255) / ICMPv6ND_NS(tgt=us) / bytes([1, 0, 0, 0, 0, 0, 0, 0])
        emit(side, "agent", "NDP option of 0 bytes", raw(zero))
        emit(side, "agent", "NDP option beyond the packet", raw(IPv6(src=src, dst=us, hlim=255) / ICMPv6ND_NS(tgt=us) / bytes([1, 9, 0, 0, 0, 0, 0, 0])))
        emit(side, "agent", "NDP solicitation for a group", raw(IPv6(src=src, dst=us, hlim=255) / ICMPv6ND_NS(tgt="ff02::1")))
        emit(side, "agent", "NDP advertisement for a group", raw(IPv6(src=src, dst=us, hlim=255) / ICMPv6ND_NA(tgt="ff02::1") / ICMPv6NDOptDstLLAddr(lladdr=HOST_MAC)))
        for length in range(1, 24, 2):
            emit(side, "agent", f"NDP solicitation cut to {length} bytes", raw(IPv6(src=src, dst=us, hlim=255, nh=58) / good[40:40 + length]))


def ike():
    """The data plane gives control what came to port 500; the matrix against strongSwan has what control does."""
    for length in (0, 1, 27, 28):
        emit("outside", "agent", f"IKE of {length} bytes", IP(src=PEER, dst=US) / UDP(sport=500, dport=500) / bytes(length))
        emit("outside", "agent", f"IKE behind a marker, of {length} bytes", IP(src=PEER, dst=US) / UDP(sport=4500, dport=4500) / bytes(4 + length))


def echoes():
    for _ in range(10):
        echo = IP(src="10.2.0.2", dst="10.1.0.2") / ICMP(id=7, seq=1) / MARKER
        emit("outside", "echo", "echo through the tunnel", raw(outer(seal(trailer(raw(echo), 4)))))


def main():
    echoes()
    for side in SIDES:
        ethernet(side)
        ipv4(side)
        ipv6(side)
    udp()
    esp()
    fragments()
    forgotten()
    icmp()
    arp()
    ndp()
    ike()
    echoes()


main()

//! Packets: what a stranger sends, and what a peer with the keys may have put inside.

use std::hint::black_box;

use packet::esp::EspSpans;
use packet::esp::quoted::QuotedEsp;
use packet::flow::Flow;
use packet::headers::arp::Arp;
use packet::headers::ethernet::Ethernet;
use packet::headers::ipv4::Ipv4View;
use packet::headers::ipv6::Ipv6View;
use packet::headers::too_big::TooBig;
use packet::headers::udp::UdpView;
use packet::headers::{decrement_hop_limit, icmpv4, tcp};

/// An Ethernet frame, read by every parser that a worker or the agent would hand it to.
pub fn packet_frame(data: &[u8]) {
    let Ok((_, at)) = Ethernet::parse(data) else { return };
    let packet = &data[at..];
    // An optimised build would leave out what has no effect.
    let _ = black_box(Arp::parse(packet));
    let _ = black_box(UdpView::parse(packet));
    if let Ok(ipv4) = Ipv4View::parse(packet) {
        let _ = black_box((ipv4.check_options(), ipv4.verify_checksum()));
        let _ = black_box(UdpView::parse(ipv4.payload()));
    }
    if let Ok(ipv6) = Ipv6View::parse(packet)
        && let Ok(upper) = ipv6.upper_layer()
    {
        black_box(ipv6.after(upper.offset));
    }
    if let Some(too_big) = TooBig::parse(packet) {
        black_box((too_big.believable_mtu(1500), QuotedEsp::parse(too_big.quoted)));
    }
    black_box(QuotedEsp::parse(packet));
    if Flow::parse(packet).is_ok() {
        rewrite(packet);
    }
}

/// What a worker changes in a packet that it accepted.
fn rewrite(packet: &[u8]) {
    let mut copy = packet.to_vec();
    decrement_hop_limit(&mut copy);
    tcp::clamp_mss(&mut copy, 1360);
    let mut out = [0; 1500];
    let error = icmpv4::IcmpError::TimeExceeded;
    let _ = black_box(icmpv4::build_error(error, packet, std::net::Ipv4Addr::LOCALHOST, &mut out));
    black_box((copy, out));
}

/// An authenticated ESP packet after decryption: padding, trailer and inner headers are the peer's words.
pub fn packet_decapsulated(data: &[u8]) {
    let Ok(len) = u16::try_from(data.len()) else { return };
    let (header, icv) = (16u16, 12u16);
    let Some(tag) = len.checked_sub(icv) else { return };
    let Some(cipher_len) = tag.checked_sub(header) else { return };
    let spans = EspSpans { esp: 0, iv: 8, cipher: header, cipher_len, tag, end: len };
    let mut copy = data.to_vec();
    if let Ok(payload) = packet::esp::decap::strip(&copy, &spans) {
        let _ = black_box(packet::esp::decap::inspect(&mut copy, payload, data[0], &[]));
    }
}

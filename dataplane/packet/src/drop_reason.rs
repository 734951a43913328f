//! Why a packet was dropped: one variant is one counter, one API name and one help text.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[$section:meta])* $variant:ident = $name:literal, $help:literal;)+) => {
        /// Every packet that is neither forwarded nor delivered is counted under exactly one of these.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$section])* #[doc = $help] $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// How many there are: the length of a counter array.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in counters, API and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means and what to do about it.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

drop_reasons! {
    // The frame.
    FrameTruncated = "frame_truncated", "The frame ends before its headers do; check the sender and the link.";
    FrameChained = "frame_chained", "The frame spans several buffers; raise the buffer size or lower the port's MTU.";
    MacNotOurs = "mac_not_ours", "The frame is addressed to another station; expected while a switch floods.";
    VlanUnknown = "vlan_unknown", "No interface is configured for this port and VLAN; add one or prune the VLAN at the switch.";
    EtherTypeUnsupported = "ethertype_unsupported", "The frame carries neither IPv4, IPv6 nor ARP; nothing to do unless it should.";
    // The IP header.
    Ipv4HeaderInvalid = "ipv4_header_invalid", "Version, header length or total length of the IPv4 packet is wrong; check the sender.";
    Ipv4Checksum = "ipv4_checksum", "The IPv4 header checksum is wrong; look for a faulty link or broken checksum offload.";
    Ipv4SourceRoute = "ipv4_source_route", "The packet carries a source route option, which is never honoured; remove it at the sender.";
    Ipv6HeaderInvalid = "ipv6_header_invalid", "Version, payload length or extension headers of the IPv6 packet are wrong; check the sender.";
    Ipv6SourceRoute = "ipv6_source_route", "The packet carries a routing header of type 0, which is never honoured (RFC 5095); remove it at the sender.";
    MartianSource = "martian_source", "The source address can never send (loopback, multicast, broadcast or unspecified), or is our own; check the sender.";
    MartianDestination = "martian_destination", "The destination address is never routed (loopback, reserved, unspecified or broadcast); check the sender.";
    MulticastDestination = "multicast_destination", "Multicast is not forwarded; use unicast or a GRE tunnel between the sites.";
    LinkLocal = "link_local", "A link-local IPv6 address means nothing beyond its link; let the sender use a global or unique local address.";
    TtlExpired = "ttl_expired", "The time to live ran out here; look for a routing loop (traceroute causes a few).";
    // The forwarding decision.
    VrfMissing = "vrf_missing", "The VRF of the packet has no tables; put an interface, address or route into it.";
    PolicyDiscard = "policy_discard", "A discard entry of the policy names the packet, on purpose; change or reorder the entries if it should pass.";
    NoRoute = "no_route", "No route covers the destination; add one in this VRF.";
    RouteDiscard = "route_discard", "A discard route covers the destination, on purpose; change the route if it should pass.";
    NextHopMissing = "next_hop_missing", "A route names a next hop that does not exist; this is a defect, please report it.";
    InterfaceMissing = "interface_missing", "A next hop names an interface that does not exist; this is a defect, please report it.";
    TunnelMissing = "tunnel_missing", "A next hop or SA names a tunnel that is not configured; check the connection.";
    NoActiveTunnel = "no_active_tunnel", "Every tunnel of the next hop is inactive; see list-sas and the last negotiation error.";
    TunnelDown = "tunnel_down", "The tunnel has no CHILD_SA to send through; see list-sas and the last negotiation error.";
    AwaitingSa = "awaiting_sa", "The packet started a negotiation and was not kept; the sender's retransmission will pass.";
    NoMatchingSelector = "no_matching_selector", "No CHILD_SA of the tunnel has traffic selectors for this packet; align the networks of both ends with the route.";
    CleartextRefused = "cleartext_refused", "The route leads out of an outside interface in clear and no bypass entry allows it; route it into a tunnel or add a bypass before the entry that matches.";
    CleartextProtected = "cleartext_protected", "Cleartext for a protected network arrived on an outside interface; the peer must send it through the tunnel.";
    NotForUs = "not_for_us", "A packet on an outside interface is neither for us nor allowed by a bypass entry; expected noise on a public link.";
    LocalUnserved = "local_unserved", "The packet is addressed to us but nothing here serves its protocol; nothing to do unless it should.";
    HostUnserved = "host_unserved", "The TUN device of a host address did not take the packet; see the data plane's log, it may lack /dev/net/tun or CAP_NET_ADMIN.";
    NeedsFragmentation = "needs_fragmentation", "The packet exceeds the path's MTU and may not be fragmented; an ICMP message told the sender, lower its MTU if it persists.";
    FragmentUnsupported = "fragment_unsupported", "The packet would have to be fragmented, which is not done; lower the sender's MTU or let it set DF.";
    // The neighbour.
    NeighbourPending = "neighbour_pending", "The neighbour is being resolved and its hold queue is full; persists only if it does not answer.";
    NeighbourFailed = "neighbour_failed", "The neighbour does not answer ARP or neighbour discovery, an ICMP message told the sender; check that it is up and in this VLAN.";
    // ESP inbound.
    FragmentInvalid = "fragment_invalid", "A fragment is empty, misaligned, too far out, one of too many or hides its upper-layer header; check the sender.";
    FragmentDuplicate = "fragment_duplicate", "A fragment came twice, the copy was dropped; harmless, look for a path that duplicates.";
    FragmentOverlap = "fragment_overlap", "Fragments overlap, so that the whole packet was refused (RFC 5722); no sound sender does this, suspect an attack.";
    ReassemblyTimeout = "reassembly_timeout", "Fragments for us or for an SA with ports did not all arrive in time; look for loss on the path, or lower the sender's MTU.";
    ReassemblyFull = "reassembly_full", "Too many incomplete packets for us or for SAs with ports, in all or of this source; lower the sender's MTU, or raise reassembly-datagrams.";
    OuterMismatch = "outer_mismatch", "The ESP packet came to another address or VRF than its SA belongs to; check the peer's configuration.";
    NatKeepalive = "nat_keepalive", "A NAT keepalive of the peer (RFC 3948), consumed; nothing to do.";
    EspTruncated = "esp_truncated", "The ESP packet is shorter than its headers and tag; check the path for truncation.";
    EspLength = "esp_length", "The ESP ciphertext is not a whole number of blocks; the peer uses another algorithm or the packet was mangled.";
    SpiInvalid = "spi_invalid", "No SA has this SPI; the peer sends on an SA that was deleted or never existed, it should renegotiate.";
    SpiReserved = "spi_reserved", "The packet came before the keys of its SA and the early-packet hold was full; passes once the SA is installed.";
    SequenceInvalid = "sequence_invalid", "The ESP sequence number is zero or cannot belong to this SA; check the peer and its ESN setting.";
    ReplayOld = "replay_old", "The sequence number lies left of the replay window; enlarge replay_window if the path reorders.";
    ReplayDuplicate = "replay_duplicate", "The sequence number was seen before: the network duplicates, or someone replays.";
    AuthenticationFailed = "authentication_failed", "The integrity check failed; both ends disagree about keys or algorithms, or the packet was altered.";
    EspPadding = "esp_padding", "Padding length or bytes of a decrypted packet are wrong; the peer's ESP is faulty.";
    EspNextHeader = "esp_next_header", "The decrypted packet is not IPv4 or IPv6 in tunnel mode; the peer must use tunnel mode.";
    EspDummy = "esp_dummy", "A dummy packet of the peer's traffic flow confidentiality, discarded as RFC 4303 asks; nothing to do.";
    InnerInvalid = "inner_invalid", "The decrypted packet's IP header is malformed; the peer encapsulates broken packets.";
    InnerSelector = "inner_selector", "The decrypted packet does not match the SA's traffic selectors; align the networks of both ends.";
    EcnNotCapable = "ecn_not_capable", "Congestion was signalled on a packet that cannot carry the signal (RFC 6040); the sender will slow down.";
    // The connection.
    PolicerBandwidth = "policer_bandwidth", "The connection carries its limit of bandwidth in this direction; raise or remove its policer, or let the senders slow down.";
    PolicerPackets = "policer_packets", "The connection carries its limit of packets per second; raise or remove its policer, or let the senders use larger packets.";
    // ESP outbound.
    SequenceExhausted = "sequence_exhausted", "The SA used its last sequence number; a rekey must have failed, see the last negotiation error.";
    LifetimeExceeded = "lifetime_exceeded", "The SA reached its hard byte or packet limit; a rekey must have failed, see the last negotiation error.";
    NoRoom = "no_room", "The buffer has no room for ESP headers and trailer, or for a reassembled packet; raise the buffer size.";
    CryptoFailed = "crypto_failed", "The crypto back-end refused the packet; please report it with the back-end's name.";
    // Queues and resources.
    OverloadFairShare = "overload_fair_share", "More came than the worker can handle, and this sender was above its share; look for a flood with trace, or add workers.";
    HandoffFull = "handoff_full", "The ring to the SA's owner worker is full; that worker is overloaded, spread the SAs.";
    PuntFull = "punt_full", "The ring to the control process is full or over its budget; it is overloaded or gone.";
    PuntOversize = "punt_oversize", "The packet for the control process exceeds 9,216 bytes; lower the sender's MTU.";
    ExceptionFull = "exception_full", "The queue to the agent is full; too many ARP, ICMP or first packets at once.";
    BufferExhausted = "buffer_exhausted", "The packet buffer pool is empty; raise the number of buffers.";
    TxFull = "tx_full", "The transmit queue is full; the link is slower than the traffic.";
    PortDown = "port_down", "The port is down; check the link.";
}

impl DropReason {
    /// The index into a counter array of [`DropReason::COUNT`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The inverse of [`DropReason::index`].
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_helps_are_sentences_with_a_remedy() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::COUNT);
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
            assert_eq!(DropReason::from_index(i), Some(*reason));
            assert!(reason.help().ends_with('.') && reason.help().len() < 200, "{reason}");
            assert!(reason.help().contains(';') || reason.help().contains(','), "{reason}: no remedy");
        }
    }
}

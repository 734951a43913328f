//! What reassembly reads of a fragment.

use std::net::IpAddr;

use crate::drop_reason::DropReason;
use crate::flow::Flow;
use crate::headers::{ipv4::Ipv4View, ipv6::Ipv6View, protocol};

/// The most bytes of a reassembled packet, its IP header included.
pub const MAX_BYTES: u16 = 9216;
/// What a first fragment must show of the upper layer: ports, SPI, type and code, and the lengths beside them.
const MIN_UPPER: u16 = 8;
/// Of TCP: up to the flags (RFC 1858 section 3.2).
const MIN_TCP: u16 = 16;
/// Length of the fragment header of IPv6, bytes.
const FRAGMENT_HEADER: u16 = 8;

/// A fragment: to which datagram it belongs, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment<S> {
    pub(super) key: DatagramKey<S>,
    pub(super) place: Place,
}

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DatagramKey<S> {
    identification: u32,
    /// Of IPv4 only: RFC 8200 does not tell by it.
    protocol: u8,
    pub(super) src: IpAddr,
    dst: IpAddr,
    scope: S,
}

/// Whom the bound per source is about: an IPv4 address, or an IPv6 /64, which one host has to itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Source(bool, u64);

impl<S: Copy> DatagramKey<S> {
    pub(super) fn source(&self) -> Source {
        match self.src {
            IpAddr::V4(address) => Source(true, u64::from(address.to_bits())),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Source(false, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// Where a fragment belongs. Offsets are in bytes of the fragmentable part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) start: u16,
    pub(super) end: u16,
    /// It is not the last one.
    pub(super) more: bool,
    /// Where the headers that every fragment repeats end; a fragment header of IPv6 follows.
    pub(super) head: u16,
    /// Where its part of the datagram begins.
    pub(super) data: u16,
}

impl Place {
    pub(super) fn len(&self) -> u16 {
        self.end - self.start
    }

    pub(super) fn same_range(&self, other: &Self) -> bool {
        (self.start, self.end, self.more) == (other.start, other.end, other.more)
    }
}

/// The fields of either IP version.
#[derive(Debug)]
struct Fields {
    identification: u32,
    protocol: u8,
    /// Bytes.
    offset: u32,
    more: bool,
    head: u16,
    data: u16,
}

impl<S> Fragment<S> {
    /// True for the one with the upper-layer header.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.place.start == 0
    }

    /// Reads a fragment that [`Flow::parse`] has accepted as `flow`; `scope` says where it was found.
    ///
    /// # Errors
    ///
    /// [`DropReason::FragmentInvalid`]: no fragment; empty; not the last and no multiple of 8 bytes; beyond
    /// [`MAX_BYTES`]; a first one without its upper-layer header, or a second one that would be part of it.
    pub fn parse(scope: S, packet: &[u8], flow: &Flow) -> Result<Self, DropReason> {
        let fields = if flow.src.is_ipv4() { ipv4_fields(packet)? } else { ipv6_fields(packet)? };
        let len = flow.len.checked_sub(fields.data).ok_or(DropReason::FragmentInvalid)?;
        let end = fields.offset + u32::from(len);
        let fits = end + u32::from(fields.head) <= u32::from(MAX_BYTES);
        let whole_units = len.is_multiple_of(8) || !fields.more;
        if len == 0 || !whole_units || !fits || fields.offset == 0 && !fields.more {
            return Err(DropReason::FragmentInvalid);
        }
        check_tiny(&fields, flow)?;
        let bounded = |value: u32| u16::try_from(value).map_err(|_| DropReason::FragmentInvalid);
        let Fields { identification, protocol, more, head, data, .. } = fields;
        let protocol = if flow.src.is_ipv4() { protocol } else { 0 };
        Ok(Self {
            key: DatagramKey { identification, protocol, src: flow.src, dst: flow.dst, scope },
            place: Place { start: bounded(fields.offset)?, end: bounded(end)?, more, head, data },
        })
    }
}

/// Refuses fragments that hide the upper-layer header (RFC 1858 section 3 and 4, RFC 7112 section 5).
fn check_tiny(fields: &Fields, flow: &Flow) -> Result<(), DropReason> {
    let shown = flow.len.saturating_sub(flow.header_len);
    let is_tiny = match (fields.offset, flow.protocol) {
        (0, protocol::TCP) => shown < MIN_TCP,
        (0, _) => shown < MIN_UPPER,
        (8, protocol::TCP) => true,
        _ => false,
    };
    if is_tiny { Err(DropReason::FragmentInvalid) } else { Ok(()) }
}

fn ipv4_fields(packet: &[u8]) -> Result<Fields, DropReason> {
    let ip = Ipv4View::parse(packet)?;
    Ok(Fields {
        identification: ip.identification().into(),
        protocol: ip.protocol(),
        offset: u32::from(ip.fragment_offset()) * 8,
        more: ip.more_fragments(),
        head: ip.header_len(),
        data: ip.header_len(),
    })
}

/// Reads the fragment header, which stands behind what every router reads (RFC 8200 section 4.1).
fn ipv6_fields(packet: &[u8]) -> Result<Fields, DropReason> {
    let head = Ipv6View::parse(packet)?.upper_layer()?.fragment_header.ok_or(DropReason::FragmentInvalid)?;
    let header = packet.get(usize::from(head)..).and_then(<[u8]>::first_chunk::<8>);
    let [protocol, _, a, b, identification @ ..] = *header.ok_or(DropReason::FragmentInvalid)?;
    let field = u16::from_be_bytes([a, b]);
    Ok(Fields {
        identification: u32::from_be_bytes(identification),
        protocol,
        offset: u32::from(field & !7),
        more: field & 1 != 0,
        head,
        data: head + FRAGMENT_HEADER,
    })
}

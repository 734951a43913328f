//! UDP (RFC 768).

use super::checksum;
use crate::drop_reason::DropReason;
use std::net::IpAddr;

/// Length of the header, bytes.
pub const HEADER_LEN: u16 = 8;

/// A datagram whose length was checked.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a> {
    header: &'a [u8; 8],
    payload: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// Checks the length of the datagram that is `bytes` or its start.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let (header, rest) = bytes.split_first_chunk::<8>().ok_or(DropReason::FrameTruncated)?;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let payload = len.checked_sub(8).and_then(|len| rest.get(..len)).ok_or(DropReason::FrameTruncated)?;
        Ok(Self { header, payload })
    }

    /// Source port.
    #[inline]
    #[must_use]
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// Destination port.
    #[inline]
    #[must_use]
    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Header and payload, bytes.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length field; at least 8")]
    pub fn len(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Writes the header of a datagram in front of its payload, checksum included; `datagram` is both.
/// False if it is shorter than a header or longer than 65,535 bytes.
#[must_use]
pub fn emit(datagram: &mut [u8], src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16) -> bool {
    let Ok(len) = u16::try_from(datagram.len()) else { return false };
    let Some(header) = datagram.first_chunk_mut::<8>() else { return false };
    header[..2].copy_from_slice(&src_port.to_be_bytes());
    header[2..4].copy_from_slice(&dst_port.to_be_bytes());
    header[4..6].copy_from_slice(&len.to_be_bytes());
    header[6..].fill(0);
    let sum = checksum::pseudo_header(src, dst, super::protocol::UDP, len) + checksum::sum(datagram);
    // An all-zero checksum would mean "none".
    let checksum = match !checksum::fold(sum) {
        0 => 0xffff,
        checksum => checksum,
    };
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_with_a_checksum_that_sums_up() {
        let (src, dst) = ("192.0.2.1".parse().expect("address"), "192.0.2.2".parse().expect("address"));
        let mut datagram = *b"........payload";
        assert!(emit(&mut datagram, src, dst, 500, 4500));
        let view = UdpView::parse(&datagram).expect("valid");
        assert_eq!(
            (view.src_port(), view.dst_port(), view.len(), view.payload()),
            (500, 4500, 15, &b"payload"[..])
        );
        let sum =
            checksum::pseudo_header(src, dst, super::super::protocol::UDP, 15) + checksum::sum(&datagram);
        assert_eq!(checksum::fold(sum), 0xffff);
    }

    #[test]
    fn refuses_wrong_lengths() {
        assert!(UdpView::parse(&[0; 7]).is_err());
        assert!(UdpView::parse(&[0, 0, 0, 0, 0, 7, 0, 0]).is_err());
        assert!(UdpView::parse(&[0, 0, 0, 0, 0, 9, 0, 0]).is_err());
    }
}

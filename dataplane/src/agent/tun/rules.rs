//! The kernel's routing rules of host addresses: what a program sends from one, or by the device, is for
//! the device, whatever the machine's own routes are.
//!
//! ```text
//!   0:    from all lookup local
//!   98:   from all iif lo oif esplanade7 lookup 1000000007
//!   99:   from 10.7.255.1 iif lo lookup 1000000007
//!   100:  from 10.7.255.1 iif lo unreachable
//! ```
//!
//! They outlive the process: its devices go with it, and what programs then still send from those addresses
//! finds the last rule, not the machine's default route. The next data plane takes them over.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use packet::VrfId;
use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::HostAddresses;
use super::device;
use super::link::{PROTOCOL, family_of};
use super::netlink::{Message, Netlink, attributes, unless};

// linux/netlink.h, linux/rtnetlink.h
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
// linux/fib_rules.h
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_UNREACHABLE: u8 = 7;
/// `struct fib_rule_hdr`: family, lengths of destination and source, TOS, table, two spare, action, flags.
const HEADER_LEN: usize = 12;
/// Only what programs here send, nothing that the kernel forwards.
const FROM_HERE: &[u8] = b"lo\0";

/// The routing table of VRF 0's device; those of the others follow.
const FIRST_TABLE: u32 = 1_000_000_000;

/// The routing table in which the device of a VRF is the default route.
pub(super) fn table(vrf: VrfId) -> u32 {
    FIRST_TABLE + u32::from(vrf.0)
}

/// A rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rule {
    /// What is bound to the device of the VRF goes there.
    Bound { vrf: VrfId, v6: bool },
    /// What comes from the address goes to the device of the VRF.
    From { address: IpAddr, vrf: VrfId },
    /// What comes from the address goes nowhere else.
    Only { address: IpAddr },
}

impl Rule {
    /// Those that the addresses need.
    fn of(addresses: &HostAddresses) -> BTreeSet<Self> {
        let each = addresses.iter().flat_map(|(vrf, own)| own.iter().map(|own| (*vrf, own.address)));
        each.flat_map(|(vrf, address)| {
            [Self::Bound { vrf, v6: address.is_ipv6() }, Self::From { address, vrf }, Self::Only { address }]
        })
        .collect()
    }

    /// After the table of local addresses, before any that an operator is likely to add.
    fn priority(self) -> u32 {
        match self {
            Self::Bound { .. } => 98,
            Self::From { .. } => 99,
            Self::Only { .. } => 100,
        }
    }

    fn message(self, kind: u16, flags: u16) -> Message {
        let (family, len, action) = match self {
            Self::Bound { v6: false, .. } => (AddressFamily::INET, 0, FR_ACT_TO_TBL),
            Self::Bound { v6: true, .. } => (AddressFamily::INET6, 0, FR_ACT_TO_TBL),
            Self::From { address, .. } => (family_of(address), host_len(address), FR_ACT_TO_TBL),
            Self::Only { address } => (family_of(address), host_len(address), FR_ACT_UNREACHABLE),
        };
        let [family, _] = family.as_raw().to_le_bytes();
        let mut message = Message::new(kind, flags);
        message.bytes([family, 0, len, 0, 0, 0, 0, action]).bytes([0; 4]);
        message.attribute(FRA_PRIORITY, &self.priority().to_ne_bytes());
        message.attribute(FRA_PROTOCOL, &[PROTOCOL]).attribute(FRA_IIFNAME, FROM_HERE);
        if let Self::From { address, .. } | Self::Only { address } = self {
            match address {
                IpAddr::V4(ip) => message.attribute(FRA_SRC, &ip.octets()),
                IpAddr::V6(ip) => message.attribute(FRA_SRC, &ip.octets()),
            };
        }
        if let Self::Bound { vrf, .. } = self {
            message.attribute(FRA_OIFNAME, format!("{}\0", device::name(vrf)).as_bytes());
        }
        if let Self::Bound { vrf, .. } | Self::From { vrf, .. } = self {
            message.attribute(FRA_TABLE, &table(vrf).to_ne_bytes());
        }
        message
    }

    /// Reads a rule of ours; `None` if it is anybody else's.
    fn parse(body: &[u8]) -> Option<Self> {
        let header = body.first_chunk::<HEADER_LEN>()?;
        let value =
            |kind| attributes(&body[HEADER_LEN..]).find_map(|(each, value)| (each == kind).then_some(value));
        let number = |kind| value(kind)?.try_into().ok().map(u32::from_ne_bytes);
        let ours = value(FRA_PROTOCOL)? == [PROTOCOL];
        let vrf = || u16::try_from(number(FRA_TABLE)?.checked_sub(FIRST_TABLE)?).ok().map(VrfId);
        let address = || match value(FRA_SRC)? {
            v4 if v4.len() == 4 => <[u8; 4]>::try_from(v4).ok().map(|v4| Ipv4Addr::from(v4).into()),
            v6 => <[u8; 16]>::try_from(v6).ok().map(|v6| Ipv6Addr::from(v6).into()),
        };
        let v6 = header[0] == AddressFamily::INET6.as_raw().to_le_bytes()[0];
        let rule = match (header[7], address()) {
            (FR_ACT_TO_TBL, None) => Self::Bound { vrf: vrf()?, v6 },
            (FR_ACT_TO_TBL, Some(address)) => Self::From { address, vrf: vrf()? },
            (FR_ACT_UNREACHABLE, Some(address)) => Self::Only { address },
            _ => return None,
        };
        (ours && number(FRA_PRIORITY) == Some(rule.priority())).then_some(rule)
    }
}

fn host_len(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The rules of ours that the kernel has.
#[derive(Debug)]
pub(super) struct Rules(Netlink);

impl Rules {
    pub(super) fn open() -> io::Result<Self> {
        Netlink::open().map(Self)
    }

    /// Adds those that the addresses need and the kernel lacks; returns those that they do not need.
    pub(super) fn add(&self, addresses: &HostAddresses) -> io::Result<Vec<Rule>> {
        let needed = Rule::of(addresses);
        let present = self.present()?;
        for rule in needed.difference(&present) {
            unless(Errno::EXIST, self.0.request(rule.message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL)))?;
        }
        Ok(present.difference(&needed).copied().collect())
    }

    pub(super) fn remove(&self, rules: Vec<Rule>) -> io::Result<()> {
        rules
            .into_iter()
            .try_for_each(|rule| unless(Errno::NOENT, self.0.request(rule.message(RTM_DELRULE, 0))))
    }

    fn present(&self) -> io::Result<BTreeSet<Rule>> {
        let mut message = Message::new(RTM_GETRULE, 0);
        // Of every family.
        message.bytes([0; HEADER_LEN]);
        let mut present = BTreeSet::new();
        self.0.list(message, |body| present.extend(Rule::parse(body)))?;
        Ok(present)
    }
}

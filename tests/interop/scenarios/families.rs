//! IPv4 and IPv6, inside the tunnel and outside.

use crate::scenarios::strongswan::GCM_ECP256;
use esplanade::lab::{SiteOptions, SwanOptions};

/// Which family is inside the tunnel and which outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Families {
    pub(crate) name: &'static str,
    pub(crate) inner_v6: bool,
    pub(crate) outer_v6: bool,
}

impl Families {
    pub(crate) const ALL: [Self; 4] = [
        Self { name: "6in6", inner_v6: true, outer_v6: true },
        Self { name: "4in6", inner_v6: false, outer_v6: true },
        Self { name: "6in4", inner_v6: true, outer_v6: false },
        Self { name: "4in4", inner_v6: false, outer_v6: false },
    ];

    /// The outside address of one side.
    fn outside(self, side: u8) -> String {
        if self.outer_v6 { format!("2001:db8::{side}") } else { format!("192.0.2.{side}") }
    }

    /// The network behind one side.
    fn network(self, side: u8) -> String {
        if self.inner_v6 { format!("2001:db8:{side}::/64") } else { format!("10.{side}.0.0/24") }
    }

    /// A host's address behind one side.
    pub(crate) fn host(self, side: u8, host: u8) -> String {
        if self.inner_v6 { format!("2001:db8:{side}::{host}") } else { format!("10.{side}.0.{host}") }
    }

    /// Bytes of IP and ICMP header of an inner echo request.
    pub(crate) fn echo_headers(self) -> u16 {
        if self.inner_v6 { 48 } else { 28 }
    }

    pub(crate) fn site(self) -> SiteOptions {
        SiteOptions {
            own: self.outside(1),
            peer: self.outside(2),
            dual_stack: true,
            local_networks: format!("[\"{}\"]", self.network(1)),
            remote_networks: format!("[\"{}\"]", self.network(2)),
            ..GCM_ECP256.site()
        }
    }

    pub(crate) fn swan(self) -> SwanOptions {
        SwanOptions {
            local: self.outside(2),
            remote: self.outside(1),
            local_ts: self.network(2),
            remote_ts: self.network(1),
            ..GCM_ECP256.swan()
        }
    }
}

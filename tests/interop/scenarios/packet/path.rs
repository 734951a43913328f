//! A scene with routers and a smaller link in the middle.
//!
//! ```text
//!  host1 ── gateway ── wan ──[ MTU of the scenario ]── far ── peer ── host2 (behind a gateway of ours)
//!  10.1.0.2    192.0.2.1  .126                         .127   .2      10.2.0.1 or 10.2.0.2
//! ```

use crate::scene::{Scene, With, waiting_site};
use anyhow::{Result, bail};
use esplanade::lab::{Capture, Devices, Lab, Namespace, Peer, Site, SiteOptions, Wire};

/// The MTU of hosts and gateways where the middle has no more, bytes.
const EDGE: u16 = 1500;

/// The scene, and the router at its far end.
pub(super) struct Path<'a> {
    pub(super) scene: Scene<'a>,
    _far: Namespace,
}

impl<'a> Path<'a> {
    /// Our gateway with both families behind it and a peer of this kind; a gateway of ours as the peer mirrors the first.
    pub(super) fn lay(lab: &'a Lab, mtu: u16, with: &With) -> Result<Self> {
        let edge = mtu.max(EDGE);
        let (wan, far) = (lab.wan()?, lab.namespace("far")?);
        far.bridge("br0")?;
        Wire::lay((&wan, "mid"), (&far, "mid"), mtu)?;
        wan.address("mid", "192.0.2.193/30")?;
        far.address("mid", "192.0.2.194/30")?;
        for (router, own, gateway, other, next) in [
            (&wan, "192.0.2.126", "192.0.2.1", "192.0.2.2", "192.0.2.194"),
            (&far, "192.0.2.127", "192.0.2.2", "192.0.2.1", "192.0.2.193"),
        ] {
            router.ip(&["link", "set", "br0", "mtu", &edge.to_string()])?;
            router.address("br0", &format!("{own}/32"))?;
            router.ip(&["route", "add", gateway, "dev", "br0", "src", own])?;
            router.route(other, next)?;
        }
        let capture = Capture::start(lab, &wan, "br0", "outside")?;
        let peer = match with {
            With::Esplanade(_) => Peer::esplanade(lab, &far, &site(2, edge))?,
            With::StrongSwan(options) => {
                let peer = Peer::strongswan(lab, &far, options)?;
                let Peer::StrongSwan(_, namespace) = &peer else { bail!("not the peer that was asked for") };
                namespace.address("lo", "2001:db8:2::1/64")?;
                namespace.route("192.0.2.1", "192.0.2.127")?;
                for (namespace, device) in [(namespace, "wan"), (&far, "wan2")] {
                    namespace.ip(&["link", "set", device, "mtu", &edge.to_string()])?;
                }
                peer
            }
            With::Linux(_) => bail!("the guest's device has an MTU of its own"),
        };
        let site = Site::start(lab, &wan, &site(1, edge))?;
        Ok(Self { scene: Scene { lab, site, peer, capture, wan }, _far: far })
    }
}

/// A gateway at one end; the way to the other leads through its router.
fn site(side: u8, mtu: u16) -> SiteOptions {
    let other = 3 - side;
    // net_tap sends no jumbo frames, and af_packet neither shows those nor fragments as they were sent.
    let devices = if mtu > EDGE { Devices::Pcap } else { Devices::Tap };
    SiteOptions {
        devices,
        mtu,
        dual_stack: true,
        local_networks: format!("[\"10.{side}.0.0/24\", \"2001:db8:{side}::/64\"]"),
        remote_networks: format!("[\"10.{other}.0.0/24\", \"2001:db8:{other}::/64\"]"),
        more: format!("[[route]]\nprefix = \"192.0.2.{other}/32\"\nvia = \"192.0.2.{}\"\n", 125 + side),
        ..waiting_site(side)
    }
}

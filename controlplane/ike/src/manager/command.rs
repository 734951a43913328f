//! What goes into the manager besides timers, and the SA commands that come out of it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::config::{ConnectionKey, Limits, NAT_T_PORT};
use crate::time::Time;
use crate::wire::TrafficSelector;

/// An SPI of ESP. A CHILD_SA is named everywhere by our inbound SPI.
pub type Spi = u32;

/// Our name for an IKE SA, never reused within a manager and its snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IkeSaId(pub u64);

impl fmt::Display for IkeSaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Pairs an [`SaCommand`] with its [`SaReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// One UDP payload, in either direction, without the non-ESP marker.
///
/// On the wire the four zero bytes of RFC 3948 section 2.2 precede the payload if and only if our port is
/// [`NAT_T_PORT`]: whoever owns the socket strips and adds them, [`Datagram::has_marker`] tells when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// The outer VRF.
    pub vrf: u16,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The IKE message.
    #[serde(with = "hex::serde")]
    pub payload: Vec<u8>,
}

impl Datagram {
    /// Whether the non-ESP marker stands before the payload on the wire.
    pub fn has_marker(&self) -> bool {
        self.local.port() == NAT_T_PORT
    }
}

/// What operators, timers of others and the data plane want done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Negotiate the tunnel now, if it has no IKE SA or no CHILD_SA.
    Initiate(ConnectionKey),
    /// A packet found no CHILD_SA: like `Initiate`, and the packet leads the traffic selectors
    /// (RFC 7296 section 2.9).
    Acquire {
        /// The tunnel it was routed to.
        key: ConnectionKey,
        /// The packet.
        packet: Flow,
    },
    /// Replace one CHILD_SA.
    RekeyChild(Spi),
    /// Replace one IKE SA; its children move to the new one.
    RekeyIke(IkeSaId),
    /// Delete one CHILD_SA.
    DeleteChild(Spi),
    /// Delete one IKE SA with all its children.
    DeleteIke(IkeSaId),
    /// Delete every SA of a tunnel; it is not negotiated again until `Initiate` or `Acquire`.
    Down(ConnectionKey),
    /// The first packet arrived on this inbound SA.
    FirstUse(Spi),
    /// Authentic ESP arrived on this inbound SA: the peer lived then.
    Heard {
        /// Our inbound SPI.
        spi: Spi,
        /// When the last of it arrived.
        at: Time,
    },
    /// A soft limit was passed: rekey.
    SoftLimit(Spi),
    /// A hard limit was passed: the SA no longer works.
    HardLimit(Spi),
    /// Authenticated ESP comes from a new address.
    PeerMoved {
        /// Our inbound SPI.
        spi: Spi,
        /// Where it comes from now.
        remote: SocketAddr,
    },
    /// ESP from the address of a tunnel's peer has an SPI that we do not have. Nothing of it is authentic: anybody can
    /// send that.
    UnknownSpi(ConnectionKey),
    /// The data plane lost every SA (a fresh session): replace all children, paced.
    DataPlaneRestarted,
}

/// The addresses of a packet that wants a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Source address, on our side.
    pub src: IpAddr,
    /// Destination address, on the peer's side.
    pub dst: IpAddr,
    /// Upper-layer protocol.
    pub protocol: u8,
    /// Source port; 0 if the protocol has none.
    pub src_port: u16,
    /// Destination port; 0 if the protocol has none.
    pub dst_port: u16,
}

/// What the data plane is to do. Commands of one poll order must reach it in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaCommand {
    /// Allocate an inbound SPI; answered by [`SaReply::SpiReserved`] or [`SaReply::Failed`].
    ReserveSpi {
        /// Comes back in the reply.
        request: RequestId,
        /// Whose SA it will be.
        owner: Owner,
        /// VRF the SPI will receive in.
        outer_vrf: u16,
    },
    /// Give back an SPI that was never installed.
    ReleaseSpi {
        /// The SPI.
        spi: Spi,
    },
    /// Install both halves of a CHILD_SA in one transaction; answered by [`SaReply::Installed`] when every
    /// worker sees it, or [`SaReply::Failed`]. If an SA with this SPI and owner is installed already (the
    /// command is repeated after a restart), the answer is `Installed`.
    InstallChild(Box<InstallChild>),
    /// Send on this CHILD_SA from now on.
    ActivateOutbound {
        /// Our inbound SPI.
        spi: Spi,
    },
    /// Remove a CHILD_SA: outbound at once, inbound after `linger`.
    DeleteChild {
        /// Our inbound SPI.
        spi: Spi,
        /// How long late packets are still received.
        linger: Duration,
    },
    /// The outer addresses changed.
    UpdateOuter {
        /// Our inbound SPI.
        spi: Spi,
        /// The new ones.
        outer: Outer,
    },
}

/// The owner tag of an SA in the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Connection and tunnel.
    pub key: ConnectionKey,
    /// The IKE SA that negotiated it (children keep it when the IKE SA is rekeyed).
    pub ike_sa: IkeSaId,
    /// Counts the children of one IKE SA.
    pub generation: u32,
}

/// Both halves of a CHILD_SA. Holds keys: dropped as soon as it is handed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstallChild {
    /// Comes back in the reply.
    pub request: RequestId,
    /// Our inbound SPI: the name of the CHILD_SA.
    pub spi: Spi,
    /// The SPI the peer receives on.
    pub peer_spi: Spi,
    /// Whose it is.
    pub owner: Owner,
    /// Algorithms.
    pub suite: EspSuite,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Keys of packets we receive.
    pub inbound: ChildKeys,
    /// Keys of packets we send.
    pub outbound: ChildKeys,
    /// Our side's selectors, as negotiated.
    pub local_ts: Vec<TrafficSelector>,
    /// The peer's side's selectors, as negotiated.
    pub remote_ts: Vec<TrafficSelector>,
    /// Outer header.
    pub outer: Outer,
    /// The data plane may follow a peer behind a NAT by itself.
    pub follow_nat: bool,
    /// Whether the outbound half is used at once.
    pub active: bool,
    /// Anti-replay window in packets.
    pub replay_window: u32,
    /// Limits of each half.
    pub limits: Limits,
    /// The CHILD_SA this one replaces.
    pub replaces: Option<Spi>,
    /// Length to which packets are padded, bytes; 0: the peer does not take it, or it is not configured.
    pub tfc: u16,
}

/// ESP algorithms as IANA IKEv2 transform IDs, e.g. (20, 128, 0) for AES-GCM-16-128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EspSuite {
    /// Transform type 1.
    pub encryption: u16,
    /// Key length; 0 where the algorithm has only one.
    pub key_bits: u16,
    /// Transform type 3; 0 with an AEAD.
    pub integrity: u16,
}

/// Keys of one direction. `Debug` shows lengths only; zeroized on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct ChildKeys {
    /// Encryption key; the salt of an AEAD or of counter mode is its last four bytes.
    pub encryption: Vec<u8>,
    /// Integrity key; empty with an AEAD.
    pub integrity: Vec<u8>,
}

impl fmt::Debug for ChildKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildKeys({} + {} bytes)", self.encryption.len(), self.integrity.len())
    }
}

/// The outer header of ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outer {
    /// VRF.
    pub vrf: u16,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// Native, or in UDP.
    pub encap: Encap,
    /// Seconds between NAT keepalives; 0: none.
    pub keepalive_secs: u16,
}

/// How ESP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encap {
    /// IP protocol 50.
    Native,
    /// UDP (RFC 3948).
    Udp {
        /// Our port.
        local_port: u16,
        /// The peer's port.
        remote_port: u16,
    },
}

/// The data plane's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaReply {
    /// To [`SaCommand::ReserveSpi`].
    SpiReserved {
        /// Of the command.
        request: RequestId,
        /// At least 256.
        spi: Spi,
    },
    /// To [`SaCommand::InstallChild`]: every worker sees it.
    Installed {
        /// Of the command.
        request: RequestId,
    },
    /// To either: it was not done. `code` is the data plane's, for the diagnosis.
    Failed {
        /// Of the command.
        request: RequestId,
        /// The data plane's reason.
        code: u32,
    },
}

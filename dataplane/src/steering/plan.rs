//! What is made of the abilities of a device.

use dpdk::HashFields;

/// How packets of an SA find its owner, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Path {
    /// There is one worker.
    #[default]
    OneWorker,
    /// The device does not choose: it has everything in its first queue, or the other end chooses. Handed over.
    HandOver,
    /// The kernel or the other end of a virtual device spreads flows as it likes.
    Elsewhere,
    /// By the addresses: all of one peer come to one worker, and are handed over to the owners of its SAs.
    AddressHash,
    /// As [`Path::AddressHash`], but tunnels without encryption by what is inside.
    InnerHash,
    /// By the SPI, so that the SAs of one peer are spread.
    SpiHash,
    /// A rule for each SA leads to its owner's queue.
    SpiRules,
}

impl Path {
    /// Those that depend on the device, from the best to the worst.
    pub const OF_DEVICES: [Self; 4] = [Self::SpiRules, Self::SpiHash, Self::InnerHash, Self::AddressHash];
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// The SPI behind the IP header, or behind the UDP header (RFC 3948).
    Spi,
    /// Addresses and ports: for ESP in UDP, all SAs of the peer.
    Ports,
}

/// A kind of rule that a device takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What it looks at.
    pub pattern: Pattern,
    /// It leaves fragments out.
    pub whole: bool,
}

/// The best kind of rule for each kind of SA: `[IPv4, IPv6]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleForms {
    /// ESP on IP.
    pub native: [Option<Form>; 2],
    /// ESP in UDP.
    pub in_udp: [Option<Form>; 2],
}

impl RuleForms {
    /// True if there is not one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a better path is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The driver does not have it.
    NotOffered,
    /// The driver refused it, in its words.
    Refused(String),
}

/// What a started port was found to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// DPDK's name of the driver.
    pub driver: String,
    /// Queues that are polled, one by each worker.
    pub queues: u16,
    /// What it offers to hash.
    pub offered: HashFields,
    /// What it hashes now.
    pub hashing: HashFields,
    /// What it answered to the hash that was asked for first, if it refused that.
    pub hash_refused: Option<String>,
    /// The rules that it takes.
    pub rules: RuleForms,
    /// What it answered to a rule by SPI over IPv4, if it refused that.
    pub rule_refused: Option<String>,
    /// Rules spread ESP by a hash of the SPI alone.
    pub spread_by_spi: bool,
}

/// What a port does about packets and workers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    /// How ESP over IPv4 finds its owner.
    pub path: Path,
    /// The rules that are made for SAs.
    pub rules: RuleForms,
    /// What the device hashes of packets for which there is no rule.
    pub hashing: HashFields,
    /// It hashes the SPI of ESP without its addresses.
    pub spreads_by_spi: bool,
    /// Why it is none of the better paths, from the best on.
    pub obstacles: Vec<(Path, Obstacle)>,
}

/// Drivers of virtual devices where somebody else chooses the queue: behind net_tap the kernel's flow table of a
/// multi-queue TUN device, behind net_af_packet `PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_DEFRAG` (fragments are put
/// together first), behind net_af_xdp the device's kernel driver, and else the other end.
const ELSEWHERE: [&str; 7] =
    ["net_tap", "net_af_packet", "net_af_xdp", "net_virtio", "net_virtio_user", "net_vhost", "net_memif"];

/// Drivers that accept a hash and go on as before. Of net_tap its rte_eth_tap.c says "limitation: TAP supports all of
/// IP, UDP and TCP hash functions together", and its configuration looks at none of them.
const PRETENDERS: [&str; 4] = ["net_null", "net_tap", "net_af_packet", "net_af_xdp"];

/// What `driver` really hashes of what it offers.
#[must_use]
pub fn believed(driver: &str, offered: HashFields) -> HashFields {
    if PRETENDERS.contains(&driver) { HashFields::NONE } else { offered }
}

/// What a device is asked to hash, the best first; the last is [`HashFields::NONE`].
///
/// Addresses without ports wherever the device hashes so what is not asked for in particular: the first fragment of
/// a datagram, which shows ports, the others, which do not, and unfragmented packets then meet at one worker. That
/// holds for ixgbe (`IXGBE_MRQC_RSS_FIELD_IPV4` alone), ice (`ice_ptypes_ipv4_ofos_all` has every packet) and virtio
/// (its hash of IP looks at no protocol above). mlx5 is asked to hash ESP by its SPI, too: whether that takes a first
/// fragment elsewhere is not known. i40e hashes a kind of packet (PCTYPE) only if it is asked for by name, else it
/// goes to queue 0, and UDP only with its ports: there the fragments of one datagram meet each other (`FRAG_IPV4`),
/// but not the whole packets of their flow.
#[must_use]
pub fn hashes(offered: HashFields) -> Vec<HashFields> {
    let basic = if offered.addresses {
        HashFields { addresses: true, rest: offered.rest, ..HashFields::NONE }
    } else {
        HashFields { rest: offered.rest, ports: offered.ports, ..HashFields::NONE }
    };
    let mut wanted = Vec::new();
    if offered.spi {
        wanted.push(HashFields { spi: true, ..basic });
    }
    if basic != HashFields::NONE {
        if offered.innermost {
            wanted.push(HashFields { innermost: true, ..basic });
        }
        wanted.push(basic);
    }
    wanted.push(HashFields::NONE);
    wanted
}

impl Steering {
    /// What is made of what was found.
    #[must_use]
    pub fn new(found: Found) -> Self {
        if found.queues < 2 {
            return Self::default();
        }
        let path = found.path();
        let better = Path::OF_DEVICES.into_iter().take_while(|better| *better > path);
        Self {
            path,
            rules: found.rules,
            hashing: found.hashing,
            spreads_by_spi: found.spread_by_spi,
            obstacles: better.map(|better| (better, found.obstacle(better))).collect(),
        }
    }
}

impl Found {
    fn path(&self) -> Path {
        match self.hashing {
            _ if self.rules.native[0].is_some() => Path::SpiRules,
            _ if self.spread_by_spi => Path::SpiHash,
            HashFields { spi: true, .. } => Path::SpiHash,
            HashFields { innermost: true, .. } => Path::InnerHash,
            hashing if hashing != HashFields::NONE => Path::AddressHash,
            _ if ELSEWHERE.contains(&self.driver.as_str()) => Path::Elsewhere,
            _ => Path::HandOver,
        }
    }

    fn obstacle(&self, path: Path) -> Obstacle {
        let offered = match path {
            Path::SpiRules => {
                return self.rule_refused.clone().map_or(Obstacle::NotOffered, Obstacle::Refused);
            }
            Path::SpiHash => self.offered.spi,
            Path::InnerHash => self.offered.innermost,
            _ => self.offered != HashFields::NONE,
        };
        match &self.hash_refused {
            Some(reason) if offered => Obstacle::Refused(reason.clone()),
            _ => Obstacle::NotOffered,
        }
    }
}

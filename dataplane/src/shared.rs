//! What the agent and the workers have in common: the tables, and the bounded queues between them.
//!
//! ```text
//!            tables (rcu)
//!   agent ═══════════════════► workers
//!     │ ◄── exceptions, notices ──┤│
//!     └──── from_agent ──────────►││ ◄─ handoff ─► other workers
//! ```
//!
//! A worker never waits for any of these: a full queue is a drop under a named reason, or a hint that is
//! counted and lost. Everything in a queue names tables' objects by identifier, never by reference, so that
//! nothing in flight holds up the reclamation of an old snapshot.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;
use dpdk::{Mbuf, Mempool};
use packet::decide::{IkeStanding, Ingress};
use packet::path_mtu::{Answer, Arrived};
pub use packet::sad::Direction;
use packet::sad::LimitKind;
use packet::{DropReason, InterfaceId, MacAddr, PortId, Spi, TunnelId, VrfId};
use rcu::{Domain, RcuCell};

use crate::config::LimitConfig;
use crate::journey::{Journey, Lenses, Stock};
use crate::steering::Steering;

/// One snapshot of everything that workers decide with.
pub type Tables = packet::Tables<crypto::Key>;

/// A port as the agent and the workers know it; its index among the ports is its [`PortId`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortFacts {
    /// From the configuration.
    pub name: String,
    /// The DPDK driver.
    pub driver: String,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// The largest IP packet, bytes.
    pub mtu: u16,
    /// Queues in each direction.
    pub queues: u16,
    /// It delivers frames for any station; workers take only those for `mac`.
    pub promiscuous: bool,
    /// What the device does for us, or we for it.
    pub offloads: Offloads,
    /// How its packets come to the workers.
    pub steering: Steering,
}

/// What of the work on a packet is not done where it usually is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offloads {
    /// The device spreads packets over the queues by their headers.
    pub rss: bool,
    /// The device checks the checksum of IPv4 headers.
    pub ipv4_checksum: bool,
    /// Packets may come with an unfinished TCP or UDP checksum, which workers complete.
    pub completes_checksums: bool,
}

/// Everything that outlives a burst. `B` is the packet buffer, an [`Mbuf`] but in tests.
pub struct Shared<B = Mbuf> {
    /// By [`PortId`].
    pub ports: Vec<PortFacts>,
    /// The workers are registered here; the agent reclaims.
    pub domain: Domain,
    /// The current snapshot; the agent alone publishes.
    pub tables: RcuCell<Tables>,
    /// By worker.
    pub mailboxes: Vec<Mailbox<B>>,
    /// What workers write down while somebody watches.
    pub stock: Arc<Stock>,
    /// Set once: every worker returns after its burst.
    pub stop: AtomicBool,
    /// Units of `now` per second in everything that workers time: the TSC.
    pub ticks_per_second: u64,
    /// Where fragments get their buffers; none in tests without DPDK.
    pool: Option<Mempool>,
    /// Larger buffers, for packets above that length: those made of fragments.
    large: Option<(usize, Mempool)>,
}

impl<B> Shared<B> {
    /// Queues for `workers` workers over an empty snapshot.
    #[must_use]
    pub fn new(
        ports: Vec<PortFacts>,
        workers: usize,
        limits: &LimitConfig,
        tables: Tables,
        ticks_per_second: u64,
    ) -> Self {
        let domain = Domain::new(workers);
        Self {
            ports,
            tables: RcuCell::new(&domain, tables),
            domain,
            mailboxes: (0..workers).map(|_| Mailbox::new(limits)).collect(),
            stock: Arc::new(Stock::new()),
            stop: AtomicBool::new(false),
            ticks_per_second: ticks_per_second.max(1),
            pool: None,
            large: None,
        }
    }

    /// Fragments get their buffers from `pool`.
    #[must_use]
    pub fn with_pool(self, pool: Mempool) -> Self {
        Self { pool: Some(pool), ..self }
    }

    /// Packets made of fragments get their buffers from `pool` if they are longer than `above` bytes.
    #[must_use]
    pub fn with_large_pool(self, above: usize, pool: Mempool) -> Self {
        Self { large: Some((above, pool)), ..self }
    }

    /// A port by its identifier.
    #[inline]
    #[must_use]
    pub fn port(&self, id: PortId) -> Option<&PortFacts> {
        self.ports.get(id.index())
    }

    /// Asks every worker to return, and wakes the sleeping ones.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.mailboxes.iter().for_each(Mailbox::wake);
    }

    /// True once [`Shared::request_stop`] was called.
    #[inline]
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Shared<Mbuf> {
    /// An empty buffer with room for `len` bytes and more.
    #[must_use]
    pub fn spare(&self, len: usize) -> Option<Mbuf> {
        let large = self.large.filter(|(above, _)| len > *above).map(|(_, pool)| pool);
        large.or(self.pool)?.alloc().ok()
    }
}

impl<B> fmt::Debug for Shared<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("ports", &self.ports)
            .field("workers", &self.mailboxes.len())
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// The thread of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// EAL's number; `None` for a thread that is not EAL's.
    pub lcore: Option<u32>,
    /// The kernel's number.
    pub thread: i32,
}

/// The queues of one worker. All are preallocated.
pub struct Mailbox<B> {
    /// Packets of SAs that this worker owns, from the others.
    pub handoff: ArrayQueue<Handoff<B>>,
    /// Packets to send, from the agent.
    pub from_agent: ArrayQueue<FromAgent<B>>,
    /// Packets for the agent.
    pub exceptions: ArrayQueue<Exception<B>>,
    /// What control or the agent should know.
    pub notices: ArrayQueue<Notice>,
    /// What this worker is to look through from now on: only the newest counts.
    pub lenses: ArrayQueue<Lenses>,
    /// Where the worker runs; set once, as it starts.
    pub seat: OnceLock<Seat>,
    sleeping: AtomicBool,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl<B> Mailbox<B> {
    fn new(limits: &LimitConfig) -> Self {
        Self {
            handoff: ArrayQueue::new(limits.handoff),
            from_agent: ArrayQueue::new(limits.agent_frames),
            exceptions: ArrayQueue::new(limits.exceptions),
            notices: ArrayQueue::new(limits.exceptions),
            lenses: ArrayQueue::new(1),
            seat: OnceLock::new(),
            sleeping: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    /// Says that the calling thread is the worker's, once.
    pub fn take_seat(&self) {
        let thread = rustix::thread::gettid().as_raw_pid();
        // A second one would be a worker started twice, which its lcore excludes.
        let _ = self.seat.set(Seat { lcore: dpdk::current_lcore(), thread });
    }

    /// How to end this worker's sleep; set once, before it first sleeps.
    pub fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        // A second one would be a worker started twice, which its lcore excludes.
        let _ = self.waker.set(waker);
    }

    /// True while answers to dropped packets cost the agent little and take no place of other exceptions.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.exceptions.len() < self.exceptions.capacity() / 4
    }

    /// Announces that the worker is about to sleep until it is woken. False if there is work already:
    /// then it must not sleep. Pair with [`Mailbox::awake`].
    #[must_use]
    pub fn fall_asleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        // Either the fence of `wake` comes later and sees the flag, or this one sees what was pushed.
        fence(Ordering::SeqCst);
        let quiet = self.handoff.is_empty() && self.from_agent.is_empty();
        if !quiet {
            self.awake();
        }
        quiet
    }

    /// Ends what [`Mailbox::fall_asleep`] began.
    pub fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Call after pushing something: ends the worker's sleep if it sleeps without a time limit.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
        {
            waker();
        }
    }
}

impl<B> fmt::Debug for Mailbox<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("handoff", &self.handoff.len())
            .field("from_agent", &self.from_agent.len())
            .field("exceptions", &self.exceptions.len())
            .field("notices", &self.notices.len())
            .finish_non_exhaustive()
    }
}

/// A packet for the owner of an SA, which looks everything up again in its own snapshot.
#[derive(Debug)]
pub struct Handoff<B> {
    /// Starts at the IP header: the outer one inbound, the inner one outbound.
    pub packet: B,
    /// Where it came in.
    pub interface: Option<InterfaceId>,
    /// What is to be done.
    pub work: HandoffWork,
    /// The packet's way so far, if somebody watches.
    pub journey: Option<Box<Journey>>,
}

/// What the owner of an SA does with a packet handed to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandoffWork {
    /// An ESP packet that came in on `Handoff::interface`.
    Open {
        /// The largest fragment that it was made of, bytes; 0 if it came in one piece.
        largest: u16,
    },
    /// As [`AgentWork::Probe`].
    Probe {
        /// The pair, by our inbound SPI.
        spi: Spi,
    },
    /// An inner packet for the pair `spi`; decided anew if that is gone.
    Seal {
        /// The pair, by our inbound SPI.
        spi: Spi,
        /// The inner routing domain.
        vrf: VrfId,
        /// How it came in.
        ingress: Ingress,
    },
}

/// A packet from the agent to a worker; it counts as input from the agent.
#[derive(Debug)]
pub struct FromAgent<B> {
    /// A frame for [`AgentWork::Frame`], else an IP packet.
    pub packet: B,
    /// What is to be done.
    pub work: AgentWork,
}

/// What a worker does with a packet from the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AgentWork {
    /// Send the whole frame as it is: ARP, neighbour discovery.
    Frame {
        /// The interface; the tag is in the frame.
        interface: InterfaceId,
    },
    /// Send the IP packet to a neighbour on an interface: it was decided about before, and waited.
    Neighbour {
        /// The interface.
        interface: InterfaceId,
        /// Whose Ethernet address is needed.
        neighbour: IpAddr,
    },
    /// Send our own IP packet in clear by the routes of `vrf`: IKE, a NAT keepalive, our own ICMP. Its source
    /// must be an address of ours.
    Own {
        /// The routing domain.
        vrf: VrfId,
    },
    /// Forward an inner packet of ours by the one decision: from a TUN device, an ICMP error into a tunnel.
    Forward {
        /// The inner routing domain.
        vrf: VrfId,
    },
    /// Seal an inner packet with this pair whatever its length, and forbid routers to fragment it: a probe. What
    /// follows the packet in the buffer is sealed too, as padding.
    Probe {
        /// The pair, by our inbound SPI.
        spi: Spi,
    },
}

/// A packet that the worker leaves to the agent.
#[derive(Debug)]
pub struct Exception<B> {
    /// A frame for [`ExceptionKind::Arp`], [`ExceptionKind::Ndp`] and [`ExceptionKind::LinkLocalEcho`], else an IP
    /// packet.
    pub packet: B,
    /// Where it came in; `None` if we made it.
    pub interface: Option<InterfaceId>,
    /// The routing domain of the packet: the outer one for what came to an outside interface.
    pub vrf: VrfId,
    /// What it is about.
    pub kind: ExceptionKind,
}

/// Why a packet goes to the agent. All but the last four count as delivered to it: the agent then counts
/// what becomes of them. Those four were counted as dropped, and are lent for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExceptionKind {
    /// An ARP frame.
    Arp,
    /// A frame of IPv6 neighbour discovery for us.
    Ndp,
    /// A frame with an echo request to our link-local address.
    LinkLocalEcho,
    /// IKE for us, on an outside interface.
    Ike {
        /// What is known of its sender.
        standing: IkeStanding,
    },
    /// ICMP for us, on an outside interface.
    Icmp,
    /// An inner packet for an address of ours in `vrf`.
    Local {
        /// How it came in.
        ingress: Ingress,
    },
    /// Its neighbour is not known: hold it, resolve, then give it back as [`AgentWork::Neighbour`].
    Neighbour {
        /// Where it leaves.
        egress: InterfaceId,
        /// Whom to resolve.
        neighbour: IpAddr,
        /// How it came in: its sender is told if nobody answers. `None` for our own, ESP among them.
        ingress: Option<Ingress>,
    },
    /// Answer with ICMP "fragmentation needed" and this MTU.
    TooBig {
        /// The largest packet that would pass, bytes.
        mtu: u16,
        /// How it came in.
        ingress: Ingress,
    },
    /// Answer with ICMP "unreachable".
    Unreachable {
        /// Why it was dropped.
        reason: DropReason,
        /// How it came in.
        ingress: Ingress,
    },
    /// Answer with ICMP "time exceeded".
    TimeExceeded {
        /// How it came in.
        ingress: Ingress,
    },
    /// Answer with ICMP "fragment reassembly time exceeded": it is the first fragment.
    ReassemblyTimeExceeded {
        /// How it came in.
        ingress: Ingress,
    },
}

/// Which limit of an SA was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// A configured volume.
    Volume(LimitKind),
    /// The sequence number space.
    Sequence,
}

/// Something that happened to a packet and that others should know. A hint: it may get lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The first authentic packet of an inbound SA.
    FirstUse {
        /// The pair.
        spi: Spi,
    },
    /// A rekey is due.
    SoftLimit {
        /// The pair.
        spi: Spi,
        /// Which half.
        direction: Direction,
        /// Which limit.
        limit: Limit,
    },
    /// This half carries nothing any more.
    HardLimit {
        /// The pair.
        spi: Spi,
        /// Which half.
        direction: Direction,
        /// Which limit.
        limit: Limit,
    },
    /// An authentic packet that advanced the window came from another address or port.
    PeerMoved {
        /// The pair.
        spi: Spi,
        /// The new address.
        remote: IpAddr,
        /// The new UDP source port; 0 for native ESP.
        port: u16,
    },
    /// A packet wants a tunnel that has no SA for it.
    Acquire {
        /// The tunnel.
        tunnel: TunnelId,
        /// The inner routing domain.
        vrf: VrfId,
        /// Source of the packet.
        src: IpAddr,
        /// Destination of the packet.
        dst: IpAddr,
        /// Its upper-layer protocol.
        protocol: u8,
        /// Source port; 0 if it has none.
        src_port: u16,
        /// Destination port; 0 if it has none.
        dst_port: u16,
    },
    /// The target of a tunnel's probes answered an echo request; of a program, perhaps.
    EchoAnswer {
        /// The tunnel that it came out of.
        tunnel: TunnelId,
        /// What it says.
        answer: Answer,
        /// How it came.
        arrived: Arrived,
    },
    /// ESP for an SPI that is not ours.
    InvalidSpi {
        /// The outer routing domain.
        vrf: VrfId,
        /// Who sent it.
        src: IpAddr,
        /// To which address of ours.
        dst: IpAddr,
        /// As it stood in the packet.
        spi: u32,
    },
}

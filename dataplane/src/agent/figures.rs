//! What the agent counts beside the traffic of interfaces.

use shm::counters::{CountersWriter, Text};

macro_rules! figures {
    ($($variant:ident = $name:literal, $help:literal;)+) => {
        /// A figure of the process on the counters page.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum AgentFigure {
            $(#[doc = $help] $variant,)+
        }

        impl AgentFigure {
            /// Every figure in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the counters page.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

figures! {
    Consumed = "agent_consumed", "Packets from the workers that ended here: ARP, neighbour discovery, and echo requests that were answered.";
    PuntedIkeKnown = "punted_ike_known", "IKE packets of known peers given to control.";
    PuntedIkeNew = "punted_ike_new", "IKE packets of first contacts given to control.";
    PuntedIcmp = "punted_icmp", "ICMP packets given to control.";
    PuntedLocal = "punted_local", "Other packets for our addresses given to control.";
    HostDelivered = "host_delivered", "Packets given to programs of this machine that use a host address.";
    HostReceived = "host_received", "Packets of such programs given to a worker.";
    HostRefused = "host_refused", "Packets of such programs refused: malformed, or their source is not a host address of the VRF.";
    HostsMissing = "hosts_missing", "VRFs whose TUN device could not be made or set up; the data plane's log says why.";
    Released = "neighbour_released", "Packets given back to a worker once their neighbour was known.";
    Held = "neighbour_held", "Packets that wait for a neighbour now.";
    Neighbours = "neighbours", "Neighbours known or being resolved.";
    ArpRequests = "arp_requests", "ARP requests and announcements sent.";
    ArpReplies = "arp_replies", "ARP requests answered.";
    NdpRequests = "ndp_solicitations", "IPv6 neighbour solicitations and announcements sent.";
    NdpReplies = "ndp_advertisements", "IPv6 neighbour solicitations answered.";
    EchoReplies = "icmp_echo_replies", "ICMP echo requests answered.";
    IcmpErrors = "icmp_errors", "ICMP errors sent: fragmentation needed or packet too big, time exceeded.";
    IcmpSuppressed = "icmp_suppressed", "ICMP errors and replies not sent because of their rate limit.";
    PathMtuMessages = "path_mtu_messages", "ICMP messages that lowered the path MTU of a peer.";
    PathMtus = "path_mtus", "Peers towards which less than the link's MTU passes now.";
    PathProbes = "path_mtu_probes", "Packets sent to find the path MTU of tunnels.";
    Keepalives = "nat_keepalives", "NAT keepalives sent.";
    Injected = "injected", "Packets of control given to a worker.";
    InjectRefused = "inject_refused", "Packets of control refused: malformed, or their source is not an address of ours.";
    FramesLost = "agent_frames_lost", "Packets of the agent lost because no buffer or no room in a worker's queue was left.";
    Sas = "sas", "SPIs that are reserved, installed or lingering.";
    NicRules = "nic_rules", "Rules in the ports' devices that lead packets of SAs to the workers that own them.";
    NicRulesRefused = "nic_rules_refused", "Rules that a device refused: the packets of those SAs are handed over.";
    Events = "events", "Hints given to control.";
    EventsLost = "events_lost", "Hints to control lost: its ring was full, or it was not connected.";
    EventsSuppressed = "events_suppressed", "Hints to control not given because of their rate limit.";
    Sessions = "sessions", "Control sessions opened since the start.";
    SessionFaults = "session_faults", "Control sessions ended because the peer broke the contract, or by a newer one.";
    InspectLost = "inspect_records_lost", "Records for inspectors (explain, trace, capture) that found no room on their way.";
    Transactions = "transactions", "Transactions committed.";
    TransactionsRejected = "transactions_rejected", "Transactions and requests refused.";
    Snapshots = "snapshots", "Versions of the tables published.";
    SilentWorkers = "silent_workers", "Workers that do not come round now; the data plane's log and show runtime say why.";
    Retired = "snapshots_retired", "Old versions of the tables that a worker may still use.";
}

/// The texts for [`crate::worker::counters::spec`].
#[must_use]
pub fn texts() -> Vec<Text> {
    AgentFigure::ALL.iter().map(|figure| Text::new(figure.name(), figure.help())).collect()
}

/// Writes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures<'p>(pub(super) &'p CountersWriter);

impl Figures<'_> {
    pub(super) fn add(self, figure: AgentFigure, amount: u64) {
        self.0.add_figure(figure as usize, amount);
    }

    pub(super) fn set(self, figure: AgentFigure, value: u64) {
        self.0.set_figure(figure as usize, value);
    }
}

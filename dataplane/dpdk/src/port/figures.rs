//! What a port says of itself.

use super::flow::HashFields;

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Carrier.
    pub up: bool,
    /// Speed, Mbit/s, where the driver knows it.
    pub mbit_per_s: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// A port's own counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Received.
    pub rx_packets: u64,
    /// Sent.
    pub tx_packets: u64,
    /// Received, bytes.
    pub rx_bytes: u64,
    /// Sent, bytes.
    pub tx_bytes: u64,
    /// Dropped by the NIC because the worker was too slow.
    pub rx_missed: u64,
    /// Received broken.
    pub rx_errors: u64,
    /// Not sent.
    pub tx_errors: u64,
    /// Dropped because the pool was empty.
    pub rx_no_mbuf: u64,
}

/// What a device is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// DPDK's driver, such as `net_tap`.
    pub driver: String,
    /// The most RX queues.
    pub max_rx_queues: u16,
    /// The most TX queues.
    pub max_tx_queues: u16,
    /// The smallest MTU, bytes.
    pub min_mtu: u16,
    /// The largest MTU, bytes.
    pub max_mtu: u16,
    /// What it can hash to spread received packets over queues.
    pub hash: HashFields,
    /// Length of the key of that hash, bytes; 0 where there is none of ours.
    pub hash_key_len: usize,
    /// Checks the checksum of IPv4 headers.
    pub ipv4_checksum: bool,
    /// Reports link changes.
    pub link_interrupt: bool,
    /// Reports that it was unplugged.
    pub removal_interrupt: bool,
    /// `RTE_ETH_RX_OFFLOAD_*`.
    pub rx_offloads: u64,
    /// `RTE_ETH_TX_OFFLOAD_*`.
    pub tx_offloads: u64,
}

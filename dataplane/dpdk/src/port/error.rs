//! Why a port cannot be had or used.

use crate::error::Errno;

/// Why a port cannot be had or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The device did not come up.
    #[error("device {device} did not come up: {reason}")]
    Device {
        /// As configured.
        device: String,
        /// What DPDK said.
        reason: String,
    },
    /// A second owner.
    #[error("device {device} is open already")]
    Taken {
        /// As configured.
        device: String,
    },
    /// The driver refused a step.
    #[error("port {port}: {step}: {source}")]
    Step {
        /// The port.
        port: String,
        /// What was tried.
        step: &'static str,
        /// The driver's answer.
        source: Errno,
    },
    /// More than the device has.
    #[error("port {port}: {wanted} {what} were asked for, and driver {driver} has at most {most}")]
    TooMany {
        /// The port.
        port: String,
        /// Of what.
        what: &'static str,
        /// Asked for.
        wanted: u32,
        /// The device's limit.
        most: u32,
        /// The driver.
        driver: String,
    },
    /// A configuration that cannot work.
    #[error("port {port}: {reason}")]
    Config {
        /// The port.
        port: String,
        /// The rule that was broken.
        reason: &'static str,
    },
    /// Packets of this MTU do not fit the pool's buffers.
    #[error("port {port}: an MTU of {mtu} needs buffers of {needed} bytes, and the pool's have {data_bytes}")]
    BufferTooSmall {
        /// The port.
        port: String,
        /// Asked for, bytes.
        mtu: u16,
        /// With the Ethernet header and two VLAN tags, bytes.
        needed: usize,
        /// What the pool's buffers hold.
        data_bytes: usize,
    },
    /// Queues exist, so the port must go on.
    #[error("port {port}: its queues are still in use")]
    InUse {
        /// The port.
        port: String,
    },
}

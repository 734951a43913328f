//! How a port is configured, and what is checked first so that the error says what is wrong.

use std::ptr;

use crate::mempool::Mempool;
use crate::port::{Capabilities, HASH_KEY_MAX, HashFields, Port, PortError};

/// Queues, sizes and modes of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// RX queues: one per worker that polls the port.
    pub rx_queues: u16,
    /// TX queues: one per worker, and as many as RX queues for `net_tap`.
    pub tx_queues: u16,
    /// Packets an RX queue holds; brought into what the device takes.
    pub rx_descriptors: u16,
    /// Packets a TX queue holds; brought into what the device takes.
    pub tx_descriptors: u16,
    /// The largest L3 packet, bytes, 68 and up.
    pub mtu: u16,
    /// Receive frames for other MAC addresses, too.
    pub promiscuous: bool,
    /// Spread packets over the RX queues by a hash of these fields, as far as the device can.
    pub hash: HashFields,
    /// The key of that hash, of which the device takes as much as it has room for; `None`: the driver's own.
    pub hash_key: Option<[u8; HASH_KEY_MAX]>,
    /// Let the device check IPv4 header checksums, where it can: see [`crate::Mbuf::ipv4_checksum`].
    pub ipv4_checksum: bool,
    /// Prepare to sleep until packets come: see [`crate::RxWaiter`].
    pub rx_interrupts: bool,
}

impl Default for PortConfig {
    /// One queue each way, 512 descriptors, MTU 1500, no hash, neither promiscuous nor by interrupts.
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 512,
            tx_descriptors: 512,
            mtu: 1500,
            promiscuous: false,
            hash: HashFields::NONE,
            hash_key: None,
            ipv4_checksum: false,
            rx_interrupts: false,
        }
    }
}

impl PortConfig {
    /// The Ethernet header with two VLAN tags.
    const FRAME_OVERHEAD: usize = 14 + 2 * 4;

    /// What the device cannot do, in words.
    fn check(&self, port: &str, able: &Capabilities, pool: &Mempool) -> Result<(), PortError> {
        let within = |what, wanted: u16, most: u16| {
            if wanted <= most {
                return Ok(());
            }
            let (wanted, most) = (wanted.into(), most.into());
            Err(PortError::TooMany { port: port.to_owned(), what, wanted, most, driver: able.driver.clone() })
        };
        let refuse = |reason| Err(PortError::Config { port: port.to_owned(), reason });
        if self.rx_queues == 0 || self.tx_queues == 0 {
            return refuse("it needs at least one RX and one TX queue");
        }
        within("RX queues", self.rx_queues, able.max_rx_queues)?;
        within("TX queues", self.tx_queues, able.max_tx_queues)?;
        // The driver answers a bare EINVAL.
        if able.driver == "net_tap" && self.rx_queues != self.tx_queues {
            return refuse("net_tap needs as many TX queues as RX queues");
        }
        if self.mtu < 68 {
            return refuse("the MTU must be 68 bytes or more (RFC 791)");
        }
        if able.max_mtu != 0 {
            within("bytes of MTU", self.mtu, able.max_mtu)?;
        }
        let needed = usize::from(self.mtu) + Self::FRAME_OVERHEAD;
        let data_bytes = pool.data_bytes();
        if needed > data_bytes {
            return Err(PortError::BufferTooSmall {
                port: port.to_owned(),
                mtu: self.mtu,
                needed,
                data_bytes,
            });
        }
        Ok(())
    }
}

impl Port {
    /// Sets up queues and modes of a port that is not started; received packets come from `pool`. May be
    /// called again.
    ///
    /// # Errors
    /// What the device cannot do, by name; or the step its driver refused.
    pub fn configure(&mut self, config: &PortConfig, pool: &Mempool) -> Result<(), PortError> {
        let able = self.capabilities()?;
        config.check(self.name(), &able, pool)?;
        self.stop()?;
        self.configured = None;
        self.set_queues(config, &able, pool)?;
        self.set_modes(config)?;
        self.configured = Some((config.rx_queues, config.tx_queues));
        Ok(())
    }

    fn set_queues(&self, config: &PortConfig, able: &Capabilities, pool: &Mempool) -> Result<(), PortError> {
        let key = config.hash_key.as_ref().and_then(|key| key.get(..able.hash_key_len));
        let key = key.filter(|key| !key.is_empty());
        let request = dpdk_sys::shim_port_config {
            mtu: config.mtu.into(),
            rx_queues: config.rx_queues,
            tx_queues: config.tx_queues,
            rss: config.hash.to_shim(),
            rss_key: key.map_or(ptr::null(), <[u8]>::as_ptr),
            rss_key_size: key.and_then(|key| u8::try_from(key.len()).ok()).unwrap_or(0),
            ipv4_checksum: config.ipv4_checksum,
            rx_interrupts: config.rx_interrupts,
            link_interrupt: false,
        };
        let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
        let port = &self.inner;
        port.step("configuring", |id| {
            // SAFETY: the port is ours, stopped, without queues; the key is as long as it says.
            unsafe { dpdk_sys::shim_port_configure(id, &raw const request) }
        })?;
        // SAFETY: as above, and both integers may be written.
        port.step("adjusting its descriptors", |id| unsafe {
            dpdk_sys::shim_adjust_descriptors(id, &raw mut rx, &raw mut tx)
        })?;
        for queue in 0..config.rx_queues {
            // SAFETY: as above.
            port.step("setting up an RX queue", |id| unsafe {
                dpdk_sys::shim_rx_queue_setup(id, queue, rx, pool.as_ptr())
            })?;
        }
        for queue in 0..config.tx_queues {
            // SAFETY: as above.
            port.step("setting up a TX queue", |id| unsafe { dpdk_sys::shim_tx_queue_setup(id, queue, tx) })?;
        }
        Ok(())
    }

    /// The MTU and who is listened to; drivers without such a setting (rings) take any frame.
    fn set_modes(&self, config: &PortConfig) -> Result<(), PortError> {
        let optional = |result: Result<i32, PortError>| match result {
            Err(PortError::Step { source, .. }) if source.is_unsupported() => Ok(0),
            other => other,
        };
        let port = &self.inner;
        optional(port.step("setting the MTU", |id| {
            // SAFETY: the port is ours.
            unsafe { dpdk_sys::rte_eth_dev_set_mtu(id, config.mtu) }
        }))?;
        // SAFETY: as above.
        optional(port.step("setting promiscuous mode", |id| unsafe {
            match config.promiscuous {
                true => dpdk_sys::rte_eth_promiscuous_enable(id),
                false => dpdk_sys::rte_eth_promiscuous_disable(id),
            }
        }))?;
        // IPv6 neighbours are asked for by multicast; the worker drops what is for other groups.
        // SAFETY: as above.
        optional(port.step("listening to all multicast groups", |id| unsafe {
            dpdk_sys::rte_eth_allmulticast_enable(id)
        }))?;
        Ok(())
    }
}

//! NICs on the PCI bus: what each is, and which driver has it.

use serde::Serialize;

use crate::system::System;

/// A network device on the PCI bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// `domain:bus:device.function`.
    pub address: String,
    /// PCI vendor, such as 0x8086.
    pub vendor: u16,
    /// PCI device of that vendor.
    pub device: u16,
    /// The kernel driver it is bound to.
    pub driver: Option<String>,
    /// Its network interfaces, while the kernel uses it.
    pub interfaces: Vec<String>,
    /// The devices it shares translation with: all of them must be bound to vfio-pci, or to nothing.
    pub iommu_group: Option<u32>,
    /// The NUMA node it is attached to.
    pub numa_node: Option<u32>,
}

/// Who can use a NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Binding {
    /// DPDK: it is bound to a driver that hands it over.
    UserSpace,
    /// Both: its driver serves the kernel and DPDK at once.
    Bifurcated,
    /// The kernel only.
    Kernel,
    /// Nobody.
    Unbound,
}

impl Nic {
    /// Who can use it, by its driver.
    #[must_use]
    pub fn binding(&self) -> Binding {
        match self.driver.as_deref() {
            Some("vfio-pci" | "igb_uio" | "uio_pci_generic") => Binding::UserSpace,
            Some("mlx4_core" | "mlx5_core" | "mana") => Binding::Bifurcated,
            Some(_) => Binding::Kernel,
            None => Binding::Unbound,
        }
    }
}

impl System {
    /// Every network device on the PCI bus, by address.
    #[must_use]
    pub fn nics(&self) -> Vec<Nic> {
        self.names("/sys/bus/pci/devices").iter().filter_map(|address| self.nic(address)).collect()
    }

    /// The network device at a full PCI address; none where there is no device, or one of another class.
    #[must_use]
    pub fn nic(&self, address: &str) -> Option<Nic> {
        /// The base class of network controllers, in the top byte of `class`.
        const NETWORK: u32 = 0x02;
        if !is_address(address) {
            return None;
        }
        let file = |name: &str| format!("/sys/bus/pci/devices/{address}/{name}");
        let hex = |name: &str| {
            let text = self.read(&file(name))?;
            u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
        };
        (hex("class")? >> 16 == NETWORK).then(|| Nic {
            address: address.to_owned(),
            vendor: hex("vendor").and_then(|id| u16::try_from(id).ok()).unwrap_or(0),
            device: hex("device").and_then(|id| u16::try_from(id).ok()).unwrap_or(0),
            driver: self.link_name(&file("driver")),
            interfaces: self.names(&file("net")),
            iommu_group: self.link_name(&file("iommu_group")).and_then(|group| group.parse().ok()),
            // -1 on a machine with one node.
            numa_node: self.read(&file("numa_node")).and_then(|node| node.parse().ok()),
        })
    }

    /// True when the kernel's vfio is loaded, so that DPDK can be given a NIC.
    #[must_use]
    pub fn has_vfio(&self) -> bool {
        self.exists("/dev/vfio/vfio") && self.exists("/sys/bus/pci/drivers/vfio-pci")
    }

    /// Groups of devices that an IOMMU translates for; 0 without one.
    #[must_use]
    pub fn iommu_groups(&self) -> usize {
        self.names("/sys/kernel/iommu_groups").len()
    }

    /// True when TUN devices can be made.
    #[must_use]
    pub fn has_tun(&self) -> bool {
        self.exists("/dev/net/tun")
    }
}

/// Nothing that would leave the directory of devices.
fn is_address(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        && !text.contains("..")
}

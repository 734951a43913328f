//! How a configuration names a device: a PCI address, or a virtual device with its arguments.

use std::fmt;
use std::str::FromStr;

/// A PCI function, `domain:bus:device.function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u16,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for PciAddress {
    type Err = DeviceError;

    /// `0000:01:00.0`, or `01:00.0` in domain 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || DeviceError::PciAddress { text: text.to_owned() };
        let (path, function) = text.rsplit_once('.').ok_or_else(wrong)?;
        let mut parts = path.rsplit(':');
        let device = hex(parts.next(), 2, 0x1f).ok_or_else(wrong)?;
        let bus = hex(parts.next(), 2, 0xff).ok_or_else(wrong)?;
        let domain = match parts.next() {
            Some(domain) => hex(Some(domain), 4, 0xffff).ok_or_else(wrong)?,
            None => 0,
        };
        let function = hex(Some(function), 1, 7).ok_or_else(wrong)?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        let byte = |value: u16| u8::try_from(value).map_err(|_| wrong());
        Ok(Self { domain, bus: byte(bus)?, device: byte(device)?, function: byte(function)? })
    }
}

/// Exactly `digits` hexadecimal digits, of a value up to `max`.
fn hex(text: Option<&str>, digits: usize, max: u16) -> Option<u16> {
    let text = text.filter(|text| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(text, 16).ok().filter(|&value| value <= max)
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// What a port is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A NIC, bound to a driver that DPDK can use.
    Pci(PciAddress),
    /// A virtual device: `net_tap0`, `net_null0`, `net_pcap0`, `net_af_packet0`, ... with its arguments.
    Vdev {
        /// Driver name and instance, such as `net_tap0`.
        name: String,
        /// The driver's arguments, `key=value,key=value`; may be empty.
        args: String,
    },
}

impl Device {
    /// The longest name DPDK stores, less its terminator.
    const NAME_MAX: usize = dpdk_sys::SHIM_NAME_SIZE as usize - 1;

    /// The name by which DPDK knows the device.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Pci(address) => address.to_string(),
            Self::Vdev { name, .. } => name.clone(),
        }
    }

    /// The NIC's address; a virtual device has none.
    #[must_use]
    pub fn pci(&self) -> Option<PciAddress> {
        match self {
            Self::Pci(address) => Some(*address),
            Self::Vdev { .. } => None,
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// A PCI address, or `name[,args]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, args) = text.split_once(',').unwrap_or((text, ""));
        if name.contains(':') || name.starts_with(|c: char| c.is_ascii_digit()) {
            return text.parse().map(Self::Pci);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > Self::NAME_MAX || !name.chars().all(plain) || args.contains('\0') {
            return Err(DeviceError::Vdev { text: text.to_owned() });
        }
        Ok(Self::Vdev { name: name.to_owned(), args: args.to_owned() })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Vdev { name, args } if args.is_empty() => f.write_str(name),
            Self::Vdev { name, args } => write!(f, "{name},{args}"),
        }
    }
}

/// A device that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Begins like a PCI address and is none.
    #[error("\"{text}\" is not a PCI address: write it as 0000:01:00.0 (lspci -D shows them)")]
    PciAddress {
        /// What was given.
        text: String,
    },
    /// Not a name with arguments.
    #[error(
        "\"{text}\" is not a device: write a PCI address (0000:01:00.0) or a virtual device such as \
         net_tap0,iface=outside0"
    )]
    Vdev {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_round_trip() {
        for text in ["0000:01:00.0", "ffff:ff:1f.7", "0000:5e:00.1"] {
            assert_eq!(text.parse::<Device>().expect(text).to_string(), text);
        }
        assert_eq!("01:00.0".parse::<Device>().expect("short").to_string(), "0000:01:00.0");
    }

    #[test]
    fn what_is_no_pci_address_is_refused_with_its_text() {
        for text in ["0000:01:00", "01:00.8", "01:20.0", "0:01:00.0:1", "1:00.0", "00000:01:00.0", "01:+0.0"]
        {
            let error = text.parse::<Device>().expect_err(text);
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn virtual_devices_keep_their_arguments() {
        let device: Device = "net_tap0,iface=out0,mac=02:00:00:00:00:01".parse().expect("vdev");
        assert_eq!(device.name(), "net_tap0");
        assert_eq!(device.to_string(), "net_tap0,iface=out0,mac=02:00:00:00:00:01");
        assert_eq!(device.pci(), None);
        for text in ["", ",iface=x", "net tap", "net_tap0;rm"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }
}

//! What is said of a port's steering when it starts.

use std::fmt;

use dpdk::HashFields;

use super::plan::{Obstacle, Path, Pattern, RuleForms, Steering};

impl Path {
    /// As people and the API call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneWorker => "one-worker",
            Self::HandOver => "hand-over",
            Self::Elsewhere => "elsewhere",
            Self::AddressHash => "address-hash",
            Self::InnerHash => "inner-hash",
            Self::SpiHash => "spi-hash",
            Self::SpiRules => "spi-rules",
        }
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.name())?;
        f.write_str(match self.path {
            Path::OneWorker => return Ok(()),
            Path::HandOver => ": the device does not spread packets, workers hand them over",
            Path::Elsewhere => ": the kernel or the other end spreads packets, workers hand over the rest",
            Path::AddressHash => ": packets are spread by their addresses, workers hand over the rest",
            Path::InnerHash => {
                ": packets are spread by their innermost addresses, workers hand over the rest"
            }
            Path::SpiHash => ": ESP is spread by its SPI, workers hand over the rest",
            Path::SpiRules => ": a rule for each SA leads to its worker",
        })?;
        if !self.rules.is_empty() {
            write!(f, "; rules for {}", self.rules)?;
        }
        if self.path > Path::AddressHash && self.hashing != HashFields::NONE {
            f.write_str("; the rest by addresses")?;
        }
        let mut none = Vec::new();
        for (better, obstacle) in &self.obstacles {
            match obstacle {
                Obstacle::NotOffered => none.push(better.name()),
                Obstacle::Refused(reason) => write!(f, "; {} refused ({reason})", better.name())?,
            }
        }
        if !none.is_empty() {
            write!(f, "; the driver has no {}", none.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for RuleForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (what, forms) in [("ESP", self.native), ("ESP in UDP", self.in_udp)] {
            for (family, form) in ["IPv4", "IPv6"].into_iter().zip(forms) {
                let Some(form) = form else { continue };
                let by = match form.pattern {
                    Pattern::Spi => "SPI",
                    Pattern::Ports => "ports",
                };
                write!(f, "{separator}{what} over {family} by {by}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

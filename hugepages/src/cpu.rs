//! Processors: how many, which are kept free of other work, and what they have for cryptography.

use serde::Serialize;

use crate::system::System;

/// The machine's processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpus {
    /// Those that run.
    pub online: Vec<u32>,
    /// Those the scheduler leaves alone (`isolcpus`), for workers.
    pub isolated: Vec<u32>,
}

/// Instructions that ESP's speed depends on; all must be in every processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CryptoFeatures {
    /// AES rounds.
    pub aes: bool,
    /// Carry-less multiplication, for GCM.
    pub pclmulqdq: bool,
    /// AES on wide registers.
    pub vaes: bool,
    /// Carry-less multiplication on wide registers.
    pub vpclmulqdq: bool,
    /// Registers of 512 bits with byte and word operations.
    pub avx512: bool,
}

impl CryptoFeatures {
    /// The names of what is there.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        [
            (self.aes, "AES-NI"),
            (self.pclmulqdq, "PCLMULQDQ"),
            (self.vaes, "VAES"),
            (self.vpclmulqdq, "VPCLMULQDQ"),
            (self.avx512, "AVX-512"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
        .collect()
    }
}

impl System {
    /// Processors by `/sys/devices/system/cpu`.
    #[must_use]
    pub fn cpus(&self) -> Cpus {
        let list = |file: &str| {
            let text = self.read(&format!("/sys/devices/system/cpu/{file}")).unwrap_or_default();
            parse_cpu_list(&text)
        };
        Cpus { online: list("online"), isolated: list("isolated") }
    }

    /// What all processors have, by `/proc/cpuinfo`.
    #[must_use]
    pub fn crypto_features(&self) -> CryptoFeatures {
        let text = self.read("/proc/cpuinfo").unwrap_or_default();
        let flags = |line: &str| {
            let (name, flags) = line.split_once(':')?;
            (name.trim() == "flags").then(|| flags.split_whitespace().map(str::to_owned).collect())
        };
        let processors: Vec<Vec<String>> = text.lines().filter_map(flags).collect();
        let all = |flag: &str| {
            !processors.is_empty() && processors.iter().all(|flags| flags.iter().any(|have| have == flag))
        };
        CryptoFeatures {
            aes: all("aes"),
            pclmulqdq: all("pclmulqdq"),
            vaes: all("vaes"),
            vpclmulqdq: all("vpclmulqdq"),
            avx512: all("avx512f") && all("avx512bw") && all("avx512vl"),
        }
    }
}

/// The kernel's list format, `0-3,8,10-11`. Parts that are none are left out.
fn parse_cpu_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists() {
        assert_eq!(parse_cpu_list("0-3,8,10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_cpu_list("5"), [5]);
        assert!(parse_cpu_list("").is_empty());
        assert_eq!(parse_cpu_list("x,2"), [2]);
    }
}

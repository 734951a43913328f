//! The packets of `tests/interop/golden/esp.py`.

use crypto::Suite;
use serde::{Deserialize, Serialize};

/// One packet of `golden.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Golden {
    /// Encryption, key bits, integrity.
    pub suite: (u16, u16, u16),
    pub natt: bool,
    /// The high half of the sequence number; none without ESN.
    pub esn: Option<u32>,
    pub seq: u32,
    pub spi: u32,
    pub enc_key: String,
    pub auth_key: String,
    pub iv: String,
    pub inner: String,
    pub wire: String,
}

impl Golden {
    pub fn suite(&self) -> Suite {
        let (encryption, key_bits, integrity) = self.suite;
        Suite::from_transforms(encryption, key_bits, integrity).expect("a suite of ours")
    }
}

pub fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/golden")
}

pub fn load(file: &str) -> Vec<Golden> {
    let text = std::fs::read_to_string(folder().join(file)).expect("run esp.py golden");
    serde_json::from_str(&text).expect("its format")
}

pub fn bytes(hex_text: &str) -> Vec<u8> {
    hex::decode(hex_text).expect("hexadecimal")
}

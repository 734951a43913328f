//! As much of strongSwan's control protocol, vici, as it takes to initiate.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Packet types.
const CMD_REQUEST: u8 = 0;
const CMD_RESPONSE: u8 = 1;
/// The element of a message that is a key with a value.
const KEY_VALUE: u8 = 3;
/// The longest answer that is read, bytes.
const MAX_ANSWER: u32 = 1 << 16;

/// A session with charon.
#[derive(Debug)]
pub(super) struct Vici(UnixStream);

impl Vici {
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        Ok(Self(UnixStream::connect(socket).context("charon's socket")?))
    }

    /// Begins to negotiate a child, and does not wait for what comes of it.
    pub(super) fn initiate(&mut self, connection: &str, child: &str) -> Result<()> {
        let mut packet = vec![CMD_REQUEST, 8];
        packet.extend_from_slice(b"initiate");
        for (key, value) in [("ike", connection), ("child", child), ("timeout", "-1")] {
            packet.extend_from_slice(&[KEY_VALUE, u8::try_from(key.len())?]);
            packet.extend_from_slice(key.as_bytes());
            packet.extend_from_slice(&u16::try_from(value.len())?.to_be_bytes());
            packet.extend_from_slice(value.as_bytes());
        }
        let answer = self.call(&packet)?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(answer.first() == Some(&CMD_RESPONSE) && text.contains("yes"), "charon: {text:?}");
        Ok(())
    }

    fn call(&mut self, packet: &[u8]) -> Result<Vec<u8>> {
        self.0.write_all(&u32::try_from(packet.len())?.to_be_bytes())?;
        self.0.write_all(packet)?;
        let mut len = [0; 4];
        self.0.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        ensure!(len <= MAX_ANSWER, "an answer of {len} bytes");
        let mut answer = vec![0; usize::try_from(len)?];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }
}

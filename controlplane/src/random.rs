//! The system's random source.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` with what nobody can guess.
///
/// # Errors
/// The system has none.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(())
}

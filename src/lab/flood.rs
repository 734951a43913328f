//! A flood of packets of any content, from a namespace of its own.

use super::{Namespace, hosts};
use anyhow::{Context, Result, anyhow};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets are sent in portions of so long.
const PORTION: Duration = Duration::from_millis(2);

/// A thread that sends until it is stopped, or dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<u64>>>,
}

impl Flood {
    /// Sends `packets` (from their IPv4 header on, whose checksum need not be right) to `to` by the routes of
    /// `namespace`, again and again, `per_second` of them or as many as this machine manages.
    ///
    /// # Errors
    /// If the thread does not start.
    pub fn start(
        namespace: &Namespace,
        to: Ipv4Addr,
        packets: Vec<Vec<u8>>,
        per_second: u32,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let place = namespace.name().to_owned();
        let told = Arc::clone(&stop);
        let sender = std::thread::Builder::new()
            .name("flood".into())
            .spawn(move || send(&place, to, &packets, per_second, &told))
            .context("a thread for the flood")?;
        Ok(Self { stop, sender: Some(sender) })
    }

    /// Ends it and says how many packets were sent.
    ///
    /// # Errors
    /// Why it could not send.
    pub fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let sender = self.sender.take().context("it was stopped before")?;
        sender.join().map_err(|_| anyhow!("the flood's thread panicked"))?
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(place: &str, to: Ipv4Addr, packets: &[Vec<u8>], per_second: u32, stop: &AtomicBool) -> Result<u64> {
    hosts::enter(place)?;
    // The packets bring their own IP headers.
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))
        .context("a raw socket")?;
    let to = SocketAddrV4::new(to, 0);
    let start = Instant::now();
    let mut sent = 0;
    let mut cycle = packets.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        let due = start.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
        // What was late is not made up for.
        let portion = PORTION.as_micros() * u128::from(per_second) / 1_000_000;
        let count = due.saturating_sub(u128::from(sent)).min(2 * portion);
        for packet in cycle.by_ref().take(usize::try_from(count)?) {
            // A full queue of the device is no error of the flood.
            sent += u64::from(rustix::net::sendto(&socket, packet, SendFlags::DONTWAIT, &to).is_ok());
        }
        std::thread::sleep(PORTION);
    }
    Ok(sent)
}

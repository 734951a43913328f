//! Steady UDP to an echo service (RFC 862), of which each datagram is accounted for.

use super::hosts;
use super::traffic::MARKER;
use super::{Lab, Namespace, Process};
use anyhow::{Context, Result, anyhow};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both ends' port.
pub(super) const ECHO: u16 = 7;
/// What is late by more than this is not made up for: it would come in a burst.
pub(super) const LATENESS: Duration = Duration::from_millis(5);
/// How long the last of them may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// What a socket has unless the machine is told to give more, bytes.
const BUFFER: u32 = 212_992;
/// Of so many lost ones it is told when they were sent.
const MAX_EXAMPLES: usize = 20;
/// Bytes of each: a number and a mark, and something to carry.
const SIZE: usize = 200;

/// What an echo service is on a machine with socat: it listens at `address` and answers one sender. `buffer` bytes wait for
/// it where it does not get to run.
pub(super) fn echo_command(address: &str, buffer: u32) -> [String; 2] {
    // Datagrams between the two processes too, so that each one stays one.
    [format!("UDP4-LISTEN:{ECHO},bind={address},rcvbuf={buffer}"), "EXEC:cat,socktype=2".to_owned()]
}

/// Starts the echo service in a namespace.
///
/// # Errors
/// If socat does not run.
pub fn echo(lab: &Lab, namespace: &Namespace, address: &str) -> Result<Process> {
    let [listen, exec] = echo_command(address, BUFFER);
    let echo = namespace.start("socat", &[&listen, &exec], &lab.folder().join("echo.log"))?;
    lab.wait_for("the echo service", Duration::from_secs(5), || {
        Ok(namespace.run("ss", &["-lunH", "sport", "=", ":7"])?.contains(address).then_some(()))
    })?;
    Ok(echo)
}

/// Datagrams on their way there and back, until it is stopped.
#[derive(Debug)]
pub struct Datagrams {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Delivered>>>,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Sent to the echo service.
    pub sent: usize,
    /// Those that did not come back.
    pub lost: usize,
    /// The longest time in which none came back.
    pub silence: Duration,
    /// When the first of them were sent that did not come back, since 1970.
    pub lost_at: Vec<Duration>,
}

impl Datagrams {
    /// Sends `per_second` of them from an address of `namespace` to the echo service at `to`.
    ///
    /// # Errors
    /// If an address is none, or the thread does not start.
    pub fn start(namespace: &Namespace, from: &str, to: &str, per_second: u32) -> Result<Self> {
        let [from, to] = [from, to].map(|address| address.parse::<Ipv4Addr>().context("an address"));
        let ends = [SocketAddrV4::new(from?, ECHO), SocketAddrV4::new(to?, ECHO)];
        let stop = Arc::new(AtomicBool::new(false));
        let (place, told) = (namespace.name().to_owned(), Arc::clone(&stop));
        let sender = std::thread::Builder::new()
            .name("datagrams".into())
            .spawn(move || {
                hosts::enter(&place)?;
                let socket = UdpSocket::bind(ends[0]).context("a UDP socket")?;
                socket.set_nonblocking(true)?;
                Ok(Run::new(socket, ends[1].into()).until(&told, Duration::from_secs(1) / per_second.max(1)))
            })
            .context("a thread for datagrams")?;
        Ok(Self { stop, sender: Some(sender) })
    }

    /// Ends it, and waits for the last of them.
    ///
    /// # Errors
    /// Why it could not send.
    pub fn stop(mut self) -> Result<Delivered> {
        self.stop.store(true, Ordering::Relaxed);
        let sender = self.sender.take().context("it was stopped before")?;
        sender.join().map_err(|_| anyhow!("the thread of datagrams panicked"))?
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One stream, and which of its datagrams are missing.
pub(super) struct Run {
    socket: UdpSocket,
    to: SocketAddr,
    /// By number, when it was sent, since 1970; none once it came back.
    missing: Vec<Option<Duration>>,
    last: Instant,
    silence: Duration,
}

impl Run {
    pub(super) fn new(socket: UdpSocket, to: SocketAddr) -> Self {
        Self { socket, to, missing: Vec::new(), last: Instant::now(), silence: Duration::ZERO }
    }

    fn until(mut self, stop: &AtomicBool, interval: Duration) -> Delivered {
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            due = due.max(now.checked_sub(LATENESS).unwrap_or(now));
            while due <= now {
                self.send();
                due += interval;
            }
            self.receive();
            std::thread::sleep(interval.min(Duration::from_millis(1)));
        }
        self.silence = self.silence.max(self.last.elapsed());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.lost() > 0 {
            self.receive();
            std::thread::sleep(Duration::from_millis(1));
        }
        self.delivered()
    }

    pub(super) fn delivered(&self) -> Delivered {
        let lost_at = self.missing.iter().flatten().take(MAX_EXAMPLES).copied().collect();
        Delivered { sent: self.missing.len(), lost: self.lost(), silence: self.silence, lost_at }
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(super) fn send(&mut self) {
        let mut payload = [0; SIZE];
        payload[..8].copy_from_slice(&(self.missing.len() as u64).to_be_bytes());
        payload[8..8 + MARKER.len()].copy_from_slice(&MARKER);
        // One that cannot be sent is lost, too.
        let _ = self.socket.send_to(&payload, self.to);
        self.missing.push(SystemTime::now().duration_since(UNIX_EPOCH).ok());
    }

    pub(super) fn receive(&mut self) {
        let mut payload = [0; SIZE];
        while let Ok(SIZE) = self.socket.recv(&mut payload) {
            let number = payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
            let place = usize::try_from(number).ok().and_then(|number| self.missing.get_mut(number));
            place.into_iter().for_each(|missing| *missing = None);
            self.silence = self.silence.max(self.last.elapsed());
            self.last = Instant::now();
        }
    }

    pub(super) fn lost(&self) -> usize {
        self.missing.iter().flatten().count()
    }
}

//! Many slow streams of datagrams at once, each to an echo service of its own: one thread sends, one answers.

use super::datagrams::{Delivered, ECHO, LATENESS, PATIENCE, Run};
use super::{Namespace, hosts};
use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest sleep: how soon a stop is seen.
const TICK: Duration = Duration::from_millis(50);

/// A thread with sockets of a namespace, until it is stopped or dropped.
#[derive(Debug)]
struct Worker<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<T>>>,
}

impl<T: Send + 'static> Worker<T> {
    /// Returns once the sockets are there.
    fn start(
        namespace: &Namespace,
        addresses: Vec<Ipv4Addr>,
        work: impl FnOnce(Vec<UdpSocket>, &AtomicBool) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (place, told) = (namespace.name().to_owned(), Arc::clone(&stop));
        let (ready, bound) = channel();
        let thread = std::thread::Builder::new().name("streams".into()).spawn(move || {
            let sockets = hosts::enter(&place).and_then(|()| sockets(&addresses))?;
            // Whoever started this waits for it, or is gone and stops it.
            let _ = ready.send(());
            work(sockets, &told)
        });
        let mut worker = Self { stop, thread: Some(thread.context("a thread for datagrams")?) };
        match Receiver::recv(&bound) {
            Ok(()) => Ok(worker),
            Err(_) => worker.join().and_then(|_| Err(anyhow!("no sockets"))),
        }
    }

    fn join(&mut self) -> Result<T> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it was stopped before")?;
        thread.join().map_err(|_| anyhow!("the thread of datagrams panicked"))?
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn sockets(addresses: &[Ipv4Addr]) -> Result<Vec<UdpSocket>> {
    let bind = |address: &Ipv4Addr| {
        let socket = UdpSocket::bind(SocketAddrV4::new(*address, ECHO));
        let socket = socket.with_context(|| format!("a UDP socket at {address}"))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    addresses.iter().map(bind).collect()
}

/// Waits, not longer than `patience`, and tells which sockets have something.
fn readable<'a>(sockets: impl Iterator<Item = &'a UdpSocket>, patience: Duration) -> Result<Vec<usize>> {
    let mut fds: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
    match poll(&mut fds, Timespec::try_from(patience).ok().as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno).context("waiting for datagrams"),
    }
    let ready = fds.iter().enumerate().filter(|(_, fd)| fd.revents().contains(PollFlags::IN));
    Ok(ready.map(|(index, _)| index).collect())
}

/// Echo services (RFC 862), one at each address, which answer whoever asks.
#[derive(Debug)]
pub struct Echoes {
    // It stops when this is dropped.
    _worker: Worker<()>,
}

impl Echoes {
    /// Starts them in a namespace that has the addresses.
    ///
    /// # Errors
    /// If it has not.
    pub fn start(namespace: &Namespace, addresses: Vec<Ipv4Addr>) -> Result<Self> {
        let serve = |sockets: Vec<UdpSocket>, stop: &AtomicBool| {
            let mut datagram = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                for index in readable(sockets.iter(), TICK)? {
                    while let Ok((len, from)) = sockets[index].recv_from(&mut datagram) {
                        // One that cannot be sent is lost, and counted where it is missed.
                        let _ = sockets[index].send_to(&datagram[..len], from);
                    }
                }
            }
            Ok(())
        };
        Ok(Self { _worker: Worker::start(namespace, addresses, serve)? })
    }
}

/// Datagrams on their way there and back in many streams, until they are stopped.
#[derive(Debug)]
pub struct Streams {
    worker: Worker<Vec<Delivered>>,
}

impl Streams {
    /// Sends `per_second` datagrams, all streams in turn, each from an address of `namespace` to its echo service.
    ///
    /// # Errors
    /// If the namespace has not these addresses.
    pub fn start(namespace: &Namespace, ends: &[[Ipv4Addr; 2]], per_second: u32) -> Result<Self> {
        let to: Vec<SocketAddr> = ends.iter().map(|[_, to]| SocketAddrV4::new(*to, ECHO).into()).collect();
        let from = ends.iter().map(|[from, _]| *from).collect();
        let interval = Duration::from_secs(1) / per_second.max(1);
        let work = move |sockets: Vec<UdpSocket>, stop: &AtomicBool| {
            let runs = sockets.into_iter().zip(to).map(|(socket, to)| Run::new(socket, to));
            drive(runs.collect(), stop, interval)
        };
        Ok(Self { worker: Worker::start(namespace, from, work)? })
    }

    /// Ends them, waits for the last datagrams, and tells of each stream what became of its own.
    ///
    /// # Errors
    /// Why it could not send.
    pub fn stop(mut self) -> Result<Vec<Delivered>> {
        self.worker.join()
    }
}

fn drive(mut runs: Vec<Run>, stop: &AtomicBool, interval: Duration) -> Result<Vec<Delivered>> {
    let (mut due, mut turn) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) && !runs.is_empty() {
        let now = Instant::now();
        due = due.max(now.checked_sub(LATENESS).unwrap_or(now));
        while due <= now {
            runs[turn].send();
            turn = (turn + 1) % runs.len();
            due += interval;
        }
        receive(&mut runs, due.saturating_duration_since(now).min(TICK))?;
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && runs.iter().any(|run| run.lost() > 0) {
        receive(&mut runs, TICK)?;
    }
    Ok(runs.iter().map(Run::delivered).collect())
}

fn receive(runs: &mut [Run], patience: Duration) -> Result<()> {
    let ready = readable(runs.iter().map(Run::socket), patience)?;
    ready.into_iter().for_each(|index| runs[index].receive());
    Ok(())
}

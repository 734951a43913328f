//! The other end of what is measured: our manager with UDP sockets in a namespace, a pair for each tunnel at work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use esplanade::lab::{Lab, Namespace};
use ike::{Datagram, IKE_PORT, Identity, NAT_T_PORT, Start, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::LinkNameSpaceType;

use super::{End, Role, SUBJECT, Suite, connection, inside, outside};

/// Tunnels that are negotiated at the same time.
const WINDOW: u32 = 8;
/// How long a tunnel may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The non-ESP marker (RFC 3948 section 2.2).
const MARKER: [u8; 4] = [0; 4];
/// The side of the tunnels, as [`connection`] numbers them, that the driver is.
const SIDE: u8 = 2;

/// The outer address of the driver's end of a tunnel.
pub(super) fn peer(tunnel: u32) -> Ipv4Addr {
    outside(SIDE, tunnel)
}

/// The network behind the driver's end of a tunnel, /24.
pub(super) fn peer_network(tunnel: u32) -> Ipv4Addr {
    inside(SIDE, tunnel)
}

/// The network behind the other end.
pub(super) fn subject_network(tunnel: u32) -> Ipv4Addr {
    inside(3 - SIDE, tunnel)
}

/// A host of it.
pub(super) fn subject_host(tunnel: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subject_network(tunnel)) + 1)
}

/// Takes the calling thread into a namespace: what sockets it makes from now on are there.
pub(super) fn enter(namespace: &Namespace) -> Result<()> {
    let place = format!("/run/netns/{}", namespace.name());
    let namespace = File::open(&place).with_context(|| place.clone())?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| place)
}

/// See the module.
pub(super) struct Driver<'a> {
    lab: &'a Lab,
    end: End,
    suite: &'a Suite,
    role: Role,
    started: Instant,
    sockets: BTreeMap<u32, [UdpSocket; 2]>,
}

impl<'a> Driver<'a> {
    /// The peer of somebody in `role`.
    pub(super) fn new(lab: &'a Lab, suite: &'a Suite, role: Role) -> Self {
        let (end, sockets) = (End::new(SIDE), BTreeMap::new());
        Self { lab, end, suite, role, started: Instant::now(), sockets }
    }

    /// Negotiates `tunnels`; `initiate` is called for each where the other end is the initiator.
    pub(super) fn negotiate(
        &mut self,
        tunnels: u32,
        mut initiate: impl FnMut(u32) -> Result<()>,
    ) -> Result<()> {
        let mut begun = 0;
        let mut progress = (0, Instant::now());
        while self.end.children < tunnels {
            self.lab.check_interrupt()?;
            while begun < tunnels && begun < self.end.children + WINDOW {
                self.begin(begun)?;
                if self.role == Role::Initiator {
                    initiate(begun)?;
                }
                begun += 1;
            }
            self.turn()?;
            self.end.events.clear();
            if self.end.children > progress.0 {
                progress = (self.end.children, Instant::now());
            }
            ensure!(progress.1.elapsed() < LIMIT, "{} of {tunnels} tunnels, and no more", self.end.children);
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time(Duration::from_secs(1) + self.started.elapsed())
    }

    /// Opens the sockets of a tunnel, closes those of one that was finished long ago, and lets the manager know of it.
    fn begin(&mut self, tunnel: u32) -> Result<()> {
        let open = |port| -> Result<UdpSocket> {
            let socket = UdpSocket::bind((peer(tunnel), port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        self.sockets.insert(tunnel, [open(IKE_PORT)?, open(NAT_T_PORT)?]);
        if let Some(old) = tunnel.checked_sub(4 * WINDOW) {
            self.sockets.remove(&old);
        }
        let mut connection = connection(SIDE, tunnel, self.suite)?;
        connection.remote = Some(IpAddr::V4(SUBJECT));
        connection.remote_id = Identity::Address(IpAddr::V4(SUBJECT));
        connection.start = match self.role {
            Role::Responder => Start::Immediate,
            Role::Initiator => Start::Respond,
        };
        let now = self.now();
        self.end.act(|manager| manager.set_connection(connection, now));
        Ok(())
    }

    /// Sends what is to be sent, and receives what comes within a few milliseconds.
    fn turn(&mut self) -> Result<()> {
        let now = self.now();
        self.end.act(|manager| manager.handle_timeout(now));
        for datagram in self.end.drain(now) {
            self.send(&datagram)?;
        }
        let sockets: Vec<&UdpSocket> = self.sockets.values().flatten().collect();
        let mut fds: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let few = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        if poll(&mut fds, Some(&few))? == 0 {
            return Ok(());
        }
        let mut arrived = Vec::new();
        for (socket, fd) in sockets.iter().zip(&fds) {
            if fd.revents().contains(PollFlags::IN) {
                receive(socket, &mut arrived)?;
            }
        }
        let now = self.now();
        for datagram in arrived {
            self.end.act(|manager| manager.handle_message(datagram, now));
        }
        Ok(())
    }

    fn send(&self, datagram: &Datagram) -> Result<()> {
        let pair = self.sockets.iter().find(|(tunnel, _)| IpAddr::V4(peer(**tunnel)) == datagram.local.ip());
        // What is sent for a tunnel that is done is nothing that anybody waits for.
        let Some((_, [plain, marked])) = pair else { return Ok(()) };
        if datagram.local.port() == NAT_T_PORT {
            marked.send_to(&[&MARKER[..], &datagram.payload].concat(), datagram.remote)?;
        } else {
            plain.send_to(&datagram.payload, datagram.remote)?;
        }
        Ok(())
    }
}

/// All that waits in a socket.
fn receive(socket: &UdpSocket, arrived: &mut Vec<Datagram>) -> Result<()> {
    let local: SocketAddr = socket.local_addr()?;
    let mut buffer = [0; 4096];
    loop {
        let (len, remote) = match socket.recv_from(&mut buffer) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let bytes = &buffer[..len];
        let payload = if local.port() == NAT_T_PORT { bytes.strip_prefix(&MARKER) } else { Some(bytes) };
        // Anything else on that port is a keepalive.
        if let Some(payload) = payload {
            arrived.push(Datagram { vrf: 0, local, remote, payload: payload.to_vec() });
        }
    }
}

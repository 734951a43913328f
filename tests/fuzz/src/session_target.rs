//! A whole session: two gateways, and a network that is the fuzzer's.
//!
//! The input's first byte chooses who begins, whether the keys agree, and whether messages are cut; each two after it are a
//! step: what happens, and to what.

use std::time::Duration;

use ike::{Command, Datagram, IkeSaId, InstallChild, Start, Time};

use super::session_ends::{End, PSK, START};

/// Datagrams that are on their way; the oldest make room.
const MAX_IN_FLIGHT: usize = 32;
/// Steps of a run: a key exchange takes as long as a thousand other things.
const MAX_STEPS: usize = 192;
/// Fragments this short make several of IKE_AUTH.
const SHORT: u16 = 128;

/// The two gateways, what is on its way to which of them, and what was.
struct Session {
    ends: [End; 2],
    in_flight: Vec<(usize, Datagram)>,
    recorded: Vec<(usize, Datagram)>,
    now: Time,
    keys_agree: bool,
}

/// See the module.
pub fn ike_session(data: &[u8]) {
    let [options, steps @ ..] = data else { return };
    let mut session = Session::new(*options);
    session.flush();
    for step in steps.chunks_exact(2).take(MAX_STEPS) {
        session.step(step[0], step[1]);
        session.flush();
        session.check();
    }
}

impl Session {
    fn new(options: u8) -> Self {
        let starts = match options & 3 {
            0 => [Start::Immediate, Start::Respond],
            1 => [Start::Respond, Start::Immediate],
            2 => [Start::Immediate; 2],
            _ => [Start::OnTraffic; 2],
        };
        let keys_agree = options & 4 == 0;
        let other: &[u8] = if keys_agree { PSK } else { b"known to one" };
        let fragment_size = (options & 8 != 0).then_some(SHORT).or(Some(ike::FRAGMENT_SIZE));
        let ends = [End::new(1, PSK, starts[0], fragment_size), End::new(2, other, starts[1], fragment_size)];
        let (in_flight, recorded) = (Vec::new(), Vec::new());
        let mut session = Self { ends, in_flight, recorded, now: START, keys_agree };
        session.pass(Duration::ZERO);
        session
    }

    /// One thing happens; `what` chooses it, `arg` which datagram, which byte, how long.
    fn step(&mut self, what: u8, arg: u8) {
        let at = usize::from(arg) % self.in_flight.len().max(1);
        let picked = self.in_flight.get(at).cloned();
        match what & 15 {
            0..=3 => {
                if let Some((to, datagram)) = picked {
                    self.in_flight.remove(at);
                    self.deliver(to, datagram);
                }
            }
            4 => self.in_flight.truncate(at),
            5 => self.in_flight.extend(picked),
            6 => {
                if let Some((to, datagram)) = picked {
                    self.deliver(to, datagram);
                }
            }
            // Byte `arg` of the oldest, or counted from its end.
            7 | 8 => self.mutate(what & 15 == 8, usize::from(arg), what >> 4),
            9 => {
                if let Some((_, datagram)) = self.in_flight.first_mut() {
                    datagram.payload.truncate(usize::from(arg) * 2);
                }
            }
            10 => self.replay(usize::from(arg), what & 16 != 0),
            11 => self.pass(Duration::from_millis(u64::from(arg) * 20)),
            12 => self.pass(Duration::from_secs(u64::from(arg))),
            13 => self.ends[usize::from(what >> 4 & 1)].toggle_failing(),
            _ => self.command(usize::from(what >> 4 & 1), arg),
        }
    }

    fn deliver(&mut self, to: usize, datagram: Datagram) {
        self.ends[to].manager.handle_message(datagram, self.now);
    }

    fn mutate(&mut self, from_the_end: bool, at: usize, bits: u8) {
        let Some((_, datagram)) = self.in_flight.first_mut() else { return };
        let len = datagram.payload.len();
        let at = if from_the_end { len.checked_sub(at + 1) } else { Some(at) };
        if let Some(byte) = at.and_then(|at| datagram.payload.get_mut(at)) {
            *byte ^= 1 << (bits & 7);
        }
    }

    /// A datagram of before comes again, or from another address.
    fn replay(&mut self, at: usize, elsewhere: bool) {
        let Some((to, mut datagram)) = self.recorded.get(at).cloned() else { return };
        if elsewhere {
            datagram.remote.set_port(datagram.remote.port() ^ 0x100);
        }
        self.deliver(to, datagram);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for end in &mut self.ends {
            end.manager.handle_timeout(self.now);
        }
    }

    fn command(&mut self, side: usize, arg: u8) {
        let key = super::session_ends::KEY;
        let end = &mut self.ends[side];
        let spi = end.spis.get(usize::from(arg >> 4)).copied().unwrap_or_default();
        let ike_sa = end.manager.ike_sas().nth(usize::from(arg >> 4)).map_or(IkeSaId(0), |sa| sa.id);
        let command = match arg & 15 {
            0..=2 => Command::Initiate(key),
            3 | 4 => Command::RekeyChild(spi),
            5 | 6 => Command::RekeyIke(ike_sa),
            7 => Command::DeleteChild(spi),
            8 => Command::DeleteIke(ike_sa),
            9 => Command::Down(key),
            10 => Command::SoftLimit(spi),
            11 => Command::HardLimit(spi),
            12 => Command::Heard { spi, at: self.now },
            13 => Command::DataPlaneRestarted,
            _ => Command::FirstUse(spi),
        };
        end.manager.handle_command(command, self.now);
    }

    /// What both want to send is on its way.
    fn flush(&mut self) {
        for from in 0..2 {
            for sent in self.ends[from].drain(self.now) {
                let arriving = Datagram { local: sent.remote, remote: sent.local, ..sent };
                self.recorded.push((1 - from, arriving.clone()));
                self.in_flight.push((1 - from, arriving));
            }
        }
        let surplus = self.in_flight.len().saturating_sub(MAX_IN_FLIGHT);
        self.in_flight.drain(..surplus);
    }

    /// # Panics
    /// When a gateway installed keys that no peer with the pre-shared key agreed to.
    fn check(&self) {
        for (ours, theirs) in [(0, 1), (1, 0)] {
            let [ours, theirs] = [ours, theirs].map(|at| &self.ends[at]);
            assert!(self.keys_agree || ours.installed.is_empty(), "a child without a valid AUTH");
            for child in &ours.installed {
                assert_eq!(
                    child.peer_spi >> 16,
                    u32::from(theirs.side),
                    "an SPI that the peer did not choose"
                );
                let other = theirs.installed.iter().find(|other| is_pair(child, other));
                if let Some(other) = other {
                    assert!(child.inbound == other.outbound && child.outbound == other.inbound, "other keys");
                }
            }
        }
    }
}

fn is_pair(child: &InstallChild, other: &InstallChild) -> bool {
    child.spi == other.peer_spi && other.spi == child.peer_spi
}

/// A tunnel that comes up, one whose messages are lost and damaged, and one that is rekeyed from both ends.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let up = [0, 0].repeat(8);
    let rekeyed = [&up[..], &[14, 3, 30, 3, 14, 5, 30, 5], &[0, 0].repeat(24)].concat();
    let lossy = [&[0, 0, 4, 0, 11, 60, 6, 0, 7, 40, 0, 0, 11, 120], &[0, 0, 5, 0].repeat(12)[..]].concat();
    let aged = [&up[..], &[12, 255, 0, 0, 12, 30].repeat(12)].concat();
    let with = |options: u8, steps: &[u8]| [&[options], steps].concat();
    vec![
        ("up", with(0, &up)),
        ("fragments", with(8, &[0, 0].repeat(16))),
        ("both-begin", with(2, &[0, 0].repeat(16))),
        ("wrong-key", with(4, &[0, 0].repeat(8))),
        ("rekeyed", with(1, &rekeyed)),
        ("lossy", with(0, &lossy)),
        ("aged", with(0, &aged)),
    ]
}

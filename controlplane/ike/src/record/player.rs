//! Plays a recording again: the same manager, the same inputs at the same times, no peer and no keys.

use std::time::Duration;

use super::tape::Script;
use super::{Answer, Entry, MAX_CONNECTIONS, MAX_ENTRIES, Recording, VERSION, What};
use crate::config::{Config, Connection, ConnectionKey, Start};
use crate::manager::IkeManager;
use crate::manager::command::{Command, RequestId, SaCommand, SaReply};
use crate::manager::event::Event;
use crate::time::Time;
use crate::wire::IkeSpi;

/// Longest recording.
const LONGEST: Duration = Duration::from_secs(3600);
/// A negotiation that ended by time may take so much longer: not every timer of a recording is known.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shortest time in a configuration: with less, time would stand still.
const SHORTEST_TIME: Duration = Duration::from_millis(1);
/// Longest time in a configuration: no clock of a gateway comes near it.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Timers that a recording may set off.
const MAX_TIMERS: usize = 20_000;

/// Why something is not a recording that can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Of another release.
    #[error(
        "the recording is of version {0}, this program replays version {VERSION}: use the release that recorded it"
    )]
    Version(u32),
    /// Not as any recorder writes it.
    #[error("this is no recording of a negotiation: {0}")]
    Malformed(&'static str),
}

/// What comes of the negotiation when everything happens again: failures, and whether the tunnel comes up.
///
/// # Errors
/// When it is no recording, or one of another release.
pub fn replay(recording: &Recording) -> Result<Vec<What>, ReplayError> {
    check(recording)?;
    let mut player = Player::new(recording);
    for (index, entry) in recording.entries.iter().enumerate() {
        player.pass_until(player.began + entry.at)?;
        player.play(entry, &recording.entries[index + 1..]);
    }
    let ended = player.now;
    if player.results.is_empty() && recording.results().next().is_some() {
        player.pass_until(ended + PATIENCE)?;
    }
    Ok(player.results)
}

fn check(recording: &Recording) -> Result<(), ReplayError> {
    let Recording { version, key, connections, entries, .. } = recording;
    if *version != VERSION {
        return Err(ReplayError::Version(*version));
    }
    if !times(recording).all(|time| (SHORTEST_TIME..=LONGEST_TIME).contains(&time)) {
        return Err(ReplayError::Malformed("a time of its configuration is out of range"));
    }
    let is_whole = |c: &Connection| {
        !c.ike_proposals.is_empty()
            && !c.child.proposals.is_empty()
            && !c.child.local_ts.is_empty()
            && !c.child.remote_ts.is_empty()
    };
    if connections.len() > MAX_CONNECTIONS || entries.len() > MAX_ENTRIES {
        return Err(ReplayError::Malformed("it has too many connections or entries"));
    }
    if recording.wall_clock > 100 * LONGEST_TIME {
        return Err(ReplayError::Malformed("its clock is out of range"));
    }
    if !connections.iter().any(|c| c.key == *key) || !connections.iter().all(is_whole) {
        return Err(ReplayError::Malformed("a connection is missing or incomplete"));
    }
    let in_order = entries.windows(2).all(|pair| pair[0].at <= pair[1].at);
    if !in_order || entries.last().is_some_and(|last| last.at > LONGEST) {
        return Err(ReplayError::Malformed("its times are out of order"));
    }
    Ok(())
}

/// Those that timers are set by.
fn times(recording: &Recording) -> impl Iterator<Item = Duration> {
    let Recording { connections, config, entries, .. } = recording;
    let Config { retransmit, half_open_timeout, retry, linger, install_timeout, .. } = config;
    let of_gateway =
        [*half_open_timeout, retry.0, retry.1, *linger, *install_timeout, retransmit.first, retransmit.max];
    let of_connections =
        connections.iter().flat_map(|c| [c.ike_lifetime, c.reauth, c.child.lifetime, c.dpd_timeout]);
    let pauses =
        entries.iter().map(|entry| if let What::Pause(pause) = entry.what { Some(pause) } else { None });
    of_connections.chain(pauses).flatten().chain(of_gateway)
}

/// A command that the data plane has not answered.
struct Asked {
    key: ConnectionKey,
    what: Question,
    request: RequestId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Reserve,
    Install,
}

struct Player {
    manager: IkeManager,
    began: Time,
    now: Time,
    /// How often one was due.
    timers: usize,
    tunnel: ConnectionKey,
    /// Commands to the data plane without an answer.
    asked: Vec<Asked>,
    results: Vec<What>,
}

impl Player {
    fn new(recording: &Recording) -> Self {
        let began = Time::from_secs(1);
        let mut manager = IkeManager::new(recording.config.clone(), [0; 32], began);
        manager.set_wall_clock(recording.wall_clock, began);
        for connection in &recording.connections {
            // Nothing begins by itself: the recording says when.
            manager.set_connection(Connection { start: Start::Respond, ..connection.clone() }, began);
        }
        let whats = || recording.entries.iter().map(|entry| &entry.what);
        let spi = |what: &What| if let What::Spi(spi) = what { Some(IkeSpi(*spi)) } else { None };
        let pause = |what: &What| if let What::Pause(pause) = what { Some(*pause) } else { None };
        let proof = |what: &What| if let What::Proof(right) = what { Some(*right) } else { None };
        manager.play(Script {
            spis: whats().filter_map(spi).collect(),
            pauses: whats().filter_map(pause).collect(),
            proofs: whats().filter_map(proof).collect(),
            text: None,
        });
        let (tunnel, asked) = (recording.key, Vec::new());
        Self { manager, began, now: began, timers: 0, tunnel, asked, results: Vec::new() }
    }

    /// Lets time pass.
    fn pass_until(&mut self, then: Time) -> Result<(), ReplayError> {
        while let Some(due) = self.manager.poll_timeout().filter(|due| *due <= then) {
            self.timers += 1;
            if self.timers > MAX_TIMERS {
                return Err(ReplayError::Malformed("its timers never end"));
            }
            self.now = self.now.max(due);
            self.manager.handle_timeout(self.now);
            self.drain();
        }
        self.now = then;
        Ok(())
    }

    /// Does again what came from outside; what `later` says about it is at hand.
    fn play(&mut self, entry: &Entry, later: &[Entry]) {
        match &entry.what {
            What::Begun { key, flow } => self.manager.negotiate(*key, *flow, self.now),
            What::Wanted { key, flow } => self.manager.bring_up(*key, *flow, self.now),
            What::Down(key) => self.manager.handle_command(Command::Down(*key), self.now),
            What::Received(datagram) => {
                let next = later.iter().take_while(|entry| !entry.what.is_input());
                let text = next.filter_map(|entry| match &entry.what {
                    What::Opened(sealed) => Some(sealed.clone()),
                    _ => None,
                });
                self.manager.script(|script| script.text = text.last());
                self.manager.handle_message(datagram.clone(), self.now);
                self.manager.script(|script| script.text = None);
            }
            What::Answer { key, answer } => {
                let is_meant = |asked: &Asked| asked.key == *key && answer.fits(asked.what);
                if let Some(index) = self.asked.iter().position(is_meant) {
                    let request = self.asked.remove(index).request;
                    self.manager.handle_sa_reply(answer.to(request), self.now);
                }
            }
            What::Opened(_)
            | What::Made(_)
            | What::Sent(_)
            | What::Pause(_)
            | What::Spi(_)
            | What::Proof(_)
            | What::Failed(_)
            | What::Up => {}
        }
        self.drain();
    }

    fn drain(&mut self) {
        while self.manager.poll_journal().is_some() {}
        while let Some(command) = self.manager.poll_sa_command() {
            match command {
                SaCommand::ReserveSpi { request, owner, .. } => {
                    self.asked.push(Asked { key: owner.key, what: Question::Reserve, request });
                }
                SaCommand::InstallChild(install) => {
                    let (key, request) = (install.owner.key, install.request);
                    self.asked.push(Asked { key, what: Question::Install, request });
                }
                SaCommand::ReleaseSpi { .. }
                | SaCommand::ActivateOutbound { .. }
                | SaCommand::DeleteChild { .. }
                | SaCommand::UpdateOuter { .. } => {}
            }
        }
        while self.manager.poll_transmit().is_some() {}
        while let Some(event) = self.manager.poll_event() {
            // The first result was the end of the recording.
            if self.results.last().is_some_and(|last| !last.is_half()) {
                continue;
            }
            match event {
                Event::Failed(diagnosis) if diagnosis.connection == Some(self.tunnel) => {
                    self.results.push(What::Failed(diagnosis));
                }
                Event::ChildEstablished { key, .. } if key == self.tunnel => self.results.push(What::Up),
                _ => {}
            }
        }
    }
}

impl What {
    /// Whether it came from outside.
    fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Begun { .. }
                | Self::Wanted { .. }
                | Self::Down(_)
                | Self::Received(_)
                | Self::Answer { .. }
        )
    }

    fn is_half(&self) -> bool {
        matches!(self, Self::Failed(diagnosis) if diagnosis.code.is_half_failure())
    }
}

impl Answer {
    fn fits(self, question: Question) -> bool {
        match self {
            Self::Reserved(_) => question == Question::Reserve,
            Self::Installed => question == Question::Install,
            Self::Failed(_) => true,
        }
    }

    fn to(self, request: RequestId) -> SaReply {
        match self {
            Self::Reserved(spi) => SaReply::SpiReserved { request, spi },
            Self::Installed => SaReply::Installed { request },
            Self::Failed(code) => SaReply::Failed { request, code },
        }
    }
}

//! Where a negotiation meets its recording: while it happens, and when it is played again.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Answer, Entry, MAX_BYTES, MAX_ENTRIES, Recording, Sealed, VERSION, What};
use crate::config::{Config, Connection, ConnectionKey};
use crate::crypto::{Plain, Secret};
use crate::manager::command::{Datagram, IkeSaId, SaReply};
use crate::manager::connections::{Connections, Place};
use crate::manager::event::Event;
use crate::sa::core::Path;
use crate::time::Time;
use crate::wire::iana::PayloadType;
use crate::wire::{Header, IkeSpi, Payload, encode_chain};

/// Off nearly always. Only what depends on secrets or on chance, and what enters and leaves, passes here.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    #[default]
    Off,
    Recording(Box<Recorder>),
    Playing(Box<Script>),
}

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    place: Place,
    /// The IKE SAs that began since.
    ike_sas: BTreeSet<IkeSaId>,
    started: Time,
    now: Time,
    bytes: usize,
    /// Whether what happens now belongs to the negotiation.
    attends: bool,
    over: bool,
}

/// What a recording says about the outcome of what cannot be done again.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(super) spis: VecDeque<IkeSpi>,
    pub(super) pauses: VecDeque<Duration>,
    pub(super) proofs: VecDeque<bool>,
    /// The text of the datagram that is handled.
    pub(super) text: Option<Sealed>,
}

impl Recorder {
    pub(crate) fn new(
        connection: &Connection,
        connections: Vec<Connection>,
        config: &Config,
        wall_clock: Duration,
        now: Time,
    ) -> Self {
        let place = connection.place();
        let (key, entries) = (connection.key, Vec::new());
        let recording = Recording {
            version: VERSION,
            key,
            wall_clock,
            config: config.clone(),
            connections,
            entries,
            cut: false,
        };
        Self {
            recording,
            place,
            ike_sas: BTreeSet::new(),
            started: now,
            now,
            bytes: 0,
            attends: false,
            over: false,
        }
    }

    fn push(&mut self, what: What) {
        if self.over {
            return;
        }
        self.bytes += what.len();
        if self.bytes > MAX_BYTES || self.recording.entries.len() == MAX_ENTRIES {
            (self.over, self.recording.cut) = (true, true);
            return;
        }
        self.recording.entries.push(Entry { at: self.now.since(self.started), what });
    }
}

impl Tape {
    /// What follows happens at `now` on this path, and to this IKE SA if there is one already.
    pub(crate) fn attend(
        &mut self,
        path: &Path,
        ike_sa: Option<IkeSaId>,
        connections: &Connections,
        now: Time,
    ) {
        if let Self::Recording(recorder) = self {
            let nearest = connections.between(path.vrf, path.local.ip(), path.remote.ip()).next();
            let is_here = nearest.is_some_and(|nearest| nearest.place() == recorder.place);
            recorder.attends = is_here && ike_sa.is_none_or(|id| recorder.ike_sas.contains(&id));
            recorder.now = now;
        }
    }

    /// What follows happens at `now` to a new IKE SA of this connection.
    pub(crate) fn attend_connection(&mut self, connection: &Connection, now: Time) {
        if let Self::Recording(recorder) = self {
            recorder.attends = recorder.place == connection.place();
            recorder.now = now;
        }
    }

    /// What just happened began this IKE SA.
    pub(crate) fn began(&mut self, ike_sa: IkeSaId) {
        if let Self::Recording(recorder) = self
            && recorder.attends
            && !recorder.over
        {
            recorder.ike_sas.insert(ike_sa);
        }
    }

    /// Notes what happened, if it belongs to the negotiation.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> What) {
        if let Self::Recording(recorder) = self
            && recorder.attends
        {
            recorder.push(what());
        }
    }

    pub(crate) fn received(&mut self, datagram: &Datagram) {
        self.note(|| What::Received(datagram.clone()));
    }

    /// Somebody wants a tunnel taken down.
    pub(crate) fn down(&mut self, key: ConnectionKey, now: Time) {
        if let Self::Recording(recorder) = self
            && recorder.recording.connections.iter().any(|connection| connection.key == key)
        {
            recorder.now = now;
            recorder.push(What::Down(key));
        }
    }

    /// A connection changes: what was recorded with the old one ends.
    pub(crate) fn cut(&mut self, key: ConnectionKey) {
        if let Self::Recording(recorder) = self
            && recorder.recording.connections.iter().any(|connection| connection.key == key)
            && !recorder.over
        {
            (recorder.over, recorder.recording.cut) = (true, true);
        }
    }

    /// The data plane answered an IKE SA of this tunnel.
    pub(crate) fn answer(&mut self, key: Option<ConnectionKey>, reply: SaReply) {
        let Some(key) = key else { return };
        let answer = match reply {
            SaReply::SpiReserved { spi, .. } => Answer::Reserved(spi),
            SaReply::Installed { .. } => Answer::Installed,
            SaReply::Failed { code, .. } => Answer::Failed(code),
        };
        self.note(|| What::Answer { key, answer });
    }

    /// A result of the negotiation ends the recording, unless the tunnel comes up in spite of it.
    pub(crate) fn event(&mut self, event: &Event) {
        let Self::Recording(recorder) = self else { return };
        if !recorder.attends {
            return;
        }
        let key = recorder.recording.key;
        match event {
            Event::Failed(diagnosis) if diagnosis.connection == Some(key) => {
                let is_half = diagnosis.code.is_half_failure();
                recorder.push(What::Failed(diagnosis.clone()));
                recorder.over |= !is_half;
            }
            Event::ChildEstablished { key: of, .. } if *of == key => {
                recorder.push(What::Up);
                recorder.over = true;
            }
            _ => {}
        }
    }

    /// The SPI of a new IKE SA: the one that was drawn, or that of the recording.
    pub(crate) fn spi(&mut self, drawn: IkeSpi) -> IkeSpi {
        self.note(|| What::Spi(drawn.0));
        match self {
            Self::Playing(script) => script.spis.pop_front().unwrap_or(drawn),
            Self::Off | Self::Recording(_) => drawn,
        }
    }

    /// The pause before a request is sent again: the one that was drawn, or that of the recording.
    pub(crate) fn pause(&mut self, drawn: Duration) -> Duration {
        self.note(|| What::Pause(drawn));
        match self {
            Self::Playing(script) => script.pauses.pop_front().unwrap_or(drawn),
            Self::Off | Self::Recording(_) => drawn,
        }
    }

    /// Whether a proof was right: as was found, or as the recording says.
    pub(crate) fn proof(&mut self, found: bool) -> bool {
        self.note(|| What::Proof(found));
        match self {
            Self::Playing(script) => script.proofs.pop_front().unwrap_or(false),
            Self::Off | Self::Recording(_) => found,
        }
    }

    /// A message was opened.
    pub(crate) fn opened(&mut self, plain: &Plain) {
        let text = || plain.text.expose().to_vec();
        self.note(|| What::Opened(Sealed { first: plain.first_inner.0, text: text() }));
    }

    /// A message is about to be sealed.
    pub(crate) fn made(&mut self, payloads: &[Payload]) {
        self.note(|| {
            let mut text = Vec::new();
            let first = encode_chain(payloads, &mut text).unwrap_or(PayloadType::NONE);
            What::Made(Sealed { first: first.0, text })
        });
    }

    /// What the recording says the datagram with this header held.
    pub(crate) fn replayed(&mut self, header: &Header) -> Option<Plain> {
        let Self::Playing(script) = self else { return None };
        let Sealed { first, text } = script.text.take()?;
        Some(Plain { header: *header, first_inner: PayloadType(first), text: Secret::new(text) })
    }

    /// The tunnel whose negotiation is recorded.
    pub(crate) fn subject(&self) -> Option<ConnectionKey> {
        match self {
            Self::Recording(recorder) => Some(recorder.recording.key),
            Self::Off | Self::Playing(_) => None,
        }
    }

    /// Nothing more is recorded: there is a result, or no room.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Recording(recorder) if recorder.over)
    }

    /// Ends the recording.
    pub(crate) fn take(&mut self) -> Option<Recording> {
        match std::mem::take(self) {
            Self::Recording(recorder) => Some(recorder.recording),
            Self::Off | Self::Playing(_) => None,
        }
    }
}

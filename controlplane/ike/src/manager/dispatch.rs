//! Which IKE SA a datagram belongs to, and what becomes of those that belong to none.

use super::IkeManager;
use super::command::Datagram;
use super::event::Event;
use crate::config::Config;
use crate::record::What;
use crate::sa::core::Path;
use crate::sa::{IkeSa, Input};
use crate::time::Time;
use crate::v2::fault::{Fault, Stage};
use crate::v2::sa_init;
use crate::wire::iana::{ExchangeType, NotifyType};
use crate::wire::{Flags, Header, Message, NotifyPayload, Payload, Version};

impl IkeManager {
    pub(super) fn dispatch(&mut self, datagram: &Datagram, now: Time) {
        let Ok((header, _)) = Header::decode(&datagram.payload) else {
            self.out.counters.malformed += 1;
            return;
        };
        match header.version.major {
            2 => {}
            1 => {
                self.out.counters.ikev1 += 1;
                if header.responder_spi.is_zero() {
                    self.tape.received(datagram);
                    self.tell(&Fault::OldVersion(header.version), datagram, now);
                }
                return;
            }
            _ => {
                self.out.counters.unsupported_version += 1;
                if !header.flags.response {
                    self.refuse(datagram, &header, NotifyPayload::new(NotifyType::INVALID_MAJOR_VERSION, []));
                }
                return;
            }
        }
        if header.exchange == ExchangeType::IKE_SA_INIT && !header.flags.response {
            return self.first_message(datagram, &header, now);
        }
        // The flag tells whether the sender is the original initiator: then we are the responder.
        let ours = if header.flags.initiator { header.responder_spi } else { header.initiator_spi };
        let found = self.index.by_our_spi(ours).filter(|id| {
            self.sas.get(id).is_some_and(|sa| {
                sa.core.initiator != header.flags.initiator
                    && sa.core.spis.initiator == header.initiator_spi
                    && (sa.core.spis.responder == header.responder_spi || sa.core.spis.responder.is_zero())
            })
        });
        match found {
            Some(id) => self.touch(id, now, |sa, cx| {
                cx.tape.received(datagram);
                sa.handle(&Input::Message(datagram, &header), cx);
            }),
            None => self.outside(datagram, &header, now),
        }
    }

    /// IKE_SA_INIT from a peer: a new IKE SA, or the same message again.
    fn first_message(&mut self, datagram: &Datagram, header: &Header, now: Time) {
        if !header.flags.initiator || !header.responder_spi.is_zero() || header.message_id.0 != 0 {
            self.out.counters.unexpected += 1;
            return;
        }
        if let Some(id) = self.index.half_open(datagram, header.initiator_spi) {
            let repeated = self.sas.get(&id).and_then(|sa| sa.repeated_first(datagram));
            match repeated {
                Some(response) => {
                    self.out.counters.duplicates += 1;
                    self.out.counters.sent += 1;
                    self.out.transmits.push_back(response);
                }
                None => self.out.counters.unexpected += 1,
            }
            return;
        }
        self.tape.received(datagram);
        if self.index.half_open_count() >= self.config.max_half_open {
            self.out.counters.half_open_limit += 1;
            return;
        }
        let responded = match Message::decode(&datagram.payload) {
            Ok(request) if !self.admits(datagram, &request, now) => return,
            Ok(request) => {
                self.tape.attend(&Path::of(datagram), None, &self.connections, now);
                IkeSa::respond(datagram, &request, &mut self.context(now))
            }
            Err(error) => Err(Fault::Decode(error)),
        };
        match responded {
            Ok(sa) => {
                let id = sa.core.id;
                self.tape.began(id);
                self.sas.insert(id, sa);
                self.sync(id);
            }
            Err(fault) => {
                if matches!(fault, Fault::Crypto(_)) {
                    self.vain.count(now, self.config.half_open_timeout);
                }
                self.refuse_first(&fault, datagram, header, now);
            }
        }
    }

    /// Whether anything is kept or computed for a first message: not for one of many, unless its sender shows by a
    /// cookie that the address is its own, and not for too many of one address. A cookie is asked for well before
    /// that limit, so that nobody can use up the room of an address that is another's; and the last quarter of all
    /// room is for peers whose address a connection names.
    fn admits(&mut self, datagram: &Datagram, request: &Message, now: Time) -> bool {
        let (all, from_there) = (self.index.half_open_count(), self.index.half_open_from(datagram));
        let vain = self.vain.lately(now, self.config.half_open_timeout);
        let Config {
            cookie_threshold,
            cookie_threshold_per_source,
            max_half_open_per_source,
            max_half_open,
            ..
        } = self.config;
        let under_load = all + vain >= cookie_threshold || from_there >= cookie_threshold_per_source;
        // What is no beginning at all gets a shorter answer than a cookie.
        let is_whole = request.sa().is_some() && request.ke().is_some() && request.nonce().is_some();
        let mut cookies = std::mem::take(&mut self.cookies);
        let mut cx = self.context(now);
        let unproven = under_load && is_whole && !cookies.is_met(datagram, request, &mut cx);
        let challenge = unproven.then(|| cookies.challenge(datagram, request, &mut cx));
        let named =
            || sa_init::candidates(&Path::of(datagram), &cx).first().is_some_and(|c| c.remote.is_some());
        let is_full = from_there >= max_half_open_per_source || all >= max_half_open / 4 * 3 && !named();
        self.cookies = cookies;
        if let Some(challenge) = challenge {
            self.out.counters.cookies += 1;
            self.refuse(datagram, &request.header, challenge);
            return false;
        }
        self.out.counters.half_open_limit += u64::from(is_full);
        !is_full
    }

    fn refuse_first(&mut self, fault: &Fault, datagram: &Datagram, header: &Header, now: Time) {
        let notify = match fault {
            Fault::Stranger { .. } => {
                self.out.counters.unknown_peer += 1;
                fault.notification()
            }
            Fault::Decode(_) => {
                self.out.counters.malformed += 1;
                fault.notification()
            }
            _ => fault.notification(),
        };
        self.refuse(datagram, header, notify);
        if !matches!(fault, Fault::WrongGroup(_) | Fault::Decode(_)) {
            self.tell(fault, datagram, now);
        }
    }

    /// A first message leads to nothing: tells it of the connection that it was most likely meant for.
    fn tell(&mut self, fault: &Fault, datagram: &Datagram, now: Time) {
        let cx = self.context(now);
        let key = sa_init::candidates(&Path::of(datagram), &cx).first().map(|c| c.key);
        let diagnosis = fault.diagnosis(Stage::Init, key, cx.connection(key));
        self.raise(Event::Failed(diagnosis));
    }

    /// Answers a request with one unprotected notification (RFC 7296 section 2.21).
    pub(super) fn refuse(&mut self, datagram: &Datagram, request: &Header, notify: NotifyPayload) {
        let flags = Flags { initiator: !request.flags.initiator, version: false, response: true };
        let header = Header { version: Version::V2, flags, ..*request };
        let message = Message { header, payloads: vec![Payload::Notify(notify)] };
        if let Ok(payload) = message.encode() {
            let answer = Datagram { payload, ..datagram.clone() };
            self.out.counters.sent += 1;
            self.tape.note(|| What::Sent(answer.clone()));
            self.out.transmits.push_back(answer);
        }
    }
}

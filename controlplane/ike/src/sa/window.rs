//! Message IDs, requests in flight and answered requests (RFC 7296 sections 2.1 to 2.3), window size 1.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::config::Retransmit;
use crate::time::Time;
use crate::wire::{Message, MessageId};

/// A message as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// One, or the fragments (RFC 7383).
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// What they were made of, where it could be cut into shorter ones.
    pub(crate) message: Option<Box<Message>>,
}

impl Sealed {
    /// One datagram, which stays as it is.
    pub(crate) fn whole(datagram: Vec<u8>) -> Self {
        Self { datagrams: vec![datagram], message: None }
    }
}

/// A request of ours that waits for its response. It is repeated byte by byte, or cut smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) id: MessageId,
    pub(crate) sealed: Sealed,
    /// When it was sent first.
    pub(crate) since: Time,
    /// Repetitions so far.
    pub(crate) tries: u32,
    /// The pause after the last transmission.
    pub(crate) pause: Duration,
}

/// What a request of the peer is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one.
    New,
    /// The last one again: its response was sent.
    Answered,
    /// The one being worked on.
    InProgress,
    /// Outside the window: to be ignored (RFC 7296 section 2.3).
    Outside,
}

/// Both directions' message IDs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Window {
    next_request: MessageId,
    in_flight: Option<InFlight>,
    next_expected: MessageId,
    working_on: Option<MessageId>,
    answered: Option<Answered>,
}

/// The response to the peer's last request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answered {
    sealed: Sealed,
    /// Repetitions so far.
    tries: u32,
}

impl Window {
    /// The ID of our next request; `None` when the numbers are used up.
    pub(crate) fn next_request(&self) -> Option<MessageId> {
        self.next_request.next().map(|_| self.next_request)
    }

    /// A request was built with the next ID.
    pub(crate) fn sent(&mut self, sealed: Sealed, first_pause: Duration, now: Time) {
        let id = self.next_request;
        self.next_request = MessageId(id.0.saturating_add(1));
        self.in_flight = Some(InFlight { id, sealed, since: now, tries: 0, pause: first_pause });
    }

    /// IKE_SA_INIT again, with a cookie or another group: the ID stays 0 (RFC 7296 section 2.2).
    pub(crate) fn resent_first(&mut self, bytes: Vec<u8>, first_pause: Duration, now: Time) {
        self.next_request = MessageId(1);
        let sealed = Sealed::whole(bytes);
        self.in_flight =
            Some(InFlight { id: MessageId(0), sealed, since: now, tries: 0, pause: first_pause });
    }

    pub(crate) fn in_flight(&self) -> Option<&InFlight> {
        self.in_flight.as_ref()
    }

    /// The time that passed before counts for nothing: the response could not have been seen.
    pub(crate) fn excuse(&mut self, now: Time) {
        if let Some(request) = &mut self.in_flight {
            request.since = now;
        }
    }

    /// The request that is sent again, and whether it was sent in vain so often that it should be cut smaller.
    pub(crate) fn request_again(&mut self) -> Option<(&mut Sealed, bool)> {
        let InFlight { sealed, tries, .. } = self.in_flight.as_mut()?;
        Some((sealed, is_in_vain(*tries)))
    }

    /// The response that is sent again because its request came again; as [`Window::request_again`].
    pub(crate) fn response_again(&mut self) -> Option<(&mut Sealed, bool)> {
        let Answered { sealed, tries } = self.answered.as_mut()?;
        *tries = tries.saturating_add(1);
        Some((sealed, is_in_vain(*tries)))
    }

    /// Whether a response with this ID answers our request.
    pub(crate) fn is_awaited(&self, id: MessageId) -> bool {
        self.in_flight.as_ref().is_some_and(|request| request.id == id)
    }

    /// The response arrived, or none will.
    pub(crate) fn settled(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// Counts a repetition; gives the pause after it, or `None` when `limited` and there were enough.
    pub(crate) fn repeat(&mut self, policy: &Retransmit, limited: bool) -> Option<Duration> {
        let request = self.in_flight.as_mut()?;
        if limited && request.tries >= policy.tries {
            return None;
        }
        request.tries += 1;
        request.pause = (request.pause * policy.growth_percent / 100).min(policy.max);
        Some(request.pause)
    }

    /// Where a request of the peer stands.
    pub(crate) fn classify(&self, id: MessageId) -> Arrival {
        if self.working_on == Some(id) {
            return Arrival::InProgress;
        }
        if id == self.next_expected && self.working_on.is_none() {
            return Arrival::New;
        }
        let is_last = self.answered.is_some() && id.next() == Some(self.next_expected);
        if is_last { Arrival::Answered } else { Arrival::Outside }
    }

    /// Work on a request of the peer begins.
    pub(crate) fn begin(&mut self, id: MessageId) {
        self.working_on = Some(id);
    }

    /// It was answered with this.
    pub(crate) fn answered(&mut self, id: MessageId, response: Sealed) {
        self.working_on = None;
        self.next_expected = MessageId(id.0.saturating_add(1));
        self.answered = Some(Answered { sealed: response, tries: 0 });
    }
}

/// Of the repetitions every second: one lost message says nothing about its size.
fn is_in_vain(tries: u32) -> bool {
    tries > 0 && tries.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(byte: u8) -> Sealed {
        Sealed::whole(vec![byte])
    }

    #[test]
    fn a_request_is_new_once_then_answered_from_the_cache_then_outside() {
        let mut window = Window::default();
        assert_eq!(window.classify(MessageId(0)), Arrival::New);
        assert_eq!(window.classify(MessageId(1)), Arrival::Outside);
        window.begin(MessageId(0));
        assert_eq!(window.classify(MessageId(0)), Arrival::InProgress);
        window.answered(MessageId(0), sealed(1));
        assert_eq!(window.classify(MessageId(0)), Arrival::Answered);
        assert_eq!(window.response_again(), Some((&mut sealed(1), false)));
        assert_eq!(window.classify(MessageId(1)), Arrival::New);
        window.begin(MessageId(1));
        window.answered(MessageId(1), sealed(2));
        assert_eq!(window.classify(MessageId(0)), Arrival::Outside);
    }

    #[test]
    fn pauses_grow_to_the_limit_and_end() {
        let policy = Retransmit { tries: 3, max: Duration::from_secs(3), ..Retransmit::default() };
        let mut window = Window::default();
        window.sent(sealed(1), policy.first, Time::default());
        let pauses: Vec<_> =
            std::iter::from_fn(|| window.repeat(&policy, true)).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [1800, 3000, 3000]);
        assert!(window.repeat(&policy, false).is_some());
    }

    #[test]
    fn what_is_sent_in_vain_is_cut_smaller_now_and_then() {
        let policy = Retransmit::default();
        let mut window = Window::default();
        window.sent(sealed(1), policy.first, Time::default());
        let mut cut = || {
            window.repeat(&policy, true)?;
            window.request_again().map(|(_, cut)| cut)
        };
        let turns: Vec<bool> = std::iter::from_fn(&mut cut).collect();
        assert_eq!(turns, [false, true, false, true, false]);
        window.answered(MessageId(0), sealed(2));
        let turns: Vec<bool> = (0..4).filter_map(|_| window.response_again().map(|(_, cut)| cut)).collect();
        assert_eq!(turns, [false, true, false, true]);
    }

    #[test]
    fn message_ids_do_not_wrap() {
        let window = Window { next_request: MessageId(u32::MAX), ..Window::default() };
        assert_eq!(window.next_request(), None);
    }
}

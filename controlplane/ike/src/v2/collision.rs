//! What to do when both ends act at once: pure rules, each with its section of RFC 7296.
//!
//! The rules of first light; the whole matrix has its place here.

use crate::wire::Nonce;
use crate::wire::iana::NotifyType;

/// The lowest nonce of an exchange, which stands for the SA it created.
///
/// Section 2.8.1: "the lowest of the four nonces" is compared octet by octet, which is the order of bytes.
pub(crate) fn lowest_nonce(initiator: &Nonce, responder: &Nonce) -> Nonce {
    initiator.min(responder).clone()
}

/// Sections 2.8.1 and 2.8.2: of two SAs made by crossing exchanges, the one whose exchange had the lowest of
/// the four nonces is redundant, and the end that created it closes it.
pub(crate) fn is_redundant(ours: &Nonce, theirs: &Nonce) -> bool {
    ours < theirs
}

/// What we are doing while a request of the peer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Busy {
    /// A CHILD_SA is being created, replaced or closed by us.
    pub(crate) child_exchange: bool,
    /// This IKE SA is being replaced by us.
    pub(crate) rekeying_ike: bool,
    /// This IKE SA is being closed, or was replaced.
    pub(crate) closing_ike: bool,
}

/// Section 2.25.2: a request to replace the IKE SA meets our own exchanges.
pub(crate) fn refuse_ike_rekey(busy: Busy) -> Option<NotifyType> {
    (busy.closing_ike || busy.child_exchange).then_some(NotifyType::TEMPORARY_FAILURE)
}

/// Section 2.25.2: a request to create a CHILD_SA meets our own exchanges on the IKE SA.
pub(crate) fn refuse_new_child(busy: Busy) -> Option<NotifyType> {
    (busy.closing_ike || busy.rekeying_ike).then_some(NotifyType::TEMPORARY_FAILURE)
}

/// What is known about the CHILD_SA that the peer wants to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rekeyed {
    /// There is none with that SPI.
    Unknown,
    /// We are closing it.
    Closing,
    /// It is there.
    Usable,
}

/// Section 2.25.1: a request to replace a CHILD_SA that we close or do not have.
pub(crate) fn refuse_child_rekey(child: Rekeyed, busy: Busy) -> Option<NotifyType> {
    match child {
        _ if refuse_new_child(busy).is_some() => Some(NotifyType::TEMPORARY_FAILURE),
        // It may be the one whose response has not reached us yet.
        Rekeyed::Unknown if busy.child_exchange => Some(NotifyType::TEMPORARY_FAILURE),
        Rekeyed::Unknown => Some(NotifyType::CHILD_SA_NOT_FOUND),
        Rekeyed::Closing => Some(NotifyType::TEMPORARY_FAILURE),
        Rekeyed::Usable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(first: u8) -> Nonce {
        Nonce::new([&[first][..], &[7; 31]].concat()).unwrap()
    }

    #[test]
    fn exactly_one_of_two_crossing_sas_is_redundant() {
        let (ours, theirs) = (lowest_nonce(&nonce(9), &nonce(3)), lowest_nonce(&nonce(4), &nonce(200)));
        assert!(is_redundant(&ours, &theirs));
        assert!(!is_redundant(&theirs, &ours));
    }

    #[test]
    fn a_closing_ike_sa_refuses_everything_new() {
        let busy = Busy { closing_ike: true, ..Busy::default() };
        assert_eq!(refuse_ike_rekey(busy), Some(NotifyType::TEMPORARY_FAILURE));
        assert_eq!(refuse_child_rekey(Rekeyed::Unknown, busy), Some(NotifyType::TEMPORARY_FAILURE));
    }

    #[test]
    fn an_unknown_child_is_named_as_such() {
        let refused = refuse_child_rekey(Rekeyed::Unknown, Busy::default());
        assert_eq!(refused, Some(NotifyType::CHILD_SA_NOT_FOUND));
        assert_eq!(refuse_child_rekey(Rekeyed::Usable, Busy::default()), None);
    }
}

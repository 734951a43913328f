//! Watches the wire for what must never be seen there.

use ike::Datagram;
use ike::wire::iana::ExchangeType;
use ike::wire::{IkeSpi, Message, MessageId};
use std::collections::BTreeMap;

use crate::{Invariant, Side, Tally};

/// Sender, IKE SA, direction, message ID, number of the fragment and how many they are, 0 for a whole message.
type Name = (Side, IkeSpi, IkeSpi, bool, MessageId, [u16; 2]);

/// Every protected message so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// By sender, IKE SA and IV: the message.
    ivs: BTreeMap<(Side, IkeSpi, IkeSpi, Vec<u8>), Vec<u8>>,
    messages: BTreeMap<Name, Vec<u8>>,
    pub(crate) tally: Tally,
}

impl Audit {
    /// Bytes compared as an IV: all of a GCM one, half of a CBC one (which is random).
    const IV_LEN: usize = 8;

    /// Looks at a datagram that `sender` sends.
    pub(crate) fn sent(&mut self, sender: Side, datagram: &Datagram) {
        let message = Message::decode(&datagram.payload).expect("we send well-formed messages");
        let header = message.header;
        let spis = (header.initiator_spi, header.responder_spi);
        let whole = message.encrypted().map(|sealed| ([0, 0], &sealed.body));
        let part =
            message.encrypted_fragment().map(|fragment| ([fragment.number, fragment.total], &fragment.body));
        let Some((number, body)) = whole.or(part) else {
            let plain = header.exchange == ExchangeType::IKE_SA_INIT || message.error_notify().is_some();
            let what = || format!("an unprotected {} message", header.exchange);
            return self.tally.check(Invariant::NothingInClear, plain, what);
        };
        let iv = body[..Self::IV_LEN].to_vec();
        let known = self.ivs.entry((sender, spis.0, spis.1, iv)).or_insert_with(|| datagram.payload.clone());
        let same = *known == datagram.payload;
        self.tally.check(Invariant::IvsDiffer, same, || "an IV was used for two messages".into());
        let id = (sender, spis.0, spis.1, header.flags.response, header.message_id, number);
        let known = self.messages.entry(id).or_insert_with(|| datagram.payload.clone());
        let same = *known == datagram.payload;
        let what = || format!("message {} was sent with different bytes", header.message_id);
        self.tally.check(Invariant::RepeatsAreEqual, same, what);
    }
}

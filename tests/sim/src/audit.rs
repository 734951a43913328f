//! Watches the wire for what must never be seen there.

use ike::Datagram;
use ike::wire::iana::ExchangeType;
use ike::wire::{IkeSpi, Message, MessageId};
use std::collections::BTreeMap;

/// Sender, IKE SA, direction, message ID and number of the fragment, 0 for a whole message.
type Name = (usize, IkeSpi, IkeSpi, bool, MessageId, u16);

/// Every protected message so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// By sender, IKE SA and IV: the message.
    ivs: BTreeMap<(usize, IkeSpi, IkeSpi, Vec<u8>), Vec<u8>>,
    messages: BTreeMap<Name, Vec<u8>>,
}

impl Audit {
    /// Bytes compared as an IV: all of a GCM one, half of a CBC one (which is random).
    const IV_LEN: usize = 8;

    /// Looks at a datagram that `sender` sends.
    pub(crate) fn sent(&mut self, sender: usize, datagram: &Datagram) {
        let message = Message::decode(&datagram.payload).expect("we send well-formed messages");
        let header = message.header;
        let spis = (header.initiator_spi, header.responder_spi);
        let whole = message.encrypted().map(|sealed| (0, &sealed.body));
        let part = message.encrypted_fragment().map(|fragment| (fragment.number, &fragment.body));
        let Some((number, body)) = whole.or(part) else {
            let plain = header.exchange == ExchangeType::IKE_SA_INIT || message.error_notify().is_some();
            assert!(plain, "an unprotected {} message", header.exchange);
            return;
        };
        let iv = body[..Self::IV_LEN].to_vec();
        let known = self.ivs.entry((sender, spis.0, spis.1, iv)).or_insert_with(|| datagram.payload.clone());
        assert_eq!(known, &datagram.payload, "an IV was used for two messages");
        let id = (sender, spis.0, spis.1, header.flags.response, header.message_id, number);
        let known = self.messages.entry(id).or_insert_with(|| datagram.payload.clone());
        assert_eq!(known, &datagram.payload, "message {} was sent with different bytes", header.message_id);
    }
}

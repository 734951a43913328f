//! Watches the wire for what must never be seen there.

use ike::Datagram;
use ike::wire::iana::ExchangeType;
use ike::wire::{IkeSpi, Message, MessageId};
use std::collections::BTreeMap;

/// Every protected message so far.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// By sender, IKE SA and IV: the message.
    ivs: BTreeMap<(usize, IkeSpi, IkeSpi, Vec<u8>), Vec<u8>>,
    /// By sender, IKE SA, direction and message ID: the message.
    messages: BTreeMap<(usize, IkeSpi, IkeSpi, bool, MessageId), Vec<u8>>,
}

impl Audit {
    /// Bytes compared as an IV: all of a GCM one, half of a CBC one (which is random).
    const IV_LEN: usize = 8;

    /// Looks at a datagram that `sender` sends.
    pub(crate) fn sent(&mut self, sender: usize, datagram: &Datagram) {
        let message = Message::decode(&datagram.payload).expect("we send well-formed messages");
        let header = message.header;
        let spis = (header.initiator_spi, header.responder_spi);
        let Some(sealed) = message.encrypted() else {
            let plain = header.exchange == ExchangeType::IKE_SA_INIT || message.error_notify().is_some();
            assert!(plain, "an unprotected {} message", header.exchange);
            return;
        };
        let iv = sealed.body[..Self::IV_LEN].to_vec();
        let known = self.ivs.entry((sender, spis.0, spis.1, iv)).or_insert_with(|| datagram.payload.clone());
        assert_eq!(known, &datagram.payload, "an IV was used for two messages");
        let id = (sender, spis.0, spis.1, header.flags.response, header.message_id);
        let known = self.messages.entry(id).or_insert_with(|| datagram.payload.clone());
        assert_eq!(known, &datagram.payload, "message {} was sent with different bytes", header.message_id);
    }
}

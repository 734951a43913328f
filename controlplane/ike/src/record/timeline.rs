//! A recording as people read it: one line for each thing that happened.

use std::fmt;

use super::{Answer, Entry, Sealed, What};
use crate::crypto::{Plain, Secret};
use crate::manager::command::Datagram;
use crate::wire::iana::PayloadType;
use crate::wire::{Flags, Header, IkeSpi, Message, MessageId, Payload, Version};

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} s  {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begun { key, .. } => write!(f, "we begin an IKE SA for tunnel {key}"),
            Self::Wanted { key, .. } => write!(f, "tunnel {key} is to have a CHILD_SA"),
            Self::Down(key) => write!(f, "tunnel {key} is to go down"),
            Self::Received(datagram) => write!(f, "from {}: {}", datagram.remote, Outside(datagram)),
            Self::Opened(sealed) => write!(f, "  it holds {sealed}"),
            Self::Made(sealed) => write!(f, "  we seal {sealed}"),
            Self::Sent(datagram) => write!(f, "to {}: {}", datagram.remote, Outside(datagram)),
            Self::Pause(pause) => {
                write!(f, "  we ask again in {:.3} s without an answer", pause.as_secs_f64())
            }
            Self::Spi(spi) => write!(f, "  our SPI is {}", IkeSpi(*spi)),
            Self::Proof(true) => f.write_str("  the peer's proof is right"),
            Self::Proof(false) => f.write_str("  the peer's proof is wrong"),
            Self::Answer { answer: Answer::Reserved(spi), .. } => {
                write!(f, "the data plane reserves SPI {spi:08x}")
            }
            Self::Answer { answer: Answer::Installed, .. } => {
                f.write_str("the data plane has installed the CHILD_SA")
            }
            Self::Answer { answer: Answer::Failed(code), .. } => {
                write!(f, "the data plane refuses: error {code}")
            }
            Self::Failed(diagnosis) => write!(f, "FAILED {diagnosis}"),
            Self::Up => f.write_str("the CHILD_SA is up"),
        }
    }
}

/// What can be seen of a datagram without keys.
struct Outside<'a>(&'a Datagram);

impl fmt::Display for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.payload.len();
        let Ok((header, _)) = Header::decode(&self.0.payload) else {
            return write!(f, "{len} bytes that are no IKE message");
        };
        let direction = if header.flags.response { "response" } else { "request" };
        write!(f, "{} {direction} {}, {len} bytes", header.exchange, header.message_id)?;
        match Message::decode(&self.0.payload) {
            Ok(message) => write!(f, ": {}", Names(&message.payloads)),
            Err(error) => write!(f, ": {error}"),
        }
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spi, flags) = (IkeSpi(1), Flags::default());
        let exchange = crate::wire::iana::ExchangeType::INFORMATIONAL;
        let header = Header {
            initiator_spi: spi,
            responder_spi: spi,
            version: Version::V2,
            exchange,
            flags,
            message_id: MessageId(0),
        };
        let text = Secret::new(self.text.clone());
        match (Plain { header, first_inner: PayloadType(self.first), text }).read() {
            Ok(message) if message.payloads.is_empty() => f.write_str("nothing"),
            Ok(message) => Names(&message.payloads).fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

/// The kinds of payloads, notifications by their names.
struct Names<'a>(&'a [Payload]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, payload) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match payload {
                Payload::Notify(notify) => write!(f, "{space}N({})", notify.notify_type)?,
                Payload::IdInitiator(id) | Payload::IdResponder(id) => {
                    write!(f, "{space}{}({id})", payload.payload_type())?;
                }
                other => write!(f, "{space}{}", other.payload_type())?,
            }
        }
        Ok(())
    }
}

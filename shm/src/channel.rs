//! Typed ends of the rings: messages and packets.

use std::marker::PhantomData;
use std::sync::Arc;

use zeroize::Zeroize;

use crate::error::{SendError, SessionError};
use crate::layout::{RingLayout, RingName};
use crate::memory::Mapping;
use crate::message::packet::{PACKET_HEADER_LEN, put_packet_header, take_packet_header};
use crate::message::{Field, HEADER_LEN, MAX_PACKET_LEN, Message, SlotHeader};
use crate::ring::{Consumer, Producer};

use zerocopy::FromBytes;

/// Sends messages of one kind.
#[derive(Debug)]
pub(crate) struct Sender<M> {
    name: RingName,
    ring: Producer,
    slot: Box<[u8]>,
    message: PhantomData<fn(M)>,
}

impl<M: Message> Sender<M> {
    pub(crate) fn new(memory: &Arc<Mapping>, name: RingName, layout: RingLayout) -> Self {
        let ring = Producer::new(Arc::clone(memory), layout);
        Self { name, ring, slot: vec![0; M::SLOT_LEN].into_boxed_slice(), message: PhantomData }
    }

    pub(crate) fn send(&mut self, message: &M) -> Result<(), SendError> {
        let len = message.encode(&mut self.slot);
        let pushed = self.ring.push(&[&self.slot[..len]]);
        self.slot[..len].zeroize();
        match pushed {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::Full),
            Err(source) => Err(SessionError::Index { ring: self.name, source }.into()),
        }
    }

    pub(crate) fn room(&mut self) -> Result<usize, SessionError> {
        let room = self.ring.room().map_err(|source| SessionError::Index { ring: self.name, source })?;
        Ok(usize::try_from(room).unwrap_or(usize::MAX))
    }
}

/// Receives messages of one kind. Wipes what it read, in the ring and here.
#[derive(Debug)]
pub(crate) struct Receiver<M> {
    name: RingName,
    ring: Consumer,
    slot: Box<[u8]>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Receiver<M> {
    pub(crate) fn new(memory: &Arc<Mapping>, name: RingName, layout: RingLayout) -> Self {
        let ring = Consumer::new(Arc::clone(memory), layout);
        Self { name, ring, slot: vec![0; M::SLOT_LEN].into_boxed_slice(), message: PhantomData }
    }

    pub(crate) fn receive(&mut self) -> Result<Option<M>, SessionError> {
        let ready = self.ring.ready().map_err(|source| SessionError::Index { ring: self.name, source })?;
        if !ready {
            return Ok(None);
        }
        let decoded = self.decode_front();
        self.slot.zeroize();
        self.ring.release(self.ring.slot_len());
        decoded.map(Some).map_err(|source| SessionError::Message { ring: self.name, source })
    }

    /// The header is copied and checked first; the body is then copied by the length in our copy.
    fn decode_front(&mut self) -> Result<M, crate::message::DecodeError> {
        self.ring.copy(0, &mut self.slot[..HEADER_LEN]);
        let (header, _) = SlotHeader::read_from_prefix(&self.slot).map_err(|_| {
            crate::message::DecodeError::Length { expected: HEADER_LEN, found: self.slot.len() }
        })?;
        let len = header.message_len(self.slot.len())?;
        self.ring.copy(HEADER_LEN, &mut self.slot[HEADER_LEN..len]);
        M::decode(&self.slot[..len])
    }
}

/// Sends packets with a descriptor.
#[derive(Debug)]
pub(crate) struct PacketSender<D> {
    name: RingName,
    ring: Producer,
    descriptor: PhantomData<fn(D)>,
}

impl<D: Field> PacketSender<D> {
    pub(crate) fn new(memory: &Arc<Mapping>, name: RingName, layout: RingLayout) -> Self {
        Self { name, ring: Producer::new(Arc::clone(memory), layout), descriptor: PhantomData }
    }

    pub(crate) fn send(&mut self, descriptor: &D, packet: &[u8]) -> Result<(), SendError> {
        let len = match u16::try_from(packet.len()) {
            Ok(len) if len > 0 && packet.len() <= MAX_PACKET_LEN => len,
            _ => return Err(SendError::PacketLength(packet.len())),
        };
        match self.ring.push(&[&put_packet_header(descriptor, len), packet]) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::Full),
            Err(source) => Err(SessionError::Index { ring: self.name, source }.into()),
        }
    }
}

/// Receives packets with a descriptor.
#[derive(Debug)]
pub(crate) struct PacketReceiver<D> {
    name: RingName,
    ring: Consumer,
    descriptor: PhantomData<fn() -> D>,
}

impl<D: Field> PacketReceiver<D> {
    pub(crate) fn new(memory: &Arc<Mapping>, name: RingName, layout: RingLayout) -> Self {
        Self { name, ring: Consumer::new(Arc::clone(memory), layout), descriptor: PhantomData }
    }

    /// Copies the next packet into the front of `into` and returns its descriptor and length.
    pub(crate) fn receive(
        &mut self,
        into: &mut [u8; MAX_PACKET_LEN],
    ) -> Result<Option<(D, usize)>, SessionError> {
        let ready = self.ring.ready().map_err(|source| SessionError::Index { ring: self.name, source })?;
        if !ready {
            return Ok(None);
        }
        let mut header = [0; PACKET_HEADER_LEN];
        self.ring.copy(0, &mut header);
        let (descriptor, len) = take_packet_header(&header)
            .map_err(|source| SessionError::Message { ring: self.name, source })?;
        self.ring.copy(PACKET_HEADER_LEN, &mut into[..len]);
        self.ring.release(0);
        Ok(Some((descriptor, len)))
    }
}

//! Reading the counters page, from any process that was handed it.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use zerocopy::FromBytes;

use crate::counters::layout::{
    DESCRIPTION_LEN, Dimensions, FORMAT, HEADER_DIMENSIONS, HEADER_FORMAT, HEADER_MAGIC, HEADER_STARTED,
    Layout, MAGIC, NAME_LEN, SA_HEARD, TEXT_LEN, TRAFFIC_WORDS,
};
use crate::counters::{CountersError, InterfaceDescription, Text};
use crate::memory::{Mapping, WORD};
use crate::message::{Field, InterfaceId, Label, PortId, SaTotals, Spi, VlanId, VrfId};

/// Traffic of an interface, of one worker or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceTotals {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// In the order of [`CountersReader::reasons`].
    pub drops: Vec<u64>,
}

/// A read-only mapping of the page.
#[derive(Debug)]
pub struct CountersReader {
    memory: Mapping,
    layout: Layout,
    reasons: Vec<Text>,
    figures: Vec<Text>,
    worker_figures: Vec<Text>,
}

impl CountersReader {
    /// Maps the page behind `fd`, checking magic, format and that all dimensions fit.
    pub fn map(fd: &OwnedFd) -> Result<Self, CountersError> {
        let len = crate::memory::sealed_len(fd)?;
        let len = usize::try_from(len).map_err(|_| CountersError::Dimensions)?;
        if len < 4096 {
            return Err(CountersError::Dimensions);
        }
        let memory = Mapping::read_only(fd, len)?;
        match memory.load(HEADER_MAGIC, Ordering::Acquire) {
            MAGIC => {}
            magic => return Err(CountersError::Magic(magic)),
        }
        match memory.load(HEADER_FORMAT, Ordering::Relaxed) {
            FORMAT => {}
            found => return Err(CountersError::Format { expected: FORMAT, found }),
        }
        let mut words = [0; Dimensions::COUNT];
        for (index, word) in words.iter_mut().enumerate() {
            *word = memory.load(HEADER_DIMENSIONS + index * WORD, Ordering::Relaxed);
        }
        let layout = Layout::new(Dimensions::from_words(words)?)?;
        if layout.len() != len {
            return Err(CountersError::Dimensions);
        }
        let [reasons, figures, worker_figures] =
            layout.texts().map(|(offset, count)| read_texts(&memory, offset, count));
        Ok(Self { memory, layout, reasons, figures, worker_figures })
    }

    /// Drop reasons, in the order of their counters.
    pub fn reasons(&self) -> &[Text] {
        &self.reasons
    }

    pub fn figures(&self) -> &[Text] {
        &self.figures
    }

    pub fn worker_figures(&self) -> &[Text] {
        &self.worker_figures
    }

    /// Writers of interface lines: the workers, then the agent.
    pub fn workers(&self) -> usize {
        self.layout.dimensions.workers
    }

    pub fn interface_slots(&self) -> usize {
        self.layout.dimensions.interfaces
    }

    pub fn sa_slots(&self) -> usize {
        self.layout.dimensions.sa_slots
    }

    /// When the data plane started, since boot.
    pub fn started(&self) -> Duration {
        Duration::from_nanos(self.memory.load(HEADER_STARTED, Ordering::Relaxed))
    }

    /// # Panics
    /// If `index` is none of [`CountersReader::figures`].
    pub fn figure(&self, index: usize) -> u64 {
        self.memory.load(self.layout.figure(index), Ordering::Relaxed)
    }

    /// # Panics
    /// If `index` is none of [`CountersReader::worker_figures`], or `worker` none of the workers.
    pub fn worker_figure(&self, worker: usize, index: usize) -> u64 {
        assert!(index < self.worker_figures.len(), "figure outside the page");
        self.memory.load(self.layout.worker_figures(worker) + index * WORD, Ordering::Relaxed)
    }

    /// What the slot stands for; `None` when it is free, and for slot 0.
    ///
    /// # Panics
    /// If `slot` is outside [`CountersReader::interface_slots`].
    pub fn interface(&self, slot: usize) -> Option<InterfaceDescription> {
        let offset = self.layout.description(slot);
        if self.memory.load(offset, Ordering::Acquire) != 1 {
            return None;
        }
        let ids = self.memory.load(offset + WORD, Ordering::Relaxed);
        let id = |index: u32| u16::try_from(ids >> (16 * index) & 0xffff).unwrap_or(0);
        let mut name = [0; DESCRIPTION_LEN - 2 * WORD];
        self.memory.copy_out(offset + 2 * WORD, &mut name);
        let wire = <Label as Field>::Wire::read_from_prefix(&name).ok()?.0;
        Some(InterfaceDescription {
            id: InterfaceId(id(0)),
            port: PortId(id(1)),
            vlan: VlanId::new(id(2)),
            vrf: VrfId(id(3)),
            name: Label::load(wire).ok()?,
        })
    }

    /// What `worker` counted for interface slot `slot`.
    ///
    /// # Panics
    /// If either is outside the page.
    pub fn interface_by_worker(&self, worker: usize, slot: usize) -> InterfaceTotals {
        let offset = self.layout.line(worker, slot);
        let word = |index: usize| self.memory.load(offset + index * WORD, Ordering::Relaxed);
        InterfaceTotals {
            rx_packets: word(0),
            rx_bytes: word(1),
            tx_packets: word(2),
            tx_bytes: word(3),
            drops: (0..self.reasons.len()).map(|reason| word(TRAFFIC_WORDS + reason)).collect(),
        }
    }

    /// What all workers counted for interface slot `slot`.
    ///
    /// # Panics
    /// If `slot` is outside the page.
    pub fn interface_totals(&self, slot: usize) -> InterfaceTotals {
        let mut sum = InterfaceTotals { drops: vec![0; self.reasons.len()], ..InterfaceTotals::default() };
        for worker in 0..self.workers() {
            let part = self.interface_by_worker(worker, slot);
            sum.rx_packets = sum.rx_packets.wrapping_add(part.rx_packets);
            sum.rx_bytes = sum.rx_bytes.wrapping_add(part.rx_bytes);
            sum.tx_packets = sum.tx_packets.wrapping_add(part.tx_packets);
            sum.tx_bytes = sum.tx_bytes.wrapping_add(part.tx_bytes);
            for (total, drops) in sum.drops.iter_mut().zip(part.drops) {
                *total = total.wrapping_add(drops);
            }
        }
        sum
    }

    /// The totals of the SA in `slot`; `None` when the slot is empty or changes right now.
    ///
    /// # Panics
    /// If `slot` is outside the page.
    pub fn sa(&self, slot: usize) -> Option<(Spi, SaTotals)> {
        let offset = self.layout.sa(slot);
        let spi = self.memory.load(offset, Ordering::Acquire);
        if spi == 0 {
            return None;
        }
        let mut bytes = [0; size_of::<<SaTotals as Field>::Wire>()];
        self.memory.copy_out(offset + WORD, &mut bytes);
        std::sync::atomic::fence(Ordering::Acquire);
        if self.memory.load(offset, Ordering::Relaxed) != spi {
            return None;
        }
        let totals = crate::message::take(&bytes).ok()?;
        Some((u32::try_from(spi).ok().and_then(Spi::new)?, totals))
    }

    /// When the last authentic packet of the SA `spi` arrived, since boot; `None` if none did, or `slot` is not its own.
    ///
    /// # Panics
    /// If `slot` is outside the page.
    pub fn heard(&self, slot: usize, spi: Spi) -> Option<Duration> {
        let offset = self.layout.sa(slot);
        let is_its_own = |order| self.memory.load(offset, order) == u64::from(spi.value());
        if !is_its_own(Ordering::Acquire) {
            return None;
        }
        let millis = self.memory.load(offset + SA_HEARD, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::Acquire);
        (millis != 0 && is_its_own(Ordering::Relaxed)).then(|| Duration::from_millis(millis))
    }

    /// All SAs of the page.
    pub fn sas(&self) -> impl Iterator<Item = (Spi, SaTotals)> + '_ {
        (0..self.sa_slots()).filter_map(|slot| self.sa(slot))
    }
}

fn read_texts(memory: &Mapping, offset: usize, count: usize) -> Vec<Text> {
    let text = |index: usize| {
        let mut bytes = [0; TEXT_LEN];
        memory.copy_out(offset + index * TEXT_LEN, &mut bytes);
        let (name, help) = bytes.split_at(NAME_LEN);
        Text::new(printable(name), printable(help))
    };
    (0..count).map(text).collect()
}

/// The text up to the first zero; whatever is not UTF-8 or could drive a terminal is replaced.
fn printable(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

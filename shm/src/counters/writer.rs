//! The data plane's side of the counters page.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use zerocopy::IntoBytes;

use crate::counters::layout::{
    Dimensions, FORMAT, HEADER_DIMENSIONS, HEADER_FORMAT, HEADER_MAGIC, HEADER_STARTED, HELP_LEN, Layout,
    MAGIC, NAME_LEN, SA_HEARD, TRAFFIC_WORDS,
};
use crate::counters::{CountersError, CountersSpec, InterfaceDescription, Text};
use crate::memory::{Mapping, MemoryError, Sealing, WORD};
use crate::message::{Field, SaTotals, Spi};

/// Creates the page and writes what the agent knows; hands out the writers of the workers.
#[derive(Debug)]
pub struct CountersWriter {
    memory: Arc<Mapping>,
    layout: Layout,
    fd: OwnedFd,
}

impl CountersWriter {
    /// A zeroed page that describes itself by `spec`. From here on nobody else can map it for writing.
    pub fn create(spec: &CountersSpec) -> Result<Self, CountersError> {
        let layout = Layout::new(Dimensions {
            workers: spec.workers,
            interfaces: spec.interfaces,
            sa_slots: spec.sa_slots,
            reasons: spec.reasons.len(),
            figures: spec.figures.len(),
            worker_figures: spec.worker_figures.len(),
        })?;
        let fd = crate::memory::create("esplanade-counters", layout.len(), Sealing::WriteSealFollows)?;
        let memory = Mapping::writable(&fd, layout.len())?;
        crate::memory::seal_future_writes(&fd)?;
        let writer = Self { memory: Arc::new(memory), layout, fd };
        writer.describe(spec);
        Ok(writer)
    }

    fn describe(&self, spec: &CountersSpec) {
        let lists = [&spec.reasons, &spec.figures, &spec.worker_figures];
        for ((offset, _), texts) in self.layout.texts().into_iter().zip(lists) {
            for (index, text) in texts.iter().enumerate() {
                self.write_text(offset + index * (NAME_LEN + HELP_LEN), text);
            }
        }
        for (index, word) in self.layout.dimensions.to_words().into_iter().enumerate() {
            self.memory.store(HEADER_DIMENSIONS + index * WORD, word, Ordering::Relaxed);
        }
        let started = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let started = u64::try_from(started.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(started.tv_nsec).unwrap_or(0);
        self.memory.store(HEADER_STARTED, started, Ordering::Relaxed);
        self.memory.store(HEADER_FORMAT, FORMAT, Ordering::Relaxed);
        self.memory.store(HEADER_MAGIC, MAGIC, Ordering::Release);
    }

    fn write_text(&self, offset: usize, text: &Text) {
        let cut = |text: &str, len: usize| text.floor_char_boundary(len);
        let name = &text.name[..cut(&text.name, NAME_LEN)];
        let help = &text.help[..cut(&text.help, HELP_LEN)];
        self.memory.copy_in(offset, name.as_bytes());
        self.memory.copy_in(offset + NAME_LEN, help.as_bytes());
    }

    /// A file descriptor of the page to hand to readers.
    pub fn fd(&self) -> Result<OwnedFd, CountersError> {
        self.fd.try_clone().map_err(|e| MemoryError::Inspect(e).into())
    }

    /// Says what interface slot `slot` stands for. Its counters go on where they were.
    pub fn describe_interface(&self, slot: usize, what: Option<&InterfaceDescription>) {
        let offset = self.layout.description(slot);
        self.memory.store(offset, 0, Ordering::Release);
        let Some(what) = what else { return };
        let ids = [what.id.0, what.port.0, what.vlan.map_or(0, |v| v.value()), what.vrf.0];
        let ids = ids.into_iter().rev().fold(0, |word, id| word << 16 | u64::from(id));
        self.memory.store(offset + WORD, ids, Ordering::Relaxed);
        self.memory.copy_in(offset + 2 * WORD, what.name.store().as_bytes());
        self.memory.store(offset, 1, Ordering::Release);
    }

    /// The counters that `worker` keeps for interface slot `slot`. One handle only may write them.
    pub fn interface(&self, worker: usize, slot: usize) -> InterfaceCounters {
        let offset = self.layout.line(worker, slot);
        InterfaceCounters {
            memory: Arc::clone(&self.memory),
            offset,
            reasons: self.layout.dimensions.reasons,
        }
    }

    /// The figures of `worker`. One handle only may write them.
    pub fn worker(&self, worker: usize) -> WorkerFigures {
        let offset = self.layout.worker_figures(worker);
        WorkerFigures {
            memory: Arc::clone(&self.memory),
            offset,
            count: self.layout.dimensions.worker_figures,
        }
    }

    /// What `worker` wrote last.
    ///
    /// # Panics
    /// If either is outside the page.
    pub fn worker_figure(&self, worker: usize, index: usize) -> u64 {
        assert!(index < self.layout.dimensions.worker_figures, "figure outside the page");
        self.memory.load(self.layout.worker_figures(worker) + index * WORD, Ordering::Relaxed)
    }

    pub fn set_figure(&self, index: usize, value: u64) {
        self.memory.store(self.layout.figure(index), value, Ordering::Relaxed);
    }

    pub fn add_figure(&self, index: usize, amount: u64) {
        self.memory.add_unshared(self.layout.figure(index), amount);
    }

    /// Publishes the totals of the SA in `slot`, and when its last authentic packet arrived, since boot (zero: none
    /// did); `None` empties the slot. Readers see old, nothing, or new.
    pub fn set_sa(&self, slot: usize, sa: Option<(Spi, &SaTotals, Duration)>) {
        let offset = self.layout.sa(slot);
        let Some((spi, totals, heard)) = sa else {
            self.memory.store(offset, 0, Ordering::Release);
            return;
        };
        let spi = u64::from(spi.value());
        if self.memory.load(offset, Ordering::Relaxed) != spi {
            self.memory.store(offset, 0, Ordering::Release);
        }
        self.memory.copy_in(offset + WORD, totals.store().as_bytes());
        let heard = u64::try_from(heard.as_millis()).unwrap_or(u64::MAX);
        self.memory.store(offset + SA_HEARD, heard, Ordering::Relaxed);
        self.memory.store(offset, spi, Ordering::Release);
    }
}

/// Counters of one worker and one interface. Adding is a load and a store.
#[derive(Debug)]
pub struct InterfaceCounters {
    memory: Arc<Mapping>,
    offset: usize,
    reasons: usize,
}

impl InterfaceCounters {
    pub fn add_rx(&self, packets: u64, bytes: u64) {
        self.memory.add_unshared(self.offset, packets);
        self.memory.add_unshared(self.offset + WORD, bytes);
    }

    pub fn add_tx(&self, packets: u64, bytes: u64) {
        self.memory.add_unshared(self.offset + 2 * WORD, packets);
        self.memory.add_unshared(self.offset + 3 * WORD, bytes);
    }

    /// Counts packets dropped under the reason of index `reason` in [`CountersSpec::reasons`].
    pub fn add_drops(&self, reason: usize, packets: u64) {
        assert!(reason < self.reasons, "drop reason outside the page");
        self.memory.add_unshared(self.offset + (TRAFFIC_WORDS + reason) * WORD, packets);
    }
}

/// Figures of one worker.
#[derive(Debug)]
pub struct WorkerFigures {
    memory: Arc<Mapping>,
    offset: usize,
    count: usize,
}

impl WorkerFigures {
    /// `index` is that of [`CountersSpec::worker_figures`].
    pub fn set(&self, index: usize, value: u64) {
        assert!(index < self.count, "figure outside the page");
        self.memory.store(self.offset + index * WORD, value, Ordering::Relaxed);
    }

    pub fn add(&self, index: usize, amount: u64) {
        assert!(index < self.count, "figure outside the page");
        self.memory.add_unshared(self.offset + index * WORD, amount);
    }
}

//! Where everything is in the counters page, computed from its dimensions.

use crate::counters::CountersError;
use crate::memory::WORD;

/// "ESPLCNTR".
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"ESPLCNTR");
/// Of the layout below.
pub(super) const FORMAT: u64 = 2;

pub(super) const HEADER_MAGIC: usize = 0;
pub(super) const HEADER_FORMAT: usize = 8;
/// Nanoseconds since boot when the data plane started.
pub(super) const HEADER_STARTED: usize = 16;
pub(super) const HEADER_DIMENSIONS: usize = 24;
const HEADER_LEN: usize = 4096;

pub(super) const NAME_LEN: usize = 48;
pub(super) const HELP_LEN: usize = 336;
pub(super) const TEXT_LEN: usize = NAME_LEN + HELP_LEN;
/// Used flag, ids, name.
pub(super) const DESCRIPTION_LEN: usize = 64;
/// Words of rx and tx before the drop reasons of a line.
pub(super) const TRAFFIC_WORDS: usize = 4;
/// SPI, totals and when it was last heard, padded to two cache lines.
pub(super) const SA_LEN: usize = 128;
/// Milliseconds since boot, in the line of an SA.
pub(super) const SA_HEARD: usize = 112;

const LINE: usize = 64;

/// Name and help text of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// As in the API: lower case with underscores, at most 48 bytes.
    pub name: String,
    /// One sentence, with the remedy where there is one; at most 336 bytes.
    pub help: String,
}

impl Text {
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name: name.into(), help: help.into() }
    }
}

/// What a counters page holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountersSpec {
    /// Writers of interface lines: the workers, and one more for the agent.
    pub workers: usize,
    /// Interface slots, with slot 0.
    pub interfaces: usize,
    pub sa_slots: usize,
    pub reasons: Vec<Text>,
    /// Figures of the process.
    pub figures: Vec<Text>,
    /// Figures of each worker.
    pub worker_figures: Vec<Text>,
}

/// The numbers that fix the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dimensions {
    pub(super) workers: usize,
    pub(super) interfaces: usize,
    pub(super) sa_slots: usize,
    pub(super) reasons: usize,
    pub(super) figures: usize,
    pub(super) worker_figures: usize,
}

impl Dimensions {
    pub(super) const COUNT: usize = 6;

    pub(super) fn to_words(self) -> [u64; Self::COUNT] {
        [self.workers, self.interfaces, self.sa_slots, self.reasons, self.figures, self.worker_figures]
            .map(|n| u64::try_from(n).unwrap_or(u64::MAX))
    }

    pub(super) fn from_words(words: [u64; Self::COUNT]) -> Result<Self, CountersError> {
        // Far beyond any use, and small enough that no sum or product below overflows.
        const MOST: u64 = 1 << 21;
        if words.iter().any(|&word| word > MOST) {
            return Err(CountersError::Dimensions);
        }
        let [workers, interfaces, sa_slots, reasons, figures, worker_figures] =
            words.map(|word| usize::try_from(word).unwrap_or(0));
        Ok(Self { workers, interfaces, sa_slots, reasons, figures, worker_figures })
    }
}

/// Byte offsets of the parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) dimensions: Dimensions,
    reasons: usize,
    figures: usize,
    worker_figures: usize,
    descriptions: usize,
    figure_words: usize,
    worker_words: usize,
    worker_stride: usize,
    lines: usize,
    line_stride: usize,
    sas: usize,
    len: usize,
}

impl Layout {
    /// An error when the page would not fit an address space.
    pub(super) fn new(dimensions: Dimensions) -> Result<Self, CountersError> {
        Self::checked(dimensions).ok_or(CountersError::Dimensions)
    }

    fn checked(d: Dimensions) -> Option<Self> {
        let after = |start: usize, count: usize, each: usize| {
            start.checked_add(count.checked_mul(each)?)?.checked_next_multiple_of(LINE)
        };
        let worker_stride = (d.worker_figures * WORD).next_multiple_of(LINE);
        let line_stride = ((TRAFFIC_WORDS + d.reasons) * WORD).next_multiple_of(LINE);
        let reasons = HEADER_LEN;
        let figures = after(reasons, d.reasons, TEXT_LEN)?;
        let worker_figures = after(figures, d.figures, TEXT_LEN)?;
        let descriptions = after(worker_figures, d.worker_figures, TEXT_LEN)?;
        let figure_words = after(descriptions, d.interfaces, DESCRIPTION_LEN)?;
        let worker_words = after(figure_words, d.figures, WORD)?;
        let lines = after(worker_words, d.workers, worker_stride)?;
        let sas = after(lines, d.workers.checked_mul(d.interfaces)?, line_stride)?;
        let len = after(sas, d.sa_slots, SA_LEN)?.checked_next_multiple_of(4096)?;
        Some(Self {
            dimensions: d,
            reasons,
            figures,
            worker_figures,
            descriptions,
            figure_words,
            worker_words,
            worker_stride,
            lines,
            line_stride,
            sas,
            len,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Offsets of the three lists of texts with their lengths.
    pub(super) fn texts(&self) -> [(usize, usize); 3] {
        let d = &self.dimensions;
        [(self.reasons, d.reasons), (self.figures, d.figures), (self.worker_figures, d.worker_figures)]
    }

    pub(super) fn description(&self, slot: usize) -> usize {
        assert!(slot < self.dimensions.interfaces, "interface slot outside the page");
        self.descriptions + slot * DESCRIPTION_LEN
    }

    pub(super) fn figure(&self, index: usize) -> usize {
        assert!(index < self.dimensions.figures, "figure outside the page");
        self.figure_words + index * WORD
    }

    pub(super) fn worker_figures(&self, worker: usize) -> usize {
        assert!(worker < self.dimensions.workers, "worker outside the page");
        self.worker_words + worker * self.worker_stride
    }

    pub(super) fn line(&self, worker: usize, slot: usize) -> usize {
        let d = &self.dimensions;
        assert!(worker < d.workers && slot < d.interfaces, "line outside the page");
        self.lines + (worker * d.interfaces + slot) * self.line_stride
    }

    pub(super) fn sa(&self, slot: usize) -> usize {
        assert!(slot < self.dimensions.sa_slots, "SA slot outside the page");
        self.sas + slot * SA_LEN
    }
}

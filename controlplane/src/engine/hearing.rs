//! ESP as a sign of life: what the data plane's counters page says is looked up when IKE is about to ask the peer.

use ike::{Command, Time};
use shm::counters::CountersReader;
use shm::message::Spi;

use super::{Engine, State};

impl Engine {
    /// To be called before [`Engine::handle_timeout`]: a peer whose ESP arrives is neither probed nor given up.
    pub fn hear(&mut self, figures: &CountersReader, now: Time) {
        if self.state != State::Ready {
            return;
        }
        for spi in self.manager.listening_for(now) {
            let heard = Spi::new(spi).and_then(|known| figures.heard(slot(figures, spi)?, known));
            if let Some(at) = heard.map(Time) {
                self.manager.handle_command(Command::Heard { spi, at }, now);
            }
        }
    }
}

/// The line of an SA: its slot is the low part of its SPI.
pub(super) fn slot(figures: &CountersReader, spi: u32) -> Option<usize> {
    Some(usize::try_from(spi).ok()? & figures.sa_slots().checked_sub(1)?)
}

//! What a worker does when nothing comes: the three RX modes.

use std::time::Duration;

use dpdk::{AdaptiveSleep, Idle as Advice, RxQueue, RxWaiter, WaitError};

use crate::config::RxMode;
use crate::shared::Mailbox;

/// How a worker idles. Made on the worker's own thread.
#[derive(Debug)]
pub(super) enum Idle {
    /// Never sleeps.
    Poll,
    /// Naps of 50 µs after many empty polls.
    Adaptive(AdaptiveSleep),
    /// Sleeps until a packet or a bell.
    Interrupt(Box<Interrupt>),
}

/// What to do after a round of polling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another round at once.
    Poll,
    /// [`Idle::sleep`], offline, unless one more round brings something.
    Sleep,
}

#[derive(Debug)]
pub(super) struct Interrupt {
    waiter: RxWaiter,
    empty: u32,
}

impl Interrupt {
    /// Empty polls before the first sleep: an interrupt costs more than a few polls.
    const SPINS: u32 = 256;
    /// The longest sleep: early packets expire, and the agent's watchdog likes a sign of life.
    const LONGEST: Duration = Duration::from_millis(100);
}

impl Idle {
    /// Prepares a mode; in interrupt mode, `mailbox` learns how to end the sleep.
    pub(super) fn new<'q, B>(
        mode: RxMode,
        queues: impl Iterator<Item = &'q mut RxQueue>,
        mailbox: &Mailbox<B>,
    ) -> Result<Self, WaitError> {
        match mode {
            RxMode::Poll => Ok(Self::Poll),
            RxMode::Adaptive => Ok(Self::Adaptive(AdaptiveSleep::new())),
            RxMode::Interrupt => {
                let mut waiter = RxWaiter::new()?;
                for queue in queues {
                    waiter.add(queue)?;
                }
                let waker = waiter.waker();
                mailbox.set_waker(Box::new(move || waker.wake()));
                Ok(Self::Interrupt(Box::new(Interrupt { waiter, empty: 0 })))
            }
        }
    }

    /// Takes note of how many packets a round brought.
    #[inline]
    pub(super) fn observe(&mut self, packets: usize) -> Next {
        match self {
            Self::Poll => {
                std::hint::spin_loop();
                Next::Poll
            }
            Self::Adaptive(adaptive) => match adaptive.observe(packets) {
                Advice::Poll => Next::Poll,
                Advice::Sleep => Next::Sleep,
            },
            Self::Interrupt(interrupt) => {
                interrupt.empty = if packets > 0 { 0 } else { interrupt.empty + 1 };
                if interrupt.empty > Interrupt::SPINS { Next::Sleep } else { Next::Poll }
            }
        }
    }

    /// Before the last poll ahead of a sleep: from here on, what comes ends the sleep. False if something
    /// is there already.
    pub(super) fn arm<B>(&mut self, mailbox: &Mailbox<B>) -> bool {
        match self {
            Self::Poll | Self::Adaptive(_) => true,
            Self::Interrupt(interrupt) => {
                interrupt.waiter.arm();
                mailbox.fall_asleep()
            }
        }
    }

    /// Sleeps. Offline in `rcu`, or the agent waits for us.
    pub(super) fn sleep(&mut self) {
        match self {
            Self::Poll => {}
            Self::Adaptive(adaptive) => adaptive.sleep(),
            Self::Interrupt(interrupt) => {
                interrupt.empty = 0;
                if let Err(error) = interrupt.waiter.wait(Some(Interrupt::LONGEST)) {
                    // Not to be expected; a nap keeps the worker going without a busy loop.
                    tracing::error!(%error, "waiting for packets failed");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

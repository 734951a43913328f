//! What must always hold, by name, and how often it was looked at.

/// Something that no run may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// A packet sealed with an outbound SA opens with the inbound SA that its SPI names.
    KeysAgree,
    /// No two SAs of a gateway share an SPI, inbound or towards the same peer.
    SpisDiffer,
    /// No IV is used for two messages, restarts included (RFC 5282 section 3.1).
    IvsDiffer,
    /// A repeated message is the same bytes (RFC 7296 section 2.1).
    RepeatsAreEqual,
    /// Nothing but IKE_SA_INIT and errors outside of an IKE SA leaves unprotected.
    NothingInClear,
    /// The data plane is never told something that its state forbids.
    CommandsFit,
    /// While both ends and the network are well, each has an SA to send on that the other can open.
    MakeBeforeBreak,
    /// While both ends and the network are well, no packet is lost.
    NoPacketLost,
    /// After the last disturbance a tunnel carries packets again within the bound.
    BackInTime,
    /// Everything idle ends as one IKE SA and one CHILD_SA per tunnel, and nothing else.
    Converges,
    /// SAs, half-open IKE SAs, queued exchanges and timers stay within their bounds.
    Bounded,
    /// A timer that was handled is not due again.
    TimersAdvance,
    /// A recorded negotiation comes to the same result when it is played again.
    RecordingsReplay,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::KeysAgree,
        Self::SpisDiffer,
        Self::IvsDiffer,
        Self::RepeatsAreEqual,
        Self::NothingInClear,
        Self::CommandsFit,
        Self::MakeBeforeBreak,
        Self::NoPacketLost,
        Self::BackInTime,
        Self::Converges,
        Self::Bounded,
        Self::TimersAdvance,
        Self::RecordingsReplay,
    ];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeysAgree => "keys agree",
            Self::SpisDiffer => "SPIs differ",
            Self::IvsDiffer => "IVs differ",
            Self::RepeatsAreEqual => "repetitions are the same bytes",
            Self::NothingInClear => "nothing leaves in clear",
            Self::CommandsFit => "commands fit the data plane's state",
            Self::MakeBeforeBreak => "make before break",
            Self::NoPacketLost => "no packet lost without cause",
            Self::BackInTime => "back within the bound",
            Self::Converges => "one IKE SA and one child per tunnel",
            Self::Bounded => "state is bounded",
            Self::TimersAdvance => "timers advance",
            Self::RecordingsReplay => "recordings replay to the same result",
        }
    }
}

/// How often each invariant was found to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; Invariant::ALL.len()]);

impl Tally {
    /// Counts a check; one that fails ends the run.
    ///
    /// # Panics
    /// When `holds` is false.
    #[track_caller]
    pub fn check(&mut self, invariant: Invariant, holds: bool, otherwise: impl FnOnce() -> String) {
        assert!(holds, "{}: {}", invariant.name(), otherwise());
        self.0[invariant as usize] += 1;
    }

    /// Checks of one invariant.
    pub fn of(&self, invariant: Invariant) -> u64 {
        self.0[invariant as usize]
    }

    /// Adds what somebody else counted.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(ours, theirs)| *ours += theirs);
    }
}

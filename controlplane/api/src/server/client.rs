//! Who is at the other end of a connection.

/// A client, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) uid: u32,
}

/// On whose account a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    User(u32),
}

impl Client {
    pub(super) fn source(self) -> Source {
        Source::User(self.uid)
    }
}

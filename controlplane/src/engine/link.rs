//! Commands on their way to the data plane, and what each answer will mean.

use std::collections::{BTreeMap, VecDeque};

use api::server::Reply;
use shm::message::{
    Begin, Change, Command, Commit, List, ListKind, NeighbourRecord, OwnerTag, PortRecord, RequestId,
    SaRecord, Spi, Staged, TxnId,
};

/// Why a transaction was made.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The whole configuration; its changes, to name the one that was refused.
    Configure(Vec<Change>),
    /// Which tunnel of a group carries.
    Steer,
    /// A child for IKE.
    Install {
        request: ike::RequestId,
        spi: Spi,
        owner: OwnerTag,
    },
    /// IKE does not wait for these.
    Activate(Spi),
    UpdateOuter(Spi),
    Delete(Spi),
}

/// What was asked outside transactions.
#[derive(Debug)]
pub(super) enum Question {
    ReserveSpi(ike::RequestId),
    /// At the start of a session.
    SyncPorts(Vec<PortRecord>),
    SyncSas(Vec<SaRecord>),
    SyncPaths,
    /// For a client of the API.
    Ports(Vec<PortRecord>, Reply<Vec<api::Port>>),
    Neighbours(Vec<NeighbourRecord>, Reply<Vec<api::Neighbour>>),
}

impl Question {
    fn list_kind(&self) -> Option<ListKind> {
        match self {
            Self::ReserveSpi(_) => None,
            Self::SyncPorts(_) | Self::Ports(..) => Some(ListKind::Ports),
            Self::SyncSas(_) => Some(ListKind::Sas),
            Self::SyncPaths => Some(ListKind::Tunnels),
            Self::Neighbours(..) => Some(ListKind::Neighbours),
        }
    }
}

/// The queue and the open questions of one session.
#[derive(Debug, Default)]
pub(super) struct Link {
    outbox: VecDeque<Command>,
    /// Transactions and requests share the numbers; they rise over sessions too.
    last: u64,
    transactions: BTreeMap<TxnId, Purpose>,
    questions: BTreeMap<RequestId, Question>,
}

impl Link {
    /// Queues a transaction.
    pub(super) fn transact(&mut self, full: bool, changes: Vec<Change>, purpose: Purpose) {
        let txn = TxnId(self.next_number());
        self.outbox.push_back(Begin { txn, full }.into());
        self.outbox.extend(changes.into_iter().map(|change| Command::from(Staged { txn, change })));
        self.outbox.push_back(Commit { txn }.into());
        self.transactions.insert(txn, purpose);
    }

    /// Queues a question; `command` gets its number.
    pub(super) fn ask(&mut self, question: Question, command: impl FnOnce(RequestId) -> Command) {
        let request = RequestId(self.next_number());
        self.outbox.push_back(command(request));
        self.questions.insert(request, question);
    }

    /// Queues a list from its beginning.
    pub(super) fn list(&mut self, question: Question) {
        if let Some(kind) = question.list_kind() {
            self.ask(question, |request| List { request, kind, cursor: 0 }.into());
        }
    }

    /// Asks for the rest of a list.
    pub(super) fn list_on(&mut self, request: RequestId, cursor: u64) {
        if let Some(kind) = self.questions.get(&request).and_then(Question::list_kind) {
            self.outbox.push_back(List { request, kind, cursor }.into());
        }
    }

    /// Queues a command that has no answer.
    pub(super) fn tell(&mut self, command: Command) {
        self.outbox.push_back(command);
    }

    /// The purpose of a transaction that was answered.
    pub(super) fn answered(&mut self, txn: TxnId) -> Option<Purpose> {
        self.transactions.remove(&txn)
    }

    /// A question, to add to its answer.
    pub(super) fn question(&mut self, request: RequestId) -> Option<&mut Question> {
        self.questions.get_mut(&request)
    }

    /// A question whose answer is complete.
    pub(super) fn close(&mut self, request: RequestId) -> Option<Question> {
        self.questions.remove(&request)
    }

    /// Forgets the session: what was queued is dropped, what was open comes back.
    pub(super) fn abandon(&mut self) -> (Vec<Purpose>, Vec<Question>) {
        self.outbox.clear();
        let purposes = std::mem::take(&mut self.transactions).into_values().collect();
        (purposes, std::mem::take(&mut self.questions).into_values().collect())
    }

    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.outbox.pop_front()
    }

    pub(super) fn put_back(&mut self, command: Command) {
        self.outbox.push_front(command);
    }

    /// Nothing queued, and no answer to a transaction outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.outbox.is_empty() && self.transactions.is_empty()
    }

    /// Whether the data plane has a configuration to answer.
    pub(super) fn is_configuring(&self) -> bool {
        self.transactions.values().any(|purpose| matches!(purpose, Purpose::Configure(_)))
    }

    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

//! Transactions on the document: each is checked, then stored, then in force.
//!
//! ```text
//! request ──▶ checked and planned ──▶ stored (a thread writes) ──▶ in force, answered
//!                 │ refused, dry run                ▲
//!                 ▼                                 │ not confirmed in time
//!               answered                         fallback
//! ```
//!
//! One is stored at a time and others wait in their order. What the store has is what a restart puts into force, so
//! nothing is in force that it has not.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::server::{Author, Reply, Transaction};
use api::{
    CommitReport, CommitRequest, ConfigChange, ConfirmRequest, Document, History, Impact, Occurrence,
    PendingConfirmation, Problem, RevisionEntry, RollbackRequest,
};
use gateway::keys;
use gateway::psk::{self, Psk};
use ike::Time;
use store::{Draft, Entry, Mode, Pending, Revision, Store, StoreError};
use tokio::task::{JoinHandle, spawn_blocking};
use zeroize::Zeroizing;

use crate::clock;
use crate::document::{LoadError, Loaded, load_open};
use crate::engine::{Engine, reload_failed};
use crate::state::{self, Source};

use problem::{confirm_first, no_revision, of_store};

mod edit;
mod problem;
#[cfg(test)]
mod tests;

/// Transactions that wait for the one that is stored.
const MAX_WAITING: usize = 32;
/// When a return that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The store, and what is asked of it.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// `None` where the gateway is run from a file.
    store: Option<Arc<Store>>,
    waiting: VecDeque<Transaction>,
    job: Option<Job>,
    /// When the revision in force gives way, unless it is confirmed before.
    returns_at: Option<Time>,
    /// What the last change touched: it is busy until the data plane has it.
    touched: Vec<ConfigChange>,
}

/// What the thread is at, and what follows.
#[derive(Debug)]
struct Job {
    thread: JoinHandle<Stored>,
    then: Then,
}

/// What the thread says.
type Stored = Result<(), StoreError>;

#[derive(Debug)]
enum Then {
    /// Nobody waits for the answer to a return.
    Apply {
        document: Box<Loaded>,
        report: CommitReport,
        author: String,
        mode: Mode,
        reply: Option<Reply<CommitReport>>,
    },
    Confirmed {
        pending: PendingConfirmation,
        author: String,
        reply: Reply<PendingConfirmation>,
    },
}

/// What goes with a document or a change of one.
struct Terms {
    author: String,
    comment: String,
    confirm_secs: Option<u64>,
    dry_run: bool,
    /// The idempotency key.
    token: Option<String>,
}

impl Terms {
    fn draft(&self, text: Zeroizing<String>, engine: &Engine) -> Draft {
        Draft {
            text,
            at: clock::wall().as_secs(),
            author: self.author.clone(),
            comment: self.comment.clone(),
            folder: engine.document().file.parent().unwrap_or(Path::new("/")).to_owned(),
            token: self.token.clone(),
        }
    }
}

/// A document that may be stored.
struct Prepared {
    document: Box<Loaded>,
    draft: Draft,
    report: CommitReport,
}

impl Transactions {
    pub(crate) fn new(source: Source) -> Self {
        let store = match source {
            Source::File => None,
            Source::Store(store, _) => Some(Arc::new(store)),
        };
        let (waiting, touched) = (VecDeque::new(), Vec::new());
        let mut new = Self { store, waiting, job: None, returns_at: None, touched };
        new.look_for_pending();
        new
    }

    /// A client asks.
    pub(crate) fn submit(&mut self, transaction: Transaction, engine: &Engine) {
        if self.waiting.len() >= MAX_WAITING {
            let detail = format!("{MAX_WAITING} transactions wait");
            transaction.refuse(Problem::new(503, "TooManyWaiting", "Too many transactions wait", detail));
        } else {
            self.waiting.push_back(transaction);
            self.serve(engine);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.returns_at.filter(|_| self.job.is_none())
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) may have come.
    pub(crate) fn handle_timeout(&mut self, engine: &Engine) {
        let now = clock::now();
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        if let Err(why) = self.go_back(engine) {
            tracing::error!(%why, "the revision in force was not confirmed, and the one before cannot return");
            self.returns_at = Some(now + RETRY);
        }
    }

    /// Waits until something is stored; for ever where nothing is.
    pub(crate) async fn stored(&mut self) -> Stored {
        match &mut self.job {
            Some(job) => (&mut job.thread).await.unwrap_or_else(|_| Err(StoreError::Stopped)),
            None => std::future::pending().await,
        }
    }

    /// What [`stored`](Self::stored) gave: the document is in force, or the client hears why not.
    pub(crate) fn handle_stored(&mut self, stored: Stored, engine: &mut Engine) {
        self.look_for_pending();
        match (self.job.take().map(|job| job.then), stored) {
            (None, _) => {}
            (Some(Then::Apply { document, mut report, author, mode, reply }), Ok(())) => {
                let changed = engine.reload(*document, clock::now()).changed.len();
                self.touched.clone_from(&report.changes);
                self.touched.retain(|change| change.impact != Impact::Unchanged);
                report.state = Some(engine.state_of_configuration());
                report.revision = self.current().map(|entry| entry.number);
                report.pending = self.pending();
                let revision = report.revision.unwrap_or_default();
                engine.tell(match (mode, &reply) {
                    (Mode::Final, _) => {
                        Occurrence::ConfigCommitted { revision, author, confirm_secs: None, changed }
                    }
                    (Mode::Confirm { secs }, _) => {
                        Occurrence::ConfigCommitted { revision, author, confirm_secs: Some(secs), changed }
                    }
                    (Mode::Return, Some(_)) => Occurrence::ConfigRolledBack { revision, author, changed },
                    (Mode::Return, None) => Occurrence::ConfigReturned { revision, changed },
                });
                if let Some(reply) = reply {
                    answer(reply, Ok(report));
                }
            }
            (Some(Then::Apply { reply, .. }), Err(error)) => {
                tracing::error!(%error, "the document in force stays");
                if let Some(reply) = reply {
                    answer(reply, Err(of_store(&error)));
                }
            }
            (Some(Then::Confirmed { pending, author, reply }), stored) => {
                if stored.is_ok() {
                    engine.tell(Occurrence::ConfigConfirmed { revision: pending.revision, author });
                }
                answer(reply, stored.map(|()| pending).map_err(|error| of_store(&error)));
            }
        }
        self.serve(engine);
    }

    /// The document in force with its files read again, where it comes from the store.
    pub(crate) fn read_again(&self, engine: &Engine) -> Option<Result<Loaded, LoadError>> {
        let current = self.store.as_ref()?.current().ok()??;
        Some(state::load(&current, engine.interface_ids()))
    }

    /// Takes up what waits, until something is to be stored.
    fn serve(&mut self, engine: &Engine) {
        while self.job.is_none()
            && let Some(transaction) = self.waiting.pop_front()
        {
            match transaction {
                Transaction::Commit { request, author, reply } => self.commit(request, author, reply, engine),
                Transaction::Confirm { request, author, reply } => {
                    self.confirm(request, &author, reply, engine)
                }
                Transaction::Rollback { request, author, reply } => {
                    self.rollback(request, &author, reply, engine)
                }
                Transaction::Objects { kind, name, reply } => {
                    answer(reply, self.objects(kind, name.as_deref(), engine));
                }
                Transaction::Edit { edit, author, reply } => self.edit(edit, author, reply, engine),
                Transaction::History(reply) => answer(reply, self.history(engine)),
                Transaction::Document { revision, secrets, author, reply } => {
                    answer(reply, self.document(revision, secrets, &author, engine));
                }
            }
        }
    }

    fn commit(
        &mut self,
        request: CommitRequest,
        Author(author): Author,
        reply: Reply<CommitReport>,
        engine: &Engine,
    ) {
        let CommitRequest { text, file, comment, confirm_secs, dry_run, idempotency_key: token } = request;
        let terms = Terms { author, comment, confirm_secs, dry_run, token };
        let store = match self.store(engine) {
            Ok(store) => store,
            Err(problem) => return answer(reply, Err(problem)),
        };
        if let Some(done) =
            terms.token.as_deref().filter(|_| !dry_run).and_then(|token| done_before(&store, token))
        {
            let Revision { entry: Entry { number, comment: before, .. }, text: committed } = done;
            return if says(&text, &committed) && before == terms.comment {
                let report = CommitReport { revision: Some(number), pending: self.pending(), ..unchanged() };
                answer(reply, Ok(report))
            } else {
                answer(reply, Err(Problem::key_reused(format!("revision {number} was committed with it"))))
            };
        }
        match prepare(terms.draft(Zeroizing::new(text), engine), &file, engine) {
            Ok(prepared) => self.put_into_force(store, prepared, &terms, reply),
            Err(refused) => answer(reply, refused),
        }
    }

    /// Answers with the plan where that is all that is wanted, else stores it.
    fn put_into_force(
        &mut self,
        store: Arc<Store>,
        prepared: Prepared,
        terms: &Terms,
        reply: Reply<CommitReport>,
    ) {
        if terms.dry_run {
            return answer(reply, Ok(prepared.report));
        }
        if let Some(pending) = self.pending() {
            return answer(reply, Err(confirm_first(pending)));
        }
        let mode = terms.confirm_secs.map_or(Mode::Final, |secs| Mode::Confirm { secs });
        self.begin(store, prepared, mode, Some(reply));
    }

    fn rollback(
        &mut self,
        request: RollbackRequest,
        Author(author): &Author,
        reply: Reply<CommitReport>,
        engine: &Engine,
    ) {
        let found = self.store(engine).and_then(|store| {
            let revision = self.rollback_target(&store, request.revision)?;
            Ok((store, revision))
        });
        let (store, revision) = match found {
            Ok(found) => found,
            Err(problem) => return answer(reply, Err(problem)),
        };
        let number = revision.entry.number;
        let draft =
            state::again(&revision, author, format!("back to revision {number}"), clock::wall().as_secs());
        match prepare(draft, &format!("revision {number}"), engine) {
            Ok(Prepared { report, .. }) if request.dry_run => answer(reply, Ok(report)),
            Ok(prepared) => self.begin(store, prepared, Mode::Return, Some(reply)),
            Err(refused) => answer(reply, refused),
        }
    }

    /// The revision to return to: the one that is named, or what a missing confirmation would return to.
    fn rollback_target(&self, store: &Store, number: Option<u64>) -> Result<Revision, Problem> {
        let number = match (number, self.pending()) {
            (Some(number), _) => number,
            (None, Some(pending)) => pending.fallback,
            (None, None) => {
                let detail = "no revision waits for a confirmation, and none was named";
                let problem = Problem::new(409, "NothingPending", "Nothing to roll back", detail);
                return Err(problem.fix("name a revision: `esplanade config history` lists them"));
            }
        };
        let revision = store.revision(number).map_err(|error| of_store(&error))?;
        revision.ok_or_else(|| no_revision(number))
    }

    fn confirm(
        &mut self,
        request: ConfirmRequest,
        Author(author): &Author,
        reply: Reply<PendingConfirmation>,
        engine: &Engine,
    ) {
        let store = match self.store(engine) {
            Ok(store) => store,
            Err(problem) => return answer(reply, Err(problem)),
        };
        let pending = match self.pending() {
            None => return answer(reply, Err(of_store(&StoreError::NothingPending))),
            Some(pending) if request.revision.is_some_and(|wanted| wanted != pending.revision) => {
                let detail =
                    format!("revision {} waits for its confirmation, not that one", pending.revision);
                return answer(
                    reply,
                    Err(Problem::new(409, "OtherRevision", "Another revision waits", detail)),
                );
            }
            Some(pending) => pending,
        };
        tracing::info!(revision = pending.revision, author, "confirmed");
        let thread = spawn_blocking(move || store.confirm().map(drop));
        let author = author.clone();
        self.job = Some(Job { thread, then: Then::Confirmed { pending, author, reply } });
    }

    /// The time to confirm is over.
    fn go_back(&mut self, engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let Some(pending) = store.pending()? else { return Ok(()) };
        let Some(fallback) = store.revision(pending.fallback)? else { return Ok(()) };
        let comment = state::returned(pending);
        tracing::warn!("{comment}");
        let draft = state::again(&fallback, state::DAEMON, comment, clock::wall().as_secs());
        let document = Box::new(state::load(&fallback, engine.interface_ids())?);
        self.begin(store, Prepared { document, draft, report: unchanged() }, Mode::Return, None);
        Ok(())
    }

    fn begin(
        &mut self,
        store: Arc<Store>,
        prepared: Prepared,
        mode: Mode,
        reply: Option<Reply<CommitReport>>,
    ) {
        let Prepared { document, draft, report } = prepared;
        tracing::info!(author = draft.author, comment = draft.comment, ?mode, "commit");
        let author = draft.author.clone();
        let thread = spawn_blocking(move || store.commit(&draft, mode).map(drop));
        self.job = Some(Job { thread, then: Then::Apply { document, report, author, mode, reply } });
    }

    fn history(&self, engine: &Engine) -> Result<History, Problem> {
        let entries = self.store(engine)?.history().map_err(|error| of_store(&error))?;
        Ok(History { revisions: entries.into_iter().map(entry).collect(), pending: self.pending() })
    }

    fn document(
        &self,
        revision: Option<u64>,
        secrets: bool,
        Author(author): &Author,
        engine: &Engine,
    ) -> Result<Document, Problem> {
        let (entry, text) = match revision {
            None => (self.current(), engine.document().text.clone().into_inner()),
            Some(number) => {
                let found = self.store(engine)?.revision(number).map_err(|error| of_store(&error))?;
                let Revision { entry, text } = found.ok_or_else(|| no_revision(number))?;
                (Some(entry), text)
            }
        };
        let revision = entry.map(self::entry);
        if secrets {
            let number = revision.as_ref().map(|revision| revision.revision);
            tracing::info!(author, revision = number, "the document was read with its secrets");
            return Ok(Document { revision, text: text.to_string(), redacted: false });
        }
        Ok(Document { revision, text: gateway::redact::redact(&text), redacted: true })
    }

    fn store(&self, engine: &Engine) -> Result<Arc<Store>, Problem> {
        self.store.clone().ok_or_else(|| {
            let detail = format!("this gateway is run from {}", engine.document().file.display());
            Problem::new(409, "RunFromFile", "The gateway is run from a file", detail)
                .fix("change it and `esplanade config reload`, or start with --state FOLDER")
        })
    }

    fn current(&self) -> Option<Entry> {
        Some(self.store.as_ref()?.current().ok()??.entry)
    }

    fn pending(&self) -> Option<PendingConfirmation> {
        let Pending { revision, fallback, .. } = self.store.as_ref()?.pending().ok()??;
        let left = self.returns_at.map_or(0, |at| at.since(clock::now()).as_secs());
        Some(PendingConfirmation { revision, fallback, left_secs: left })
    }

    /// Learns from the store whether a revision waits for its confirmation.
    fn look_for_pending(&mut self) {
        let pending = self.store.as_ref().and_then(|store| store.pending().ok().flatten());
        let left = |pending: Pending| Duration::from_secs(pending.left(clock::wall().as_secs()));
        self.returns_at = pending.map(|pending| clock::now() + left(pending));
    }
}

/// Checks and plans, with the keys that the document leaves open; what it refuses with is the client's answer.
fn prepare(draft: Draft, name: &str, engine: &Engine) -> Result<Prepared, Result<CommitReport, Problem>> {
    let (place, in_force) = (state::place(&draft.folder), engine.document().text.expose());
    match load_open(&draft.text, in_force, name, &place, engine.interface_ids()) {
        Ok(document) => {
            let report = engine.commit_report(&document);
            let draft = Draft { text: document.text.clone().into_inner(), ..draft };
            Ok(Prepared { document: Box::new(document), draft, report })
        }
        Err(error) => Err(reload_failed(&error).map(|report| CommitReport {
            valid: report.valid,
            problems: report.problems,
            ..unchanged()
        })),
    }
}

/// The revision that was committed with this idempotency key.
fn done_before(store: &Store, token: &str) -> Option<Revision> {
    let history = store.history().ok()?;
    let entry = history.iter().find(|entry| entry.token.as_deref() == Some(token))?;
    store.revision(entry.number).ok()?
}

/// Whether a text became `committed`, with the keys that it leaves open.
fn says(text: &str, committed: &str) -> bool {
    let none = || Psk::generate(&[0; psk::GENERATED]);
    let keys::Completed { restored, filled } = keys::complete(text, committed, none);
    *filled.unwrap_or(restored) == *committed
}

fn unchanged() -> CommitReport {
    let (problems, changes) = (Vec::new(), Vec::new());
    CommitReport { valid: true, problems, changes, revision: None, pending: None, state: None }
}

fn entry(entry: Entry) -> RevisionEntry {
    let Entry { number: revision, at, author, comment, .. } = entry;
    RevisionEntry { revision, at, author, comment }
}

/// A client that hung up does not matter.
fn answer<T>(reply: Reply<T>, result: Result<T, Problem>) {
    drop(reply.send(result));
}

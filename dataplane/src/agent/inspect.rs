//! Operators who ask the data plane itself: a few at a time, none of whom it waits for.

mod explain;
mod runtime;
mod tell;
mod watch;

use std::os::fd::BorrowedFd;

use arrayvec::ArrayVec;
use shm::inspect::{InspectError, InspectorEnd, MAX_INSPECTORS, Question, Record};

use super::Agent;
use super::environment::Environment;
use crate::journey::{Lens, Lenses};

/// Questions of one inspector that one turn answers.
const QUESTIONS_PER_TURN: usize = 4;

/// Those who are connected.
#[derive(Debug, Default)]
pub(super) struct Inspectors {
    ends: ArrayVec<Inspector, MAX_INSPECTORS>,
    lost: u64,
    /// What the workers look through.
    published: Lenses,
    /// Losses of the workers so far.
    workers_lost: u64,
}

/// One of them.
#[derive(Debug)]
struct Inspector {
    end: InspectorEnd,
    /// What it watches.
    lens: Option<Lens>,
    /// Records lost that it does not know of.
    lost: u64,
}

impl Inspector {
    /// False if it must go.
    fn send(&mut self, record: &Record) -> bool {
        match self.end.send(record) {
            Ok(sent) => {
                self.lost += u64::from(!sent);
                true
            }
            Err(InspectError::Gone) => false,
            Err(error) => {
                tracing::warn!(pid = self.end.peer_pid(), %error, "inspector");
                false
            }
        }
    }
}

impl Inspectors {
    /// Takes one more in, or tells it that there are too many.
    pub(super) fn admit(&mut self, end: InspectorEnd) {
        tracing::debug!(pid = end.peer_pid(), "inspector connected");
        let inspector = Inspector { end, lens: None, lost: 0 };
        if let Err(refused) = self.ends.try_push(inspector) {
            let message = format!("{MAX_INSPECTORS} inspectors are connected already: end one of them");
            refused.element().send(&Record::Refused { message });
        }
    }

    /// What the workers lost since this was last asked; `total` is since they started.
    fn lost_since(&mut self, total: u64) -> u64 {
        total - std::mem::replace(&mut self.workers_lost, total)
    }

    /// Readable when there is a question.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ends.iter().map(|inspector| inspector.end.fd())
    }

    /// Records lost because their reader, or the way to it, was too slow.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

impl<E: Environment> Agent<E> {
    /// Answers the questions that have come, and tells what was watched; returns how many.
    pub(super) fn serve_inspectors(&mut self) -> usize {
        let mut served = 0;
        for mut inspector in std::mem::take(&mut self.inspectors.ends) {
            if self.serve_inspector(&mut inspector, &mut served) {
                self.inspectors.ends.push(inspector);
            } else {
                self.inspectors.lost += inspector.lost;
            }
        }
        self.publish_lenses();
        served + self.tell_journeys()
    }

    /// False once the inspector is gone, or broke the contract.
    fn serve_inspector(&mut self, inspector: &mut Inspector, served: &mut usize) -> bool {
        for _ in 0..QUESTIONS_PER_TURN {
            let question = match inspector.end.receive() {
                Ok(Some(question)) => question,
                Ok(None) => return true,
                Err(InspectError::Gone) => return false,
                Err(error) => {
                    tracing::warn!(pid = inspector.end.peer_pid(), %error, "inspector");
                    return false;
                }
            };
            *served += 1;
            let (lens, record) = self.answer_question(&question);
            inspector.lens = lens;
            if !inspector.send(&record) {
                return false;
            }
        }
        true
    }

    fn answer_question(&self, question: &Question) -> (Option<Lens>, Record) {
        let watched = match question {
            Question::Explain(what) => {
                let answer = self.explain(what).map(Record::Explained);
                return (None, answer.unwrap_or_else(|message| Record::Refused { message }));
            }
            Question::Runtime { worker } => {
                let answer = self.runtime(*worker).map(|runtime| Record::Runtime(Box::new(runtime)));
                return (None, answer.unwrap_or_else(|message| Record::Refused { message }));
            }
            Question::Trace(filter) => watch::lens(filter, None),
            Question::Capture(capture) => watch::lens(&capture.filter, Some(watch::photo(capture))),
            _ => Err("this data plane does not know the question: install the same release of both".into()),
        };
        match watched {
            Ok(lens) => (Some(lens), Record::Watching),
            Err(message) => (None, Record::Refused { message }),
        }
    }
}

//! Operators who ask the data plane itself: a few at a time, none of whom it waits for.

mod explain;

use std::os::fd::BorrowedFd;

use arrayvec::ArrayVec;
use shm::inspect::{InspectError, InspectorEnd, MAX_INSPECTORS, Question, Record};

use super::Agent;
use super::environment::Environment;

/// Questions of one inspector that one turn answers.
const QUESTIONS_PER_TURN: usize = 4;

/// Those who are connected.
#[derive(Debug, Default)]
pub(super) struct Inspectors {
    ends: ArrayVec<InspectorEnd, MAX_INSPECTORS>,
    lost: u64,
}

impl Inspectors {
    /// Takes one more in, or tells it that there are too many.
    pub(super) fn admit(&mut self, end: InspectorEnd) {
        tracing::debug!(pid = end.peer_pid(), "inspector connected");
        if let Err(refused) = self.ends.try_push(end) {
            let message = format!("{MAX_INSPECTORS} inspectors are connected already: end one of them");
            self.send(&refused.element(), &Record::Refused { message });
        }
    }

    /// Readable when there is a question.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ends.iter().map(InspectorEnd::fd)
    }

    /// Records lost because their reader was too slow.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// False if the inspector must go.
    fn send(&mut self, end: &InspectorEnd, record: &Record) -> bool {
        match end.send(record) {
            Ok(sent) => {
                self.lost += u64::from(!sent);
                true
            }
            Err(InspectError::Gone) => false,
            Err(error) => {
                tracing::warn!(pid = end.peer_pid(), %error, "inspector");
                false
            }
        }
    }
}

impl<E: Environment> Agent<E> {
    /// Answers the questions that have come; returns how many.
    pub(super) fn serve_inspectors(&mut self) -> usize {
        let mut answered = 0;
        for mut end in std::mem::take(&mut self.inspectors.ends) {
            if self.serve_inspector(&mut end, &mut answered) {
                self.inspectors.ends.push(end);
            }
        }
        answered
    }

    /// False once the inspector is gone, or broke the contract.
    fn serve_inspector(&mut self, end: &mut InspectorEnd, answered: &mut usize) -> bool {
        for _ in 0..QUESTIONS_PER_TURN {
            let question = match end.receive() {
                Ok(Some(question)) => question,
                Ok(None) => return true,
                Err(InspectError::Gone) => return false,
                Err(error) => {
                    tracing::warn!(pid = end.peer_pid(), %error, "inspector");
                    return false;
                }
            };
            *answered += 1;
            let record = self.answer_question(&question);
            if !self.inspectors.send(end, &record) {
                return false;
            }
        }
        true
    }

    fn answer_question(&self, question: &Question) -> Record {
        let refused = |message: String| Record::Refused { message };
        match question {
            Question::Explain(what) => self.explain(what).map_or_else(refused, Record::Explained),
            _ => {
                refused("this data plane does not know the question: install the same release of both".into())
            }
        }
    }
}

//! Staging the changes of a transaction until its commit.

use shm::message::{Begin, Change, RejectCode, Staged, TxnId};

/// Most changes of one transaction: a full table of routes with room to spare.
const MAX_CHANGES: usize = 1 << 18;
/// `Rejected::index` where no change is to blame.
pub(super) const NO_INDEX: u32 = u32::MAX;

/// Why a transaction does not go on; what `Rejected` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) index: u32,
    pub(super) code: RejectCode,
}

impl From<RejectCode> for Refusal {
    fn from(code: RejectCode) -> Self {
        Self { index: NO_INDEX, code }
    }
}

/// A transaction that may be applied.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) full: bool,
    pub(super) changes: Vec<Change>,
}

/// The one open transaction of a session.
#[derive(Debug, Default)]
pub(super) struct Staging {
    open: Option<(TxnId, Transaction)>,
    /// The first reason why it cannot be committed.
    failed: Option<Refusal>,
    newest: Option<TxnId>,
}

impl Staging {
    /// Opens a transaction: one at a time, with rising numbers.
    pub(super) fn begin(&mut self, begin: Begin) -> Result<(), Refusal> {
        if self.open.is_some() || self.newest.is_some_and(|newest| begin.txn <= newest) {
            return Err(RejectCode::TransactionOrder.into());
        }
        self.newest = Some(begin.txn);
        self.failed = None;
        self.open = Some((begin.txn, Transaction { full: begin.full, changes: Vec::new() }));
        Ok(())
    }

    /// Adds a change. One that is too many is reported by the commit.
    pub(super) fn stage(&mut self, staged: Staged) -> Result<(), Refusal> {
        let Some((_, transaction)) = self.open.as_mut().filter(|(txn, _)| *txn == staged.txn) else {
            return Err(RejectCode::UnknownTransaction.into());
        };
        if transaction.changes.len() >= MAX_CHANGES {
            let index = u32::try_from(MAX_CHANGES).unwrap_or(NO_INDEX);
            self.failed.get_or_insert(Refusal { index, code: RejectCode::TooManyChanges });
        } else {
            transaction.changes.push(staged.change);
        }
        Ok(())
    }

    /// Closes the transaction and hands out what is to be applied.
    pub(super) fn commit(&mut self, txn: TxnId) -> Result<Transaction, Refusal> {
        let transaction = self.close(txn)?;
        self.failed.take().map_or(Ok(transaction), Err)
    }

    /// Closes the transaction and forgets its changes.
    pub(super) fn abort(&mut self, txn: TxnId) -> Result<(), Refusal> {
        self.close(txn).map(drop)
    }

    fn close(&mut self, txn: TxnId) -> Result<Transaction, Refusal> {
        let open = self.open.take_if(|(open, _)| *open == txn);
        open.map(|(_, transaction)| transaction).ok_or(RejectCode::UnknownTransaction.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm::message::{DeleteTunnel, TunnelId};

    fn begin(txn: u64) -> Begin {
        Begin { txn: TxnId(txn), full: false }
    }

    fn change(txn: u64, tunnel: u32) -> Staged {
        Staged { txn: TxnId(txn), change: DeleteTunnel { id: TunnelId(tunnel) }.into() }
    }

    #[test]
    fn changes_come_out_in_order() {
        let mut staging = Staging::default();
        staging.begin(Begin { txn: TxnId(1), full: true }).unwrap();
        staging.stage(change(1, 7)).unwrap();
        staging.stage(change(1, 8)).unwrap();
        let transaction = staging.commit(TxnId(1)).unwrap();
        assert!(transaction.full);
        assert_eq!(transaction.changes, [change(1, 7).change, change(1, 8).change]);
        assert_eq!(staging.commit(TxnId(1)).unwrap_err().code, RejectCode::UnknownTransaction);
    }

    #[test]
    fn one_transaction_at_a_time_with_rising_numbers() {
        let mut staging = Staging::default();
        staging.begin(begin(5)).unwrap();
        assert_eq!(staging.begin(begin(6)), Err(RejectCode::TransactionOrder.into()));
        assert_eq!(staging.stage(change(6, 1)), Err(RejectCode::UnknownTransaction.into()));
        assert_eq!(staging.abort(TxnId(6)), Err(RejectCode::UnknownTransaction.into()));
        staging.abort(TxnId(5)).unwrap();
        assert_eq!(staging.begin(begin(5)), Err(RejectCode::TransactionOrder.into()));
        staging.begin(begin(7)).unwrap();
        assert!(staging.commit(TxnId(7)).unwrap().changes.is_empty());
    }

    #[test]
    fn too_many_changes_are_refused_by_the_commit() {
        let mut staging = Staging::default();
        staging.begin(begin(1)).unwrap();
        for _ in 0..=MAX_CHANGES {
            staging.stage(change(1, 1)).unwrap();
        }
        let refusal = staging.commit(TxnId(1)).unwrap_err();
        assert_eq!((refusal.index, refusal.code), (1 << 18, RejectCode::TooManyChanges));
    }
}

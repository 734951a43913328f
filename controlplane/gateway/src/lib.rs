//! Resource model, validation, planning, reconcile: pure.

//! Quiescent-state reclamation and the huge-page arena.

//! Hugepage reservation, NIC binding and the checks behind doctor.

//! Raw DPDK bindings and the C shim.

//! IKE endpoints on a virtual clock and a lossy network.

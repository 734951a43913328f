//! Real peers in network namespaces.

//! RIB, priorities, ECMP and forwarding tables: pure.

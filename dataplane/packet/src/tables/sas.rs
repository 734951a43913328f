//! Changes of security associations.

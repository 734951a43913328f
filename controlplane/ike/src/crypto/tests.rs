//! Vectors and round trips of the cryptography.

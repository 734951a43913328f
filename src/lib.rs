//! What the `esplanade` command is made of that others use too: the API's client, and the laboratory of namespaces and peers.
#![forbid(unsafe_code)]

pub mod client;
pub mod lab;

//! HTTP API types and routes.

//! The routes of the daemon.

//! The data plane process: workers and agent.

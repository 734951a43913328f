//! Headers, ESP, SAD, policies, routes and the forwarding decision: pure.

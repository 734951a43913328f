//! Sans-io IKEv2 (and later IKEv1).

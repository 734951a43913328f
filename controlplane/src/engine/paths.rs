//! What the data plane's probes found of the tunnels' paths.

use shm::message::{PathFound, PathLimit, PathState, Reach, TunnelId};

use super::Engine;

impl Engine {
    /// Probes found something new.
    pub(super) fn path_found(&mut self, found: PathFound) {
        let PathFound { tunnel, path } = found;
        let before = self.paths.insert(tunnel, path);
        let Some(key) = self.tunnel_key(tunnel.0) else { return };
        let ways = [
            ("outbound", path.outbound, before.map(|path| path.outbound)),
            ("inbound", path.inbound, before.map(|path| path.inbound)),
        ];
        for (direction, now, before) in ways {
            if path.state == PathState::Complete && now.limit == PathLimit::BlackHole && before != Some(now) {
                let (tunnel, mtu) = (self.tunnel_name(key), now.size);
                tracing::warn!(
                    tunnel,
                    direction,
                    mtu,
                    "black hole: larger packets vanish, and no ICMP says so"
                );
            }
        }
    }

    /// What is known of a tunnel's path, as the API has it.
    pub(super) fn path(&self, tunnel: u32) -> Option<api::Path> {
        let path = self.paths.get(&TunnelId(tunnel))?;
        let state = match path.state {
            PathState::Off => api::PathState::Off,
            PathState::Waiting => api::PathState::Waiting,
            PathState::Silent => api::PathState::Silent,
            PathState::Searching => api::PathState::Searching,
            PathState::Complete => api::PathState::Complete,
            PathState::Stuck => api::PathState::Stuck,
        };
        Some(api::Path { state, outbound: reach(path.outbound), inbound: reach(path.inbound) })
    }
}

fn reach(found: Reach) -> Option<api::Reach> {
    let limit = match found.limit {
        PathLimit::Link => api::PathLimit::Link,
        PathLimit::Router => api::PathLimit::Router,
        PathLimit::BlackHole => api::PathLimit::BlackHole,
        PathLimit::Fragmented => api::PathLimit::Fragmented,
        PathLimit::Sender => api::PathLimit::Sender,
    };
    (found.size > 0).then_some(api::Reach { mtu: found.size, limit })
}

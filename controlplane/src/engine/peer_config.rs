//! What the peer of a connection must be configured with.

use api::{PeerConfig, PeerFile, Problem};
use gateway::peer::{self, PeerTunnel, Vendor};
use gateway::plan::TunnelPlan;

use super::Engine;
use crate::document::Loaded;

impl Engine {
    /// The files for the peer, with the pre-shared key in them: who asked is told in the log.
    pub(super) fn view_peer_config(&self, connection: &str, vendor: &str) -> Result<PeerConfig, Problem> {
        let Some(vendor) = Vendor::from_name(vendor) else {
            let known: Vec<_> = Vendor::ALL.iter().map(|vendor| vendor.name()).collect();
            let problem = Problem::not_found(format!("there is no vendor {vendor}"));
            return Err(problem.fix(format!("one of {}", known.join(", "))));
        };
        let Loaded { desired, plan, .. } = &self.document;
        let tunnels = PeerTunnel::of(desired, &plan.tunnels, connection, |tunnel| self.secret(tunnel));
        if tunnels.is_empty() {
            return Err(Problem::not_found(format!("there is no connection {connection}")));
        }
        let config = peer::render(vendor, &tunnels).map_err(|unsupported| {
            let title = "The peer's software cannot do this";
            Problem::new(422, "UnsupportedByVendor", title, unsupported.to_string()).fix(unsupported.fix)
        })?;
        tracing::info!(
            connection,
            vendor = vendor.name(),
            "the configuration of the peer was read, its key too"
        );
        let file = |file: peer::PeerFile| PeerFile { path: file.path, text: file.text.to_string() };
        Ok(PeerConfig { files: config.files.into_iter().map(file).collect(), notes: config.notes })
    }

    /// The pre-shared key of a tunnel, where it has one.
    fn secret(&self, tunnel: &TunnelPlan) -> Option<&str> {
        let auth = self.document.auth.get(&tunnel.id)?;
        let key = match (&auth.local, &auth.remote) {
            (ike::LocalAuth::Psk(key), _) | (_, ike::RemoteAuth::Psk(key)) => key,
            _ => return None,
        };
        // Its characters were checked when it was read.
        std::str::from_utf8(key.expose()).ok()
    }
}

//! What of a connection stays as long as the connection does (RM-02, RM-06, RM-12).

use crate::model::{Connection, Tunnel};

/// A change that makes another connection of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Immutable {
    /// Stable name: `GatewayImmutable`, `CustomerGatewayImmutable` or `RoleImmutable`.
    pub code: &'static str,
    /// Within the object, such as `tunnel[0].customer-gateway`.
    pub path: String,
    pub message: String,
}

/// The first thing of `old` that a change may not touch and `new` has otherwise.
#[must_use]
pub fn immutable(old: &Connection, new: &Connection) -> Option<Immutable> {
    if old.vpn_gateway != new.vpn_gateway {
        let message = format!("the connection is one of VPN gateway {}", old.vpn_gateway);
        return Some(Immutable { code: "GatewayImmutable", path: "vpn-gateway".to_owned(), message });
    }
    if swapped(&old.tunnels, &new.tunnels) {
        let message = "the first tunnel is the primary one and the second the secondary one".to_owned();
        return Some(Immutable { code: "RoleImmutable", path: "tunnel".to_owned(), message });
    }
    let mut tunnels = old.tunnels.iter().zip(&new.tunnels).enumerate();
    let (at, (old, _)) = tunnels.find(|(_, (old, new))| old.customer_gateway != new.customer_gateway)?;
    let path = format!("tunnel[{at}].customer-gateway");
    let message = format!("the tunnel leads to customer gateway {}", old.customer_gateway);
    Some(Immutable { code: "CustomerGatewayImmutable", path, message })
}

/// Whether each of two tunnels has the other's place.
fn swapped(old: &[Tunnel], new: &[Tunnel]) -> bool {
    let ([first, second], [new_first, new_second]) = (old, new) else { return false };
    let all = first != second && (first, second) == (new_second, new_first);
    let (a, b) = (&first.customer_gateway, &second.customer_gateway);
    all || a != b && (a, b) == (&new_second.customer_gateway, &new_first.customer_gateway)
}

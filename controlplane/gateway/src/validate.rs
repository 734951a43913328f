//! What only the whole document shows: references, duplicates, and rules between resources.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{At, Code, Problem, Sink};
use crate::document::{Document, Parsed, ParsedConnection};
use crate::model::{CustomerGateway, Desired, VpnGateway};

mod connection;
mod host;
mod system;
#[cfg(test)]
mod tests;

/// Checks `document` as a whole and fills in the values that depend on other resources.
pub(crate) fn validate(document: Document, sink: &mut Sink<'_>) -> Desired {
    let Document {
        control,
        ports,
        interfaces,
        mut routes,
        policies,
        host_addresses,
        mut vpn_gateways,
        customer_gateways,
        mut connections,
    } = document;
    system::interfaces(&interfaces, ports.as_deref(), sink);
    ends(&mut vpn_gateways, &customer_gateways, &interfaces, sink);
    let customers: BTreeMap<String, CustomerGateway> =
        customer_gateways.into_iter().map(|c| (c.value.name.clone(), c.value)).collect();
    let context = connection::Context { gateways: &vpn_gateways, customers: &customers };
    unique(connections.iter().map(|c| (c.connection.value.name.as_str(), c.connection.field("name"))), sink);
    for connection in &mut connections {
        connection::check(connection, &context, sink);
    }
    connection::apart(&connections, &context, &interfaces, sink);
    system::routes(&mut routes, &interfaces, &connections, sink);
    system::policies(&policies, sink);
    host::addresses(&host_addresses, &interfaces, &connections, sink);
    connection::reachable(&connections, &routes, sink);
    Desired {
        control,
        interfaces: values(interfaces),
        routes: values(routes),
        policies: values(policies),
        host_addresses: values(host_addresses),
        vpn_gateways: values(vpn_gateways),
        customer_gateways: customers,
        connections: connections.into_iter().map(joined).collect(),
    }
}

fn values<T>(parsed: Vec<Parsed<T>>) -> Vec<T> {
    parsed.into_iter().map(|p| p.value).collect()
}

fn joined(parsed: ParsedConnection) -> crate::model::Connection {
    let mut connection = parsed.connection.value;
    connection.tunnels = values(parsed.tunnels);
    connection
}

/// Names of both ends are unique and gateway addresses are on outside interfaces.
fn ends(
    gateways: &mut [Parsed<VpnGateway>],
    customers: &[Parsed<CustomerGateway>],
    interfaces: &[Parsed<crate::model::Interface>],
    sink: &mut Sink<'_>,
) {
    unique(gateways.iter().map(|g| (g.value.name.as_str(), g.field("name"))), sink);
    unique(customers.iter().map(|c| (c.value.name.as_str(), c.field("name"))), sink);
    for gateway in gateways {
        let mut seen = BTreeSet::new();
        for address in &gateway.value.addresses {
            let at = gateway.field("addresses");
            if !seen.insert(*address) {
                let problem = Problem::new(Code::Duplicate, at, format!("{address} is listed twice"));
                sink.error(problem.fix("give two different addresses, or one"));
            } else if system::outside_interface(interfaces, *address).is_none() {
                let message = format!("{address} is on no outside interface");
                let fix = format!(
                    "add it to the addresses of an [[interface]] with role = \"outside\": \"{address}/24\""
                );
                sink.error(
                    Problem::new(Code::AddressNotOurs, at, message).value(address.to_string()).fix(fix),
                );
            }
        }
    }
}

/// Reports every name that was used before. Empty names are placeholders.
fn unique<'a>(names: impl Iterator<Item = (&'a str, &'a At)>, sink: &mut Sink<'_>) {
    let mut seen: BTreeMap<&str, &At> = BTreeMap::new();
    for (name, at) in names.filter(|(name, _)| !name.is_empty()) {
        if let Some(first) = seen.get(name) {
            let problem = Problem::new(Code::Duplicate, at, format!("{name} is taken by {}", first.path));
            sink.error(problem.value(name).fix("choose another name"));
        } else {
            seen.insert(name, at);
        }
    }
}

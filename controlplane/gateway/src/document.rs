//! Reading the text: TOML or JSON with positions, into resources that know where each of their fields stands.
//!
//! A field that is missing or wrong is reported and replaced by a placeholder, so that reading goes on; the
//! placeholders never leave the crate because a report with errors has no desired state.

use std::collections::BTreeMap;

use crate::diagnostic::{At, Code, Problem, Sink};
use crate::model::{
    Connection, Control, CustomerGateway, HostAddress, Interface, Policy, Route, Tunnel, VpnGateway,
};

mod authentication;
mod connection;
mod control;
mod customer;
mod labels;
mod network;
mod reader;
pub(crate) mod secrets;
mod suite;
mod value;

pub(crate) use authentication::read_identity;

use reader::Reader;
pub(crate) use reader::normal;

/// A resource and where its fields stand.
#[derive(Debug)]
pub(crate) struct Parsed<T> {
    pub(crate) value: T,
    pub(crate) at: At,
    fields: BTreeMap<&'static str, At>,
}

impl<T> Parsed<T> {
    /// Where `field` stands, or the resource where it was left out.
    pub(crate) fn field(&self, field: &'static str) -> &At {
        self.fields.get(field).unwrap_or(&self.at)
    }

    /// Whether the document gives `field`.
    pub(crate) fn gives(&self, field: &'static str) -> bool {
        self.fields.contains_key(field)
    }
}

/// A connection with its tunnels apart: each has its own places.
#[derive(Debug)]
pub(crate) struct ParsedConnection {
    pub(crate) connection: Parsed<Connection>,
    pub(crate) tunnels: Vec<Parsed<Tunnel>>,
}

/// The document as read.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) control: Control,
    /// Names of the data plane's ports; `None` where the document does not list them.
    pub(crate) ports: Option<Vec<String>>,
    pub(crate) interfaces: Vec<Parsed<Interface>>,
    pub(crate) routes: Vec<Parsed<Route>>,
    pub(crate) policies: Vec<Parsed<Policy>>,
    pub(crate) host_addresses: Vec<Parsed<HostAddress>>,
    pub(crate) vpn_gateways: Vec<Parsed<VpnGateway>>,
    pub(crate) customer_gateways: Vec<Parsed<CustomerGateway>>,
    pub(crate) connections: Vec<ParsedConnection>,
}

/// Tables of the document to come.
const LATER: &[&str] = &[
    "policy-route",
    "transit-router",
    "attachment",
    "private-circuit",
    "vbr",
    "bgp",
    "health-check",
    "alert",
    "cluster",
];

/// Reads `text`; problems go to `sink`.
pub(crate) fn read(text: &str, sink: &mut Sink<'_>) -> Document {
    let (root, mistakes) = doctree::parse(text);
    let format = if doctree::is_json(text) { "JSON (RFC 8259)" } else { "TOML 1.1: see toml.io" };
    for doctree::Mistake { span, message } in mistakes {
        let at = At { path: String::new(), span };
        sink.error(Problem::new(Code::Syntax, &at, message).fix(format!("the document is {format}")));
    }
    sink.hide(secrets::spans(root.get_ref()));
    let mut reader = Reader::new(root.get_ref(), At { path: String::new(), span: 0..0 });
    let control::Both { control, ports } = control::read(&mut reader, sink);
    let document = Document {
        control,
        ports,
        interfaces: reader.each("interface", sink, network::interface),
        routes: reader.each("route", sink, network::route),
        policies: reader.each("policy", sink, network::policy),
        host_addresses: reader.each("host-address", sink, network::host_address),
        vpn_gateways: reader.each("vpn-gateway", sink, customer::vpn_gateway),
        customer_gateways: reader.each("customer-gateway", sink, customer::customer_gateway),
        connections: reader.each("connection", sink, connection::connection),
    };
    reader.finish(LATER, sink);
    document
}

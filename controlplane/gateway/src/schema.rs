//! The JSON Schema of the document, for editors and for those who write documents by program.
//!
//! It has each key by its name and the values that a schema can tell; [`check`](crate::check) knows the rest, and
//! understands other spellings too.

use serde_json::{Map, Value, json};

use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::psk;

/// The schema (draft 2020-12) of a document in JSON, or of a TOML document as the same tree.
#[must_use]
pub fn schema() -> Value {
    let mut schema = object(
        &[],
        [
            ("control", control()),
            ("api", api()),
            ("dataplane", dataplane()),
            ("interface", one_or_many(&interface())),
            ("route", one_or_many(&route())),
            ("policy", one_or_many(&policy())),
            ("host-address", one_or_many(&host_address())),
            ("vpn-gateway", one_or_many(&vpn_gateway())),
            ("customer-gateway", one_or_many(&customer_gateway())),
            ("connection", one_or_many(&connection())),
        ],
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Configuration of an Esplanade gateway".into();
    schema["description"] = "TOML or JSON. Lists of one may be written without the list.".into();
    schema
}

fn control() -> Value {
    object(
        &[],
        [
            ("socket", text("path of the API's Unix socket")),
            ("log", text("filter such as info or ike=debug")),
            ("journal", flag("keep IKE SAs over a restart of the control plane")),
        ],
    )
}

fn api() -> Value {
    let groups = |role| one_or_many(&text(role));
    object(
        &[],
        [
            ("state", text("folder for tokens and the audit log")),
            ("viewers", groups("groups of this machine that may read state and figures")),
            ("operators", groups("groups of this machine that may act on tunnels, too")),
            ("admins", groups("groups of this machine that may everything")),
            ("listen", one_or_many(&text("own address with port for TLS, 192.0.2.1:8443"))),
            ("certificate", text("file with the certificate chain for TLS; a CA of its own by default")),
            ("key", text("file of mode 0600 with its key")),
        ],
    )
}

/// What both processes read of it; the data plane checks the rest.
fn dataplane() -> Value {
    let port = json!({ "type": "object", "properties": { "name": text("what interfaces call it") } });
    let mut section = object(
        &[],
        [
            ("socket", text("path of the data plane's Unix socket")),
            ("port", json!({ "type": "array", "items": port })),
        ],
    );
    section["additionalProperties"] = true.into();
    section
}

fn interface() -> Value {
    object(
        &["name", "port", "role"],
        [
            ("name", name()),
            ("port", text("a port of [dataplane]")),
            ("vlan", number(1, 4094, "untagged where it is left out")),
            ("role", words(["outside", "inside"])),
            ("vrf", vrf()),
            ("addresses", one_or_many(&text("own address with prefix length, 192.0.2.1/24"))),
            ("mtu", number(576, 9216, "bytes, 1500 by default")),
        ],
    )
}

fn route() -> Value {
    object(
        &["prefix"],
        [
            ("vrf", vrf()),
            ("prefix", text("network, 10.2.0.0/24")),
            ("via", text("address of a router")),
            ("interface", text("name of an interface")),
            ("connection", text("name of a connection")),
            ("discard", flag("packets are dropped")),
        ],
    )
}

fn policy() -> Value {
    let ports = json!({ "anyOf": [number(0, 65_535, "a port"), text("a range, 8000-8100")] });
    let protocol = words(["any", "icmp", "icmpv6", "tcp", "udp"]);
    object(
        &["action", "src", "dst"],
        [
            ("vrf", vrf()),
            ("action", words(["bypass", "discard"])),
            ("direction", words(["both", "out", "in"])),
            ("src", text("network of our side")),
            ("dst", text("network of the other side")),
            ("protocol", json!({ "anyOf": [protocol, number(1, 255, "IP protocol number")] })),
            ("src-ports", ports.clone()),
            ("dst-ports", ports),
        ],
    )
}

fn host_address() -> Value {
    let address = text("address with prefix length for programs of this machine");
    object(&["address"], [("vrf", vrf()), ("address", address)])
}

fn vpn_gateway() -> Value {
    object(
        &["name", "addresses"],
        [
            ("name", name()),
            ("bandwidth", number(1, 1_000_000, "Mbit/s, 1000 by default")),
            ("addresses", one_or_many(&text("own address on an outside interface"))),
            ("resource-group", name()),
            ("tags", tags()),
        ],
    )
}

fn customer_gateway() -> Value {
    let asn = json!({ "anyOf": [number(1, 4_294_967_295, "AS number"), text("asdot, 123.456")] });
    object(
        &["name", "ip"],
        [
            ("name", name()),
            ("ip", text("address of the peer")),
            ("asn", asn),
            ("resource-group", name()),
            ("tags", tags()),
        ],
    )
}

fn connection() -> Value {
    let policer = object(
        &[],
        [
            ("bandwidth", number(1, 400_000, "Mbit/s")),
            ("pps", number(10, 1_000_000_000, "packets/s")),
            ("burst", number(1, 10_000, "ms, 100 by default")),
        ],
    );
    let dscp = json!({ "anyOf": [words(["copy"]), number(0, 63, "of every packet")] });
    let modes = ["destination", "protected-data-flows", "destination-routing", "flow-protection", "flows"];
    object(
        &["name"],
        [
            ("name", name()),
            ("vpn-gateway", text("name of a VPN gateway; the only one by default")),
            ("routing-mode", words(modes)),
            ("local-networks", one_or_many(&text("network"))),
            ("remote-networks", one_or_many(&text("network"))),
            ("effective-immediately", flag("negotiate at once; else with the first packet")),
            ("vrf", vrf()),
            ("mtu", number(576, 9216, "bytes; automatic by default")),
            ("mss", number(216, 9176, "bytes; automatic by default")),
            ("df", words(["copy", "set", "clear"])),
            ("fragmentation", words(["before", "after"])),
            ("dscp", dscp),
            ("policer", off_or(&policer)),
            ("profile", words(["modern", "classic"])),
            ("compat", words(["2023", "2019"])),
            ("resource-group", name()),
            ("tags", tags()),
            ("tunnel", one_or_many(&tunnel())),
        ],
    )
}

fn tunnel() -> Value {
    let dpd = [
        ("enabled", flag("on by default")),
        ("timeout", number(10, 3600, "seconds until a silent peer is dead")),
    ];
    let probe = [("enabled", flag("on by default")), ("target", text("address beyond the tunnel"))];
    let key = json!({
        "type": "string",
        "minLength": psk::LENGTH.start(),
        "maxLength": psk::LENGTH.end(),
        "description": "pre-shared key",
    });
    object(
        &["customer-gateway"],
        [
            ("customer-gateway", text("name of a customer gateway")),
            ("psk", key),
            ("psk-file", text("file of mode 0600 with the key only")),
            ("certificate", text("file with our own certificate")),
            ("private-key", text("file of mode 0600 with its key, PKCS#8")),
            ("rsa-padding", words(["pss", "pkcs1"])),
            ("ca", one_or_many(&text("file of CA certificates"))),
            ("crl", one_or_many(&text("file of what they revoked"))),
            ("crl-strict", flag("refuse where no revocation list is at hand")),
            ("local-id", text("address, name, name@domain, keyid:TEXT or distinguished name")),
            ("remote-id", text("the same, of the peer")),
            ("ike", ike()),
            ("ipsec", ipsec()),
            ("dpd", off_or(&object(&[], dpd))),
            ("nat-traversal", flag("on by default")),
            ("ike-fragments", off_or(&number(576, 9216, "longest IP packet, bytes"))),
            ("inner-address", text("our address inside the tunnel, of a /30 or /31")),
            ("probe", off_or(&object(&[], probe))),
        ],
    )
}

fn ike() -> Value {
    let ciphers = Encryption::ALL.into_iter().filter(|e| e.is_for_ike()).map(Encryption::name);
    object(
        &[],
        [
            ("version", words(["ikev2"])),
            ("mode", words(["main", "aggressive"])),
            ("encryption", words(ciphers)),
            ("authentication", words(Authentication::ALL.map(Authentication::name))),
            ("dh-group", words(DhGroup::ALL.map(DhGroup::name))),
            ("lifetime", number(0, 86_400, "seconds; 0: no rekey by time")),
            ("reauth", off_or(&number(300, 604_800, "seconds"))),
            ("childless", flag("begin without a CHILD_SA (RFC 6023)")),
        ],
    )
}

fn ipsec() -> Value {
    let groups = DhGroup::ALL.into_iter().map(DhGroup::name).chain(["disabled"]);
    let padding = json!({ "anyOf": [words(["mtu", "none"]), number(64, 9216, "bytes")] });
    object(
        &[],
        [
            ("encryption", words(Encryption::ALL.map(Encryption::name))),
            ("authentication", words(Authentication::ALL.map(Authentication::name))),
            ("pfs", words(groups)),
            ("lifetime", number(0, 86_400, "seconds; 0: no rekey by time")),
            ("esn", flag("extended sequence numbers")),
            ("replay-window", number(32, 32_768, "packets")),
            ("tfc", padding),
        ],
    )
}

/// A table with these keys and no others.
fn object<const N: usize>(required: &[&str], properties: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn one_or_many(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

fn off_or(on: &Value) -> Value {
    json!({ "anyOf": [{ "type": "boolean" }, on] })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn number(least: u32, most: u32, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" })
}

fn vrf() -> Value {
    number(0, 65_535, "0 by default")
}

fn tags() -> Value {
    json!({ "type": "object", "maxProperties": 50, "additionalProperties": { "type": "string" } })
}

#[cfg(test)]
mod tests;

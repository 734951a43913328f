//! The two ends: `[vpn-gateway]` and `[[customer-gateway]]`.

use std::net::{IpAddr, Ipv4Addr};

use super::Parsed;
use super::labels::labels;
use super::reader::{Reader, one_or_many};
use super::value::Value;
use crate::diagnostic::{Code, Sink};
use crate::model::{CustomerGateway, VpnGateway};

pub(super) fn vpn_gateway(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<VpnGateway> {
    let name = reader.require(&["name"], "\"tokyo\"", sink).and_then(|v| v.name(sink));
    let bandwidth = reader.take(&["bandwidth"], sink);
    let bandwidth = bandwidth.and_then(|v| v.number((1, 1_000_000), "Mbit/s", Code::OutOfRange, sink));
    let addresses = reader.require(&["addresses", "address", "ip"], "[\"192.0.2.1\"]", sink);
    let given = addresses.map(one_or_many).unwrap_or_default();
    if given.len() > 2 {
        let problem = given[2].problem(Code::OutOfRange, "a gateway has one or two addresses");
        sink.error(problem.allowed("gateway IP 1 and gateway IP 2").fix("remove the others"));
    }
    let addresses: Vec<IpAddr> = given.iter().filter_map(|v| v.address(sink)).collect();
    let value = VpnGateway {
        name: name.unwrap_or_default(),
        bandwidth: bandwidth.unwrap_or(1000),
        addresses,
        labels: labels(&mut reader, sink),
    };
    reader.parsed(value, &["type", "bgp", "local-asn", "enable-bgp"], sink)
}

pub(super) fn customer_gateway(mut reader: Reader<'_>, sink: &mut Sink<'_>) -> Parsed<CustomerGateway> {
    let name = reader.require(&["name"], "\"osaka\"", sink).and_then(|v| v.name(sink));
    let ip = reader.require(&["ip", "ip-address", "address"], "\"198.51.100.1\"", sink);
    let ip = ip.and_then(|v| v.address(sink));
    let asn = reader.take(&["asn"], sink).and_then(|v| asn(&v, sink));
    let value = CustomerGateway {
        name: name.unwrap_or_default(),
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        asn,
        labels: labels(&mut reader, sink),
    };
    reader.parsed(value, &["description"], sink)
}

/// An AS number: plain, or asdot `high.low` (RFC 5396). TOML reads an unquoted asdot as a decimal number, whose
/// trailing zeros count: both spellings are taken by their text.
fn asn(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<u32> {
    let shown = value.shown();
    let text = shown.trim_matches('"');
    let Some((high, low)) = text.split_once('.') else {
        return match text.parse::<u32>() {
            Ok(asn) if asn > 0 => Some(asn),
            _ => {
                let problem = value.problem(Code::AsnOutOfRange, "not an AS number");
                sink.error(problem.allowed("1 to 4294967295, or asdot such as \"123.456\""));
                None
            }
        };
    };
    let part = |text: &str| text.parse::<u16>().ok();
    let problem = match (part(high), part(low)) {
        (Some(0), Some(0)) => value.problem(Code::AsnOutOfRange, "AS number 0 is reserved"),
        (Some(high), Some(low)) => return Some((u32::from(high) << 16) | u32::from(low)),
        _ => value.problem(Code::AsdotPartOutOfRange, "a part of an asdot number has 16 bits"),
    };
    sink.error(problem.allowed("\"high.low\", each 0 to 65535, not both 0"));
    None
}

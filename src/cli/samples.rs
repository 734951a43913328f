//! Answers of the API that tests of several commands use.

use api::{
    ChildMode, ChildSa, ChildState, Connection, Diagnosis, IkeSa, IkeState, NegotiationStatus, Party,
    Proposal, Traffic, Tunnel, TunnelState,
};
use std::net::{IpAddr, Ipv4Addr};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// A tunnel that is down.
pub(super) fn tunnel(connection: &str, index: u8) -> Tunnel {
    Tunnel {
        id: u32::from(index),
        name: format!("{connection}/{index}"),
        index,
        role: if index == 1 { "Primary" } else { "Secondary" }.to_owned(),
        gateway_ip: HERE,
        customer_gateway: "osaka".to_owned(),
        customer_gateway_ip: THERE,
        state: TunnelState::Active,
        status: NegotiationStatus::IkeSaNotEstablished,
        up_secs: None,
        failure: None,
        traffic: None,
    }
}

/// A connection of so many tunnels.
pub(super) fn connection(name: &str, tunnels: u8) -> Connection {
    Connection {
        name: name.to_owned(),
        routing_mode: "destination".to_owned(),
        local_networks: vec!["10.1.0.0/24".to_owned()],
        remote_networks: vec!["10.2.0.0/24".to_owned()],
        resource_group: None,
        tags: std::collections::BTreeMap::new(),
        tunnels: (1..=tunnels).map(|index| tunnel(name, index)).collect(),
    }
}

/// An IKE SA with a child.
pub(super) fn ike_sa(connection: &str, tunnel: u8) -> IkeSa {
    let party = |host, spi: &str| Party { id: "gw".to_owned(), host, port: 500, spi: spi.to_owned() };
    let proposal = Proposal { encryption: "AES_GCM_16".to_owned(), key_bits: 256, ..Proposal::default() };
    let traffic = Traffic { packets: 5, bytes: 420, policed: 0, idle_secs: None };
    let child = ChildSa {
        name: connection.to_owned(),
        unique_id: 7,
        state: ChildState::Installed,
        mode: ChildMode::Tunnel,
        protocol: "ESP".to_owned(),
        encap: false,
        spi_in: "c0ffee01".to_owned(),
        spi_out: "c0ffee02".to_owned(),
        proposal: proposal.clone(),
        installed_secs: 100,
        rekey_secs: Some(3000),
        expires_secs: Some(3600),
        inbound: traffic,
        outbound: traffic,
        local_ts: vec!["10.1.0.0/24".to_owned()],
        remote_ts: vec!["10.2.0.0/24".to_owned()],
    };
    IkeSa {
        name: connection.to_owned(),
        tunnel,
        unique_id: 3,
        version: 2,
        state: IkeState::Established,
        initiator: true,
        local: party(HERE, "0011223344556677"),
        remote: party(THERE, "8899aabbccddeeff"),
        proposal: Some(proposal),
        nat_local: false,
        nat_remote: false,
        established_secs: Some(100),
        rekey_secs: Some(3000),
        reauth_secs: Some(80_000),
        expires_secs: Some(3500),
        children: vec![child],
        path: None,
    }
}

/// A failure of a tunnel.
pub(super) fn diagnosis(connection: &str, tunnel: u8, code: &str) -> Diagnosis {
    Diagnosis {
        id: 1,
        connection: connection.to_owned(),
        tunnel,
        remote: THERE,
        age_secs: 4,
        count: 1,
        code: code.to_owned(),
        side: "local".to_owned(),
        confidence: "likely".to_owned(),
        rfc: "RFC 7296 section 2.15".to_owned(),
        message: "we refused what the peer sent".to_owned(),
        parameter: Some("psk".to_owned()),
        ours: None,
        theirs: None,
        fix_here: None,
        fix_there: None,
    }
}

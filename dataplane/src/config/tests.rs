use super::*;

fn parse(text: &str) -> Result<Config, Mistakes> {
    Config::parse(Path::new("gw.toml"), text)
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).expect_err("accepted").0.iter().map(ToString::to_string).collect()
}

const TWO_PORTS: &str = r#"
[dataplane]
port = [
  { name = "wan", device = "net_tap0,iface=wan0" },
  { name = "lan", device = "0000:03:00.1", mtu = 9000, promiscuous = true },
]
"#;

#[test]
fn defaults_fill_in_what_is_not_said() {
    let config = parse(TWO_PORTS).expect("valid");
    assert_eq!(config.workers, 1);
    assert_eq!(config.rx_mode, None);
    assert_eq!((config.ports[0].mtu, config.ports[1].mtu), (1500, 9000));
    assert_eq!(config.sad_slots, 16_384);
    assert_eq!((config.limits.early_packets, config.limits.reassembly_datagrams), (64, 16));
    assert_eq!(config.socket, Path::new("/run/esplanade/dataplane.sock"));
}

#[test]
fn other_sections_are_not_looked_at() {
    assert!(parse(&format!("[[connection]]\nname = 7\n{TWO_PORTS}")).is_ok());
}

#[test]
fn every_mistake_has_its_line_field_value_and_remedy() {
    let text = r#"
[dataplane]
workers = 0
rx-mode = "fast"
colour = "red"
port = [{ name = "w n", device = "net_tap0" },
         { name = "lan", device = "net_tap0,iface=x", mtu = 99 }]
limits = { handoff = "many" }
"#;
    assert_eq!(
        mistakes(text),
        [
            "gw.toml:3: dataplane.workers = 0: allowed is 1 to 64",
            "gw.toml:4: dataplane.rx-mode = \"fast\": allowed is \"poll\" or \"adaptive\" or \"interrupt\"",
            "gw.toml:5: dataplane.colour = colour: allowed is one of the keys port, workers, rx-mode, hugepages, \
             crypto-backend, stuck-worker, socket, control-uids, sad-slots, cpus, memory-mib, neighbour, limits",
            "gw.toml:6: dataplane.port[0].name = \"w n\": allowed is 1 to 31 of letters, digits, '-', '_' and '.'",
            "gw.toml:7: dataplane.port[1].mtu = 99: allowed is 576 to 9216",
            "gw.toml:7: dataplane.port[1].device = \"net_tap0,iface=x\": allowed is a device that no other port uses",
            "gw.toml:8: dataplane.limits.handoff = \"many\": allowed is 64 to 65536",
        ]
    );
}

#[test]
fn a_missing_section_or_key_and_broken_syntax_are_named() {
    assert_eq!(
        mistakes("x = 1\n"),
        ["gw.toml:1: dataplane.port = (missing): allowed is a list of 1 to 32 tables"]
    );
    let missing = mistakes("[dataplane]\n\nport = [\n { device = \"net_null0\" }]\n");
    assert!(missing[0].starts_with("gw.toml:4: dataplane.port[0].name = (missing)"), "{missing:?}");
    let syntax = mistakes("[dataplane]\nworkers = = 2\n");
    assert!(syntax[0].starts_with("gw.toml:2: syntax"), "{syntax:?}");
}

#[test]
fn cores_must_fit_the_workers() {
    let text = TWO_PORTS.replace("[dataplane]", "[dataplane]\nworkers = 2\ncpus = [0, 1]");
    assert_eq!(
        mistakes(&text),
        ["gw.toml:4: dataplane.cpus = [0, 1]: allowed is no entry, or workers + 1 = 3 of them"]
    );
}

#[test]
fn devices_are_pci_addresses_or_vdevs() {
    for good in ["0000:03:00.1", "03:00.0", "net_tap0", "net_af_packet0,iface=veth1,qpairs=2", "net_ring_a"] {
        assert!(is_device(good), "{good}");
    }
    for bad in ["", "0000:03:00.8", "3:0.0", "eth 0", "Net0", "net_tap0,iface=a b"] {
        assert!(!is_device(bad), "{bad}");
    }
}

#[test]
fn a_document_in_json_is_read_alike() {
    let toml = include_str!("../../../docs/examples/two-sites.toml");
    let json = include_str!("../../../docs/examples/two-sites.json");
    assert_eq!(format!("{:?}", parse(json).expect("valid")), format!("{:?}", parse(toml).expect("valid")));
}

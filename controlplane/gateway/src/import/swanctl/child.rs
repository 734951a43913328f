//! The section `children`: networks, ESP, and when it begins.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Import, Place, Section, Values, line, quoted};
use crate::algorithm::Authentication;
use crate::algorithm::Encryption;
use crate::import::settings::Setting;

impl Import<'_> {
    /// Lines of the connection; those of the tunnel go to `tunnel`. Several children become one with all their networks.
    pub(super) fn children(
        &mut self,
        section: &Section,
        local: IpAddr,
        remote: IpAddr,
        tunnel: &mut String,
    ) -> Result<String, &'static str> {
        let children = section.section("children").map(|children| &children.sections[..]).unwrap_or_default();
        let [(_, first), others @ ..] = children else { return Err("it has no children") };
        let mut networks = [Vec::new(), Vec::new()];
        let (mut at_once, mut routed) = (false, false);
        for (_, child) in children {
            let mut values = Values::of(child);
            if let Some(mode) = values.take("mode").filter(|mode| mode.text != "tunnel") {
                self.warn(mode.at, format!("mode {} is not carried over", mode.text));
                return Err("its mode is not tunnel");
            }
            for (side, key, own) in [(0, "local_ts", local), (1, "remote_ts", remote)] {
                for network in self.networks(values.take(key), key, own) {
                    if !networks[side].contains(&network) {
                        networks[side].push(network);
                    }
                }
            }
            at_once |= values.take("start_action").is_some_and(|action| action.text.contains("start"));
            routed |= ["if_id_in", "if_id_out"].map(|key| values.take(key)).iter().any(Option::is_some);
            self.esp(values, child.at, std::ptr::eq(child, first), tunnel);
        }
        if let Some((_, other)) = others.first() {
            self.warn(
                other.at,
                "one CHILD_SA for the networks of all children, with the proposals of the first",
            );
        }
        let [ours, theirs] = networks;
        if ours.is_empty() || theirs.is_empty() {
            return Err("its networks are none of ours");
        }
        let everything = |networks: &[IpNet]| networks.iter().all(|network| network.prefix_len() == 0);
        let destination = routed && everything(&ours) && everything(&theirs);
        if routed {
            self.warn(
                first.at,
                "traffic was routed to an interface: add [[route]] with connection, or name networks",
            );
        }
        let list = |networks: &[IpNet]| {
            networks.iter().map(|n| quoted(&n.to_string())).collect::<Vec<_>>().join(", ")
        };
        let mut head = String::new();
        line!(
            head,
            "routing-mode = \"{}\"",
            if destination { "destination" } else { "protected-data-flows" }
        );
        line!(head, "local-networks = [{}]\nremote-networks = [{}]", list(&ours), list(&theirs));
        line!(head, "effective-immediately = {at_once}");
        Ok(head)
    }

    /// The networks of a side; the end's own address where it says `dynamic` or nothing.
    fn networks(&mut self, setting: Option<Setting>, key: &str, own: IpAddr) -> Vec<IpNet> {
        let Some(setting) = setting else { return vec![own.into()] };
        let mut networks = Vec::new();
        for word in setting.text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (network, ports) = word.split_once('[').unwrap_or((word, ""));
            if !ports.is_empty() {
                self.warn(setting.at, format!("{key}: protocol and ports of {word} are not carried over"));
            }
            let parsed = match network.trim() {
                "dynamic" => Some(own.into()),
                text => text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
            };
            match parsed {
                Some(network) => networks.push(network.trunc()),
                None => self.warn(setting.at, format!("{key}: {word} is no network")),
            }
        }
        networks
    }

    /// ESP's part; of further children only the warnings.
    fn esp(&mut self, mut values: Values, at: Place, wanted: bool, tunnel: &mut String) {
        let proposal = self.proposal(values.take("esp_proposals"), "aes128-sha256", |proposal| {
            proposal.encryption.is_some_and(Encryption::is_aead)
                || proposal.hash.is_some() && proposal.encryption.is_some()
        });
        let rekey = self.time(&mut values, "rekey_time").unwrap_or(3600);
        let life = self.time(&mut values, "life_time").unwrap_or(rekey + rekey / 10);
        let lifetime = self.lifetime(at, if rekey == 0 { 0 } else { life });
        let cipher = proposal.encryption.unwrap_or(Encryption::Aes128Cbc);
        let mut ipsec = format!("encryption = {}", quoted(cipher.name()));
        if !cipher.is_aead() {
            let hash = proposal.hash.unwrap_or(Authentication::Sha256);
            let _ = write!(ipsec, ", authentication = {}", quoted(hash.name()));
        }
        let pfs = proposal.group.map_or("disabled", |group| group.name());
        let _ = write!(ipsec, ", pfs = {}, lifetime = {lifetime}, esn = {}", quoted(pfs), proposal.esn);
        if let Some(window) = values.take("replay_window") {
            match window.text.parse::<u32>() {
                Ok(packets @ 32..=32_768) => {
                    let _ = write!(ipsec, ", replay-window = {packets}");
                }
                _ => self.warn(window.at, "replay_window is not carried over"),
            }
        }
        if let Some(tfc) = values.take("tfc_padding") {
            match (&*tfc.text, tfc.text.parse::<u32>()) {
                ("mtu", _) => ipsec.push_str(", tfc = \"mtu\""),
                (_, Ok(0)) => {}
                (_, Ok(length @ 64..=9216)) => {
                    let _ = write!(ipsec, ", tfc = {length}");
                }
                _ => self.warn(tfc.at, "tfc_padding is not carried over"),
            }
        }
        if wanted {
            line!(tunnel, "ipsec = {{ {ipsec} }}");
        }
        values.drop_if("dpd_action", &["clear", "none", "restart", "start", "trap", "hold"]);
        values.drop_if("close_action", &["none", "clear", "restart", "start", "trap"]);
        values.drop_if("policies", &["yes"]);
        values.drop_if("priority", &["0"]);
        self.finish(values);
    }
}

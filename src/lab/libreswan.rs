//! libreswan's configuration, for a guest that runs pluto.

use super::SwanOptions;
use anyhow::Result;
use std::path::Path;

/// Brings pluto up with connection `t`; a certificate and its key, and the root, come in files that are there or not.
/// One fixed route replaces the updown script, which takes seconds in this guest while pluto waits.
pub(super) const START: &str = "nss=/var/lib/ipsec/nss
mkdir -p /run/pluto $nss
ipsec initnss
[ -f /etc/ipsec.d/peer.p12 ] && pk12util -i /etc/ipsec.d/peer.p12 -d sql:$nss -W ''
[ -f /etc/ipsec.d/root.der ] && certutil -A -d sql:$nss -n root -t CT,, -i /etc/ipsec.d/root.der
/usr/libexec/ipsec/pluto --config /etc/ipsec.conf
ip route add 10.1.0.0/24 via 192.0.2.1 src 10.2.0.1
for i in $(seq 100); do grep -q 'added IKEv2' /run/pluto.log && break; sleep 0.1; done
iperf3 -s -D
";

/// Brings pluto up with what lies in `/etc`, as the package's service does, on a machine with an uplink.
pub(super) const START_AS_IS: &str = "ip route add default via 192.0.2.1
mkdir -p /run/pluto /var/lib/ipsec/nss
ipsec initnss
iperf3 -s -D
/usr/libexec/ipsec/pluto --config /etc/ipsec.conf --logfile /run/pluto.log
";

/// Writes the files of `/etc`; proposals are in libreswan's words, the files are those of `ipsec.d`.
pub(super) fn write(options: &SwanOptions, etc: &Path) -> Result<()> {
    std::fs::create_dir_all(etc.join("ipsec.d"))?;
    let SwanOptions { local, remote, ike, esp, psk, local_ts, remote_ts, certified, files, .. } = options;
    let (proof, [local_id, remote_id]) = match certified {
        Some(ids) => (
            "authby=rsa-sha2\n leftcert=peer\n leftsendcert=always\n sendca=all",
            ids.clone().map(|id| format!("@{id}")),
        ),
        None => ("authby=secret", [local.clone(), remote.clone()]),
    };
    let conf = format!(
        "config setup\n logfile=/run/pluto.log\n\nconn t\n {proof}\n left={local}\n leftid={local_id}\n leftsubnet={local_ts}\n leftupdown=%disabled\n \
         right={remote}\n rightid={remote_id}\n rightsubnet={remote_ts}\n ikev2=yes\n ike={ike}\n esp={esp}\n auto=add\n"
    );
    std::fs::write(etc.join("ipsec.conf"), conf)?;
    std::fs::write(etc.join("ipsec.secrets"), format!("{local_id} {remote_id} : PSK \"{psk}\"\n"))?;
    for (name, contents) in files {
        std::fs::write(etc.join("ipsec.d").join(name), contents)?;
    }
    Ok(())
}

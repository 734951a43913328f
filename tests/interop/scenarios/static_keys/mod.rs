//! No IKE at all: the data plane, driven through the contract by a control of thirty lines, against `ip xfrm` keys in the kernel.

use crate::Scenario;
use crate::scenarios::control::{self, Control};
use anyhow::{Context, Result, ensure};
use esplanade::lab::{Capture, Guest, GuestOptions, Lab, Namespace, Ping, Process, Wire};
use shm::message::{Encap, Outer, Secret, Suite, VrfId};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A suite in the contract's numbers and in the kernel's words.
#[derive(Debug, Clone, Copy)]
struct Keys {
    name: &'static str,
    suite: Suite,
    /// Bytes of the encryption key, with the salt where there is one, and of the integrity key.
    lengths: [usize; 2],
    /// `ip xfrm` arguments; `{E}` and `{A}` stand for the keys.
    xfrm: &'static str,
}

const fn suite(encryption: u16, key_bits: u16, integrity: u16) -> Suite {
    Suite { encryption, key_bits, integrity }
}

const GCM128: Keys = Keys {
    name: "gcm128",
    suite: suite(20, 128, 0),
    lengths: [20, 0],
    xfrm: "aead 'rfc4106(gcm(aes))' 0x{E} 128",
};

const GMAC128: Keys = Keys {
    name: "gmac128",
    suite: suite(21, 128, 0),
    lengths: [20, 0],
    xfrm: "aead 'rfc4543(gcm(aes))' 0x{E} 128",
};

const CTR128_SHA256: Keys = Keys {
    name: "ctr128-sha256",
    suite: suite(13, 128, 12),
    lengths: [20, 32],
    xfrm: "auth-trunc 'hmac(sha256)' 0x{A} 128 enc 'rfc3686(ctr(aes))' 0x{E}",
};

const ALL: [Keys; 16] = [
    GCM128,
    Keys { name: "gcm192", suite: suite(20, 192, 0), lengths: [28, 0], ..GCM128 },
    Keys { name: "gcm256", suite: suite(20, 256, 0), lengths: [36, 0], ..GCM128 },
    Keys {
        name: "cbc128-sha1",
        suite: suite(12, 128, 2),
        lengths: [16, 20],
        xfrm: "auth-trunc 'hmac(sha1)' 0x{A} 96 enc 'cbc(aes)' 0x{E}",
    },
    Keys {
        name: "cbc256-sha256",
        suite: suite(12, 256, 12),
        lengths: [32, 32],
        xfrm: "auth-trunc 'hmac(sha256)' 0x{A} 128 enc 'cbc(aes)' 0x{E}",
    },
    Keys {
        name: "cbc192-sha512",
        suite: suite(12, 192, 14),
        lengths: [24, 64],
        xfrm: "auth-trunc 'hmac(sha512)' 0x{A} 256 enc 'cbc(aes)' 0x{E}",
    },
    Keys {
        name: "3des-md5",
        suite: suite(3, 0, 1),
        lengths: [24, 16],
        xfrm: "auth-trunc 'hmac(md5)' 0x{A} 96 enc 'cbc(des3_ede)' 0x{E}",
    },
    Keys { name: "gcm128-12", suite: suite(19, 128, 0), xfrm: "aead 'rfc4106(gcm(aes))' 0x{E} 96", ..GCM128 },
    Keys { name: "gcm128-8", suite: suite(18, 128, 0), xfrm: "aead 'rfc4106(gcm(aes))' 0x{E} 64", ..GCM128 },
    GMAC128,
    Keys { name: "gmac192", suite: suite(21, 192, 0), lengths: [28, 0], ..GMAC128 },
    Keys { name: "gmac256", suite: suite(21, 256, 0), lengths: [36, 0], ..GMAC128 },
    Keys {
        name: "chacha20poly1305",
        suite: suite(28, 0, 0),
        lengths: [36, 0],
        xfrm: "aead 'rfc7539esp(chacha20,poly1305)' 0x{E} 128",
    },
    CTR128_SHA256,
    Keys { name: "ctr192-sha256", suite: suite(13, 192, 12), lengths: [28, 32], ..CTR128_SHA256 },
    Keys { name: "ctr256-sha256", suite: suite(13, 256, 12), lengths: [36, 32], ..CTR128_SHA256 },
];

/// Which way of carrying ESP a row tries.
#[derive(Debug, Clone, Copy)]
struct Form {
    name: &'static str,
    encap: Encap,
    esn: bool,
    xfrm: &'static str,
}

const FORMS: [Form; 3] = [
    Form { name: "native", encap: Encap::Native, esn: false, xfrm: "replay-window 64" },
    Form { name: "native-esn", encap: Encap::Native, esn: true, xfrm: "flag esn replay-window 64" },
    Form {
        name: "udp",
        encap: Encap::Udp { local_port: 4500, remote_port: 4500 },
        esn: false,
        xfrm: "replay-window 64 encap espinudp 4500 4500 0.0.0.0",
    },
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("static-keys/linux-kernel", every_suite).chosen()]
}

/// Echo requests for each suite and form.
const PINGS: u8 = 10;

/// The SPI that the kernel receives on.
const KERNEL_SPI: u32 = 0x0000_1001;

/// Every suite and form in one guest, one after the other.
fn every_suite(lab: &Lab) -> Result<String> {
    let bench = Bench::set(lab)?;
    let mut control = Control::connect(&bench.socket)?;
    control.configure()?;
    let mut done = 0;
    for keys in ALL {
        for form in FORMS {
            let name = format!("{} {}", keys.name, form.name);
            bench
                .try_suite(&mut control, keys, form)
                .with_context(|| format!("{name}:\n{}", bench.dataplane.log()))?;
            done += 1;
        }
    }
    let seen = bench.capture.finish()?;
    // AES-GMAC encrypts nothing: its packets, and no others, can be read.
    let readable = ALL.iter().filter(|keys| keys.suite.encryption == GMAC128.suite.encryption).count()
        * FORMS.len()
        * 2
        * usize::from(PINGS);
    ensure!(usize::try_from(seen.leaks)? == readable && seen.esp > 0, "{readable} readable: {seen:?}");
    Ok(format!("{done} combinations, {} ESP packets", seen.esp))
}

/// The data plane alone, a host behind it, and the guest.
struct Bench {
    dataplane: Process,
    host: Namespace,
    guest: Guest,
    capture: Capture,
    socket: PathBuf,
    // Dropped last.
    _namespaces: [Namespace; 2],
}

impl Bench {
    fn set(lab: &Lab) -> Result<Self> {
        let (wan, gateway, host) = (lab.wan()?, lab.namespace("gw")?, lab.namespace("host")?);
        let capture = Capture::start(lab, &wan, "br0", "outside")?;
        Wire::lay((&gateway, "out"), (&wan, "gwout"), 1500)?;
        wan.plug("gwout", "br0")?;
        Wire::lay((&gateway, "in"), (&host, "lan"), 1500)?;
        host.address("lan", "10.1.0.2/24")?;
        host.route("10.2.0.0/24", "10.1.0.1")?;
        let script = "ip route add 10.1.0.0/24 dev wan\n".to_owned();
        let guest =
            Guest::boot(lab, &wan, "br0", &GuestOptions { script: Some(script), ..GuestOptions::default() })?;
        let (dataplane, socket) = control::dataplane(lab, &gateway, "net_af_packet")?;
        Ok(Self { dataplane, host, guest, capture, socket, _namespaces: [gateway, wan] })
    }

    /// Installs one suite at both ends, pings, and removes it again.
    fn try_suite(&self, control: &mut Control, keys: Keys, form: Form) -> Result<()> {
        let [encryption, integrity] = keys.lengths.map(key);
        let outer = Outer {
            vrf: VrfId(0),
            local: Ipv4Addr::new(192, 0, 2, 1).into(),
            remote: Ipv4Addr::new(192, 0, 2, 2).into(),
            encap: form.encap,
            keepalive_secs: 0,
        };
        let secret = |bytes: &[u8]| Secret::new(bytes).context("key too long");
        let spi = control.reserve()?;
        let xfrm = keys.xfrm.replace("{E}", &hex(&encryption)).replace("{A}", &hex(&integrity));
        let said = self.guest.shell(&kernel_side(&xfrm, form.xfrm, spi.value()))?;
        ensure!(said.trim().is_empty(), "ip xfrm: {said}");
        let install = control::Install { spi, peer_spi: KERNEL_SPI, suite: keys.suite, esn: form.esn, outer };
        control.install(&install, &secret(&encryption)?, &secret(&integrity)?)?;
        let ping =
            Ping::run(&self.host, "10.1.0.2", "10.2.0.1", PINGS.into(), Duration::from_millis(20), 300)?;
        ensure!(
            ping.received == ping.sent,
            "{ping:?}; kernel: {}",
            self.guest.shell("cat /proc/net/xfrm_stat | awk '$2'")?
        );
        control.remove(spi)
    }
}

/// The kernel's two states and policies, and its UDP port 4500 where that is used.
fn kernel_side(algorithms: &str, form: &str, our_spi: u32) -> String {
    let state = |src: &str, dst: &str, spi: u32| {
        format!(
            "ip xfrm state add src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode tunnel {form} {algorithms}\n"
        )
    };
    let policy = |src: &str, dst: &str, direction: &str, from: &str, to: &str| {
        format!(
            "ip xfrm policy add src {src} dst {dst} dir {direction} tmpl src {from} dst {to} proto esp reqid 1 mode tunnel\n"
        )
    };
    let (us, kernel) = ("192.0.2.1", "192.0.2.2");
    let mut script = String::from("exec 2>&1\nip xfrm state flush\nip xfrm policy flush\n");
    if form.contains("espinudp") {
        // A socket in ESP-in-UDP mode is what makes the kernel take these packets; charon opens one.
        script += "[ -S /run/charon.vici ] || { charon-systemd >/dev/null 2>&1 & for i in $(seq 100); do [ -S /run/charon.vici ] && break; sleep 0.1; done; }\n";
    }
    script += &state(us, kernel, KERNEL_SPI);
    script += &state(kernel, us, our_spi);
    script += &policy("10.1.0.0/24", "10.2.0.0/24", "in", us, kernel);
    script += &policy("10.2.0.0/24", "10.1.0.0/24", "out", kernel, us);
    script
}

/// A key that is the same in both places; it protects nothing.
fn key(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i * 7 % 251).unwrap_or(0)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

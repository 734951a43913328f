//! A bare IKEv2 peer for interoperability work: two UDP sockets, an obedient imaginary data plane.
//!
//! ```text
//! udp_peer LOCAL REMOTE IKE_PROPOSAL ESP_PROPOSAL SECONDS [start] [SECOND:COMMAND]...
//! udp_peer 192.0.2.1 192.0.2.2 aes128-sha1-modp1024 aes128-sha1 10 start 3:rekey-child 5:rekey-ike 8:down
//! ```
//! Prints every SA command and event. The pre-shared key is that of `shared/peers`.

use std::error::Error;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::{
    ChildConfig, Command, Config, Connection, ConnectionKey, Datagram, EspProposal, IKE_PORT, IkeManager,
    IkeProposal, NAT_T_PORT, Psk, SaCommand, SaReply, Time,
};

const KEY: ConnectionKey = ConnectionKey { connection: 1, tunnel: 1 };
type Fallible<T> = Result<T, Box<dyn Error>>;

/// `aes128-sha256-modp2048`, `aes128gcm16-prfsha256-ecp256`, `3des-md5-modp1024`, ...
fn ike_proposal(text: &str) -> Fallible<IkeProposal> {
    let esp = esp_proposal(text)?;
    let prf = match (text.split('-').find_map(|w| w.strip_prefix("prf")), esp.integrity) {
        (Some("sha1"), _) | (None, IntegId::HMAC_SHA1_96) => PrfId::HMAC_SHA1,
        (Some("sha384"), _) | (None, IntegId::HMAC_SHA2_384_192) => PrfId::HMAC_SHA2_384,
        (Some("sha512"), _) | (None, IntegId::HMAC_SHA2_512_256) => PrfId::HMAC_SHA2_512,
        (None, IntegId::HMAC_MD5_96) => PrfId::HMAC_MD5,
        _ => PrfId::HMAC_SHA2_256,
    };
    let group = esp.group.ok_or("a group is needed")?;
    Ok(IkeProposal {
        encryption: esp.encryption,
        key_bits: esp.key_bits,
        integrity: esp.integrity,
        prf,
        group,
    })
}

fn esp_proposal(text: &str) -> Fallible<EspProposal> {
    let mut proposal = EspProposal {
        encryption: EncrId::NULL,
        key_bits: 0,
        integrity: IntegId::NONE,
        group: None,
        esn: false,
    };
    for word in text.split('-') {
        let aes = |id, bits: &str| Ok::<_, Box<dyn Error>>((id, bits.parse()?));
        match word {
            "3des" => proposal.encryption = EncrId::TRIPLE_DES,
            "des" => proposal.encryption = EncrId::DES,
            "md5" => proposal.integrity = IntegId::HMAC_MD5_96,
            "sha1" => proposal.integrity = IntegId::HMAC_SHA1_96,
            "sha256" => proposal.integrity = IntegId::HMAC_SHA2_256_128,
            "sha384" => proposal.integrity = IntegId::HMAC_SHA2_384_192,
            "sha512" => proposal.integrity = IntegId::HMAC_SHA2_512_256,
            "modp768" => proposal.group = Some(KeId::MODP_768),
            "modp1024" => proposal.group = Some(KeId::MODP_1024),
            "modp1536" => proposal.group = Some(KeId::MODP_1536),
            "modp2048" => proposal.group = Some(KeId::MODP_2048),
            "modp3072" => proposal.group = Some(KeId::MODP_3072),
            "modp4096" => proposal.group = Some(KeId::MODP_4096),
            "ecp256" => proposal.group = Some(KeId::ECP_256),
            "ecp384" => proposal.group = Some(KeId::ECP_384),
            "ecp521" => proposal.group = Some(KeId::ECP_521),
            "x25519" => proposal.group = Some(KeId::CURVE25519),
            "esn" => proposal.esn = true,
            _ if word.starts_with("prf") => {}
            _ => {
                let rest = word.strip_prefix("aes").ok_or_else(|| format!("unknown algorithm {word}"))?;
                (proposal.encryption, proposal.key_bits) = match rest.strip_suffix("gcm16") {
                    Some(bits) => aes(EncrId::AES_GCM_16, bits)?,
                    None => aes(EncrId::AES_CBC, rest)?,
                };
            }
        }
    }
    Ok(proposal)
}

fn network(third: u8) -> Fallible<TrafficSelector> {
    Ok(TrafficSelector::from_network(IpAddr::from([10, third, 0, 0]), 24)?)
}

struct Peer {
    manager: IkeManager,
    sockets: [UdpSocket; 2],
    local: IpAddr,
    began: Instant,
    next_spi: u32,
}

impl Peer {
    fn now(&self) -> Time {
        Time(self.began.elapsed())
    }

    fn say(&self, text: &str) {
        println!("{:8.3} {text}", self.began.elapsed().as_secs_f64());
    }

    /// Does everything the manager wants done, in the documented order.
    fn drain(&mut self) -> Fallible<()> {
        loop {
            while self.manager.poll_journal().is_some() {}
            let mut replies = Vec::new();
            while let Some(command) = self.manager.poll_sa_command() {
                replies.extend(self.obey(&command));
            }
            while let Some(datagram) = self.manager.poll_transmit() {
                let marker: &[u8] = if datagram.has_marker() { &[0; 4] } else { &[] };
                let socket = &self.sockets[usize::from(datagram.has_marker())];
                socket.send_to(&[marker, &datagram.payload].concat(), datagram.remote)?;
            }
            while let Some(event) = self.manager.poll_event() {
                self.say(&format!("event {event:?}"));
            }
            if replies.is_empty() {
                return Ok(());
            }
            let now = self.now();
            replies.into_iter().for_each(|reply| self.manager.handle_sa_reply(reply, now));
        }
    }

    fn obey(&mut self, command: &SaCommand) -> Option<SaReply> {
        self.say(&format!("sa    {command:?}"));
        match command {
            SaCommand::ReserveSpi { request, .. } => {
                self.next_spi += 1;
                Some(SaReply::SpiReserved { request: *request, spi: self.next_spi })
            }
            SaCommand::InstallChild(child) => Some(SaReply::Installed { request: child.request }),
            SaCommand::ReleaseSpi { .. }
            | SaCommand::ActivateOutbound { .. }
            | SaCommand::DeleteChild { .. }
            | SaCommand::UpdateOuter { .. } => None,
        }
    }

    fn receive(&mut self) -> Fallible<()> {
        let mut buffer = [0; 65_535];
        for (at, port) in [(0, IKE_PORT), (1, NAT_T_PORT)] {
            while let Ok((len, remote)) = self.sockets[at].recv_from(&mut buffer) {
                let bytes = &buffer[..len];
                let payload = if at == 0 { Some(bytes) } else { bytes.strip_prefix(&[0; 4]) };
                let Some(payload) = payload else { continue };
                let local = SocketAddr::new(self.local, port);
                let (now, payload) = (self.now(), payload.to_vec());
                self.manager.handle_message(Datagram { vrf: 0, local, remote, payload }, now);
                self.drain()?;
            }
        }
        Ok(())
    }

    fn command(&mut self, word: &str) -> Fallible<()> {
        self.say(&format!("do    {word}"));
        let sas: Vec<_> = self.manager.ike_sas().collect();
        let first = sas.first();
        let child = first.and_then(|sa| sa.children.first()).map(|c| c.spi);
        let command = match word {
            "list" => {
                println!("{sas:#?}");
                return Ok(());
            }
            "start" => Some(Command::Initiate(KEY)),
            "down" => Some(Command::Down(KEY)),
            "rekey-ike" => first.map(|sa| Command::RekeyIke(sa.id)),
            "rekey-child" => child.map(Command::RekeyChild),
            "delete-child" => child.map(Command::DeleteChild),
            "delete-ike" => first.map(|sa| Command::DeleteIke(sa.id)),
            other => return Err(format!("unknown command {other}").into()),
        };
        let now = self.now();
        if let Some(command) = command {
            self.manager.handle_command(command, now);
        }
        self.drain()
    }
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [local, remote, ike, esp, seconds, commands @ ..] = &arguments[..] else {
        return Err("usage: udp_peer LOCAL REMOTE IKE ESP SECONDS [start] [SECOND:COMMAND]...".into());
    };
    let (local, remote): (IpAddr, IpAddr) = (local.parse()?, remote.parse()?);
    let (ours, theirs) = if local < remote { (1, 2) } else { (2, 1) };
    let psk = Psk::new(std::env::var("PSK").unwrap_or_else(|_| "test-psk-0123456789".to_owned()));
    let child = ChildConfig::new(esp_proposal(esp)?, [network(ours)?, network(theirs)?]);
    let connection = Connection {
        force_encap: std::env::var_os("FORCE_ENCAP").is_some(),
        ..Connection::by_psk(KEY, "udp-peer", [local, remote], psk, ike_proposal(ike)?, child)
    };
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let mut rng_seed = [0; 32];
    rng_seed[..16].copy_from_slice(&seed.to_le_bytes());
    let sockets = [IKE_PORT, NAT_T_PORT].map(|port| {
        let socket = UdpSocket::bind((local, port))?;
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket)
    });
    let [plain, nat_t] = sockets;
    let began = Instant::now();
    let manager = IkeManager::new(Config::default(), rng_seed, Time::default());
    let mut peer = Peer { manager, sockets: [plain?, nat_t?], local, began, next_spi: 0xc000_0000 };
    peer.manager.set_connection(connection, Time::default());
    run(&mut peer, Duration::from_secs(seconds.parse()?), commands)
}

fn run(peer: &mut Peer, end: Duration, commands: &[String]) -> Fallible<()> {
    let mut due: Vec<(Duration, &str)> = Vec::new();
    for word in commands {
        let (second, command) = word.split_once(':').unwrap_or(("0", word));
        due.push((Duration::from_secs_f64(second.parse()?), command));
    }
    while peer.began.elapsed() < end {
        let elapsed = peer.began.elapsed();
        while let Some(at) = due.iter().position(|(at, _)| *at <= elapsed) {
            let (_, command) = due.remove(at);
            peer.command(command)?;
        }
        peer.receive()?;
        let now = peer.now();
        if peer.manager.poll_timeout().is_some_and(|at| at <= now) {
            peer.manager.handle_timeout(now);
            peer.drain()?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let counters = peer.manager.counters();
    peer.say(&format!("{counters:?}"));
    peer.command("list")
}

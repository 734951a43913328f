//! The usual scene, and what every scenario checks of it.

use anyhow::{Context, Result, bail, ensure};
use api::IkeSa;
use esplanade::lab::{
    Capture, Devices, GuestOptions, Lab, Namespace, Peer, Ping, Site, SiteOptions, SwanOptions,
};
use std::time::Duration;

/// A gateway, a peer, and a capture of the link between them.
pub(crate) struct Scene<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) site: Site,
    pub(crate) peer: Peer,
    pub(crate) capture: Capture,
    pub(crate) wan: Namespace,
}

/// Which peer a scene has.
#[derive(Debug, Clone)]
pub(crate) enum With {
    Esplanade(Box<SiteOptions>),
    StrongSwan(Box<SwanOptions>),
    Linux(Box<GuestOptions>),
}

/// Who initiates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initiator {
    Us,
    Peer,
}

impl<'a> Scene<'a> {
    /// Sets the scene; nothing is negotiated yet unless the options say so.
    pub(crate) fn set(lab: &'a Lab, options: &SiteOptions, with: &With) -> Result<Self> {
        let wan = lab.wan()?;
        let capture = Capture::start(lab, &wan, "br0", "outside")?;
        let peer = match with {
            With::Esplanade(options) => Peer::esplanade(lab, &wan, options)?,
            With::StrongSwan(options) => Peer::strongswan(lab, &wan, options)?,
            With::Linux(options) => Peer::linux(lab, &wan, options)?,
        };
        let site = Site::start(lab, &wan, options)?;
        Ok(Self { lab, site, peer, capture, wan })
    }

    /// Negotiates the tunnel from one side and waits until it is up.
    pub(crate) fn establish(&self, initiator: Initiator) -> Result<()> {
        let asked = match initiator {
            Initiator::Us => self.site.gateway.command(&["initiate", "site"]).map(drop),
            Initiator::Peer => self.peer.initiate(),
        };
        self.explain(asked)?;
        self.explain(self.site.gateway.wait_established(self.lab, Duration::from_secs(15)))
    }

    /// Pings through the tunnel; every packet must come back.
    pub(crate) fn ping(&self, count: u32) -> Result<()> {
        let ping = self.try_ping(count)?;
        self.explain(if ping.received == ping.sent { Ok(()) } else { Err(anyhow::anyhow!("{ping:?}")) })
    }

    /// Pings through the tunnel, lost packets or not.
    pub(crate) fn try_ping(&self, count: u32) -> Result<Ping> {
        Ping::run(
            &self.site.host,
            &self.site.inner(),
            self.peer.inner(),
            count,
            Duration::from_millis(20),
            56,
        )
    }

    /// TCP in both directions for `seconds` each; returns the note `TCP out/in Mbit/s`.
    pub(crate) fn tcp(&self, seconds: u32) -> Result<String> {
        let out =
            self.explain(self.peer.tcp(self.lab, &self.site, seconds, false).context("TCP outbound"))?;
        let back = self.explain(self.peer.tcp(self.lab, &self.site, seconds, true).context("TCP inbound"))?;
        ensure!(out.mbit_per_s > 1.0 && back.mbit_per_s > 1.0, "TCP came to a halt: {out:?} {back:?}");
        Ok(format!("TCP {:.0}/{:.0} Mbit/s", out.mbit_per_s, back.mbit_per_s))
    }

    /// Ends the scene: ESP was seen on the outside link and not one inner packet in clear.
    pub(crate) fn finish(self) -> Result<()> {
        let seen = self.capture.finish()?;
        ensure!(seen.leaks == 0, "inner packets in clear on the outside link: {seen:?}");
        ensure!(seen.esp > 0, "no ESP on the outside link: {seen:?}");
        Ok(())
    }

    /// As [`Scene::finish`] where the suite does not encrypt: inner packets were readable in ESP, and nowhere else.
    pub(crate) fn finish_readable(self) -> Result<()> {
        let seen = self.capture.finish()?;
        ensure!(seen.readable_esp > 0, "no ESP that can be read on the outside link: {seen:?}");
        ensure!(seen.leaks == seen.readable_esp, "inner packets outside ESP on the outside link: {seen:?}");
        Ok(())
    }

    /// The one IKE SA; none or several are an error.
    pub(crate) fn only_sa(&self) -> Result<IkeSa> {
        let mut sas = self.site.gateway.sas()?;
        match (sas.pop(), sas.len()) {
            (Some(sa), 0) => Ok(sa),
            (_, more) => bail!("{} IKE SAs instead of one", more + 1),
        }
    }

    /// The inbound SPIs of all CHILD_SAs, sorted.
    pub(crate) fn spis(&self) -> Result<Vec<String>> {
        let sas = self.site.gateway.sas()?;
        let mut spis: Vec<String> =
            sas.iter().flat_map(|sa| &sa.children).map(|child| child.spi_in.clone()).collect();
        spis.sort();
        Ok(spis)
    }

    /// Adds to an error what both sides logged.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            format!(
                "peer:\n{}\nour control plane:\n{}\nour data plane:\n{}\ncounters:\n{}",
                self.peer.log(),
                last_lines(&self.site.gateway.control.log()),
                last_lines(&self.site.gateway.dataplane.log()),
                self.site.gateway.command(&["show", "errors"]).unwrap_or_else(|error| error.to_string()),
            )
        })
    }
}

pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// A site that waits to be told, on veth devices that outlive a data plane.
pub(crate) fn waiting_site(side: u8) -> SiteOptions {
    SiteOptions { immediately: false, ..SiteOptions::new(side, Devices::AfPacket) }
}

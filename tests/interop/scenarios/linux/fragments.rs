//! Packets larger than the tunnel's MTU, both ways: fragmented before encryption by either side, and after it.

use super::packets::{Seen, Tunnel};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Echo payloads, bytes; the last makes six fragments.
const SIZES: [u16; 5] = [0, 1380, 1452, 3000, 8000];
/// The MTU of all links.
const MTU: u16 = 1500;
/// Where our host takes a datagram.
const PORT: u16 = 7000;

/// Every size passes in both directions; then a packet of the link's MTU, that the kernel fragments only when it is ESP.
pub(super) fn check(tunnel: &Tunnel<'_>) -> Result<String> {
    for size in SIZES {
        // An IPv6 host learns the tunnel's MTU by losing its first large packet.
        tunnel.ping(1, size, &["-M", "dont", "-W", "1"])?;
        tunnel.ping_back(1, size, "-M dont")?;
        let there = tunnel.ping(5, size, &["-M", "dont"])?;
        ensure!(there.received == there.sent, "echo of {size} bytes from our host: {there:?}");
        let back = tunnel.ping_back(5, size, "-M dont")?;
        ensure!(back.received == back.sent, "echo of {size} bytes from the guest: {back:?}");
    }
    let fragments = outer_fragments(tunnel)?;
    Ok(format!("echoes of up to {} bytes, {fragments} outer fragments", SIZES[SIZES.len() - 1]))
}

/// One datagram of the link's MTU from a socket that ignores the tunnel's; returns how many outer fragments it made.
fn outer_fragments(tunnel: &Tunnel<'_>) -> Result<usize> {
    let capture = tunnel.outside("fragments")?;
    let (lab, host) = (tunnel.scene.lab, &tunnel.scene.site.host);
    let v6 = tunnel.families.inner_v6;
    let name = if v6 { "UDP6" } else { "UDP4" };
    // IP_MTU_DISCOVER, IP_PMTUDISC_OMIT and their likes of IPv6.
    let omit = if v6 { "41:23:5" } else { "0:10:5" };
    let payload = MTU - tunnel.families.echo_headers();
    let file = lab.folder().join("datagram");
    let sink = format!("OPEN:{},creat,append", file.display());
    let mut receiver = host.start(
        "socat",
        &["-u", &format!("{name}-RECV:{PORT}"), &sink],
        &lab.folder().join("datagram.log"),
    )?;
    lab.wait_for("socat", Duration::from_secs(5), || {
        ensure!(receiver.is_alive(), "{}", receiver.log());
        Ok(host.run("ss", &["-lunH"])?.contains(&format!(":{PORT}")).then_some(()))
    })?;
    let [ours, theirs] = tunnel.ends().map(|end| if v6 { format!("[{end}]") } else { end });
    let said = tunnel.guest()?.shell(&format!(
        "head -c {payload} /dev/zero | socat -u -b {MTU} - {name}-SENDTO:{ours}:{PORT},bind={theirs},setsockopt-int={omit} 2>&1"
    ))?;
    let arrived = || std::fs::metadata(&file).map_or(0, |file| file.len());
    lab.wait_for("the datagram in outer fragments", Duration::from_secs(5), || {
        Ok((arrived() == u64::from(payload)).then_some(()))
    })
    .with_context(|| format!("{} of {payload} bytes came; the guest's socat: {said}", arrived()))?;
    let mut fragments = 0;
    capture.each(|frame| {
        fragments += usize::from(Seen::read(frame).is_some_and(|seen| seen.fragment && !seen.is_ours()));
    })?;
    ensure!(fragments >= 2, "the guest made {fragments} outer fragments");
    Ok(fragments)
}

/// With the connection's word for it, we too fragment what is ESP already. An IPv6 packet is cut by its source or not at all.
pub(super) fn after_encryption(tunnel: &Tunnel<'_>) -> Result<()> {
    if tunnel.families.inner_v6 {
        return Ok(());
    }
    let word = "effective-immediately = false";
    tunnel.scene.site.gateway.reconfigure(word, &format!("{word}\nfragmentation = \"after\""))?;
    tunnel.scene.lab.wait_for("outer fragments of ours", Duration::from_secs(10), || {
        let capture = tunnel.outside("fragments-of-ours")?;
        let ping = tunnel.ping(1, SIZES[SIZES.len() - 1], &["-M", "dont", "-W", "1"])?;
        let mut fragments = 0;
        capture.each(|frame| {
            fragments += usize::from(Seen::read(frame).is_some_and(|seen| seen.fragment && seen.is_ours()));
        })?;
        Ok((ping.received == 1 && fragments > 0).then_some(()))
    })
}

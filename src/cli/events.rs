//! `esplanade events`: what happens, as it happens.

use anyhow::{Context as _, Result};
use api::{Event, EventFilter, Occurrence, path};
use clap::Args;
use esplanade::client::{Client, with_query};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only those of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Only these kinds (ike-sa-rekeyed, tunnel-down, ...) or families of them (ike-sa, child-sa, tunnel, config)
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(client: &Client, options: &Options) -> Result<ExitCode> {
    let kind = (!options.kind.is_empty()).then(|| options.kind.join(","));
    let filter = EventFilter { connection: options.connection.clone(), kind };
    client.follow(&with_query(path::EVENTS, &filter)?, |data| {
        let event: Event = serde_json::from_str(data).context("an event of another version?")?;
        let line = if options.json { data.to_owned() } else { text(&event) };
        Ok(writeln!(std::io::stdout(), "{line}")?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// When, to whom, and what.
fn text(event: &Event) -> String {
    let whose = match (&event.connection, event.tunnel) {
        (Some(connection), Some(tunnel)) => format!(" {connection}/{tunnel}"),
        (connection, _) => connection.iter().map(|name| format!(" {name}")).collect(),
    };
    let time = ike::pki::date(Duration::from_secs(event.time));
    format!("{time}{whose} {}{}", event.what.kind(), details(&event.what))
}

fn details(what: &Occurrence) -> String {
    let changed = |count: &usize| match count {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    match what {
        Occurrence::IkeSaEstablished { ike_sa, initiator } => {
            format!(" #{ike_sa}, {}", if *initiator { "by us" } else { "by the peer" })
        }
        Occurrence::IkeSaRekeyed { ike_sa, replaces } => format!(" #{ike_sa} replaces #{replaces}"),
        Occurrence::IkeSaDeleted { ike_sa, reason } => format!(" #{ike_sa}: {}", reason.name()),
        Occurrence::ChildSaEstablished { spi } => format!(" {spi}"),
        Occurrence::ChildSaRekeyed { spi, replaces } => format!(" {spi} replaces {replaces}"),
        Occurrence::ChildSaDeleted { spi, reason } => format!(" {spi}: {}", reason.name()),
        Occurrence::TunnelUp => String::new(),
        Occurrence::TunnelDown { reason } => format!(": {}", reason.name()),
        Occurrence::TunnelFailed { code, confidence } => format!(": {code}, {confidence}"),
        Occurrence::ConfigCommitted { revision, author, confirm_secs, changed: count } => {
            let wait =
                confirm_secs.map(|secs| format!(", to be confirmed within {secs} s")).unwrap_or_default();
            format!(" revision {revision} by {author}, {}{wait}", changed(count))
        }
        Occurrence::ConfigConfirmed { revision, author } => format!(" revision {revision} by {author}"),
        Occurrence::ConfigRolledBack { revision, author, changed: count } => {
            format!(" revision {revision} by {author}, {}", changed(count))
        }
        Occurrence::ConfigReturned { revision, changed: count } => {
            format!(" revision {revision}, {}", changed(count))
        }
        Occurrence::ConfigReloaded { changed: count } => format!(" {}", changed(count)),
        Occurrence::Missed { count: Some(count) } => format!(" {count} events"),
        Occurrence::Missed { count: None } => ": the control plane was started anew".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let shown = |connection: Option<&str>, what| {
            let connection = connection.map(str::to_owned);
            text(&Event {
                id: "1-1".into(),
                time: 0,
                tunnel: connection.as_ref().map(|_| 2),
                connection,
                what,
            })
        };
        let failed = Occurrence::TunnelFailed { code: "PskMismatch".into(), confidence: "certain".into() };
        assert_eq!(
            shown(Some("hq"), failed),
            "1970-01-01T00:00:00Z hq/2 tunnel-failed: PskMismatch, certain"
        );
        let committed = Occurrence::ConfigCommitted {
            revision: 7,
            author: "uid 0".into(),
            confirm_secs: Some(60),
            changed: 1,
        };
        let line = "config-committed revision 7 by uid 0, 1 connection, to be confirmed within 60 s";
        assert_eq!(shown(None, committed), format!("1970-01-01T00:00:00Z {line}"));
    }
}

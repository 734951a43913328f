//! `esplanade tunnel up|down|rekey|reset`: each tunnel by itself, all at once, with a verdict for each.

use super::{Exit, Format, Name};
use crate::cli::show;
use anyhow::Result;
use api::{Action, ActionReply, ActionRequest, Diagnosis, Target, Tunnel};
use clap::Args;
use esplanade::client::Client;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// A tunnel as CONNECTION/INDEX, or a connection for all of its tunnels
    #[arg(value_name = "NAME")]
    name: Name,
    /// Seconds to wait for the outcome; 0 returns at once
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(..=50))]
    wait: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Rekey {
    #[command(flatten)]
    options: Options,
    /// The IKE SA instead of its CHILD_SAs
    #[arg(long)]
    ike: bool,
}

/// What became of an action on one tunnel.
#[derive(Debug, Serialize)]
struct Verdict {
    tunnel: String,
    done: bool,
    message: String,
    /// Why it failed, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<Diagnosis>,
    #[serde(skip)]
    exit: Exit,
}

pub(super) fn up(client: &Client, options: &Options) -> Result<ExitCode> {
    act(client, options, Action::Initiate, Target::Child)
}

pub(super) fn down(client: &Client, options: &Options) -> Result<ExitCode> {
    act(client, options, Action::Terminate, Target::Ike)
}

pub(super) fn rekey(client: &Client, rekey: &Rekey) -> Result<ExitCode> {
    act(client, &rekey.options, Action::Rekey, if rekey.ike { Target::Ike } else { Target::Child })
}

pub(super) fn reset(client: &Client, options: &Options) -> Result<ExitCode> {
    act(client, options, Action::Reset, Target::Ike)
}

/// Asks for the action on every tunnel that is meant, at the same time; exits as the worst of them.
fn act(client: &Client, options: &Options, action: Action, target: Target) -> Result<ExitCode> {
    let connection = options.name.find(client)?;
    let path = api::path::action(&connection.name, action);
    let ask = |tunnel: &Tunnel| {
        let request = ActionRequest { target, tunnel: Some(tunnel.index), wait_secs: options.wait };
        verdict(tunnel, client.post(&path, &request), options.wait)
    };
    let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        let asked: Vec<_> = connection.tunnels.iter().map(|t| scope.spawn(move || ask(t))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let worst = verdicts.iter().map(|verdict| verdict.exit).max_by_key(|exit| *exit as u8);
    options.format.print(&verdicts, |verdicts| verdicts.iter().map(text).collect())?;
    Ok(worst.unwrap_or(Exit::Failed).into())
}

fn verdict(tunnel: &Tunnel, reply: Result<ActionReply>, wait: u64) -> Verdict {
    let tunnel = tunnel.name.clone();
    match reply {
        Ok(ActionReply { done, message, diagnosis }) => {
            Verdict { tunnel, done, message, diagnosis, exit: Exit::up(done || wait == 0) }
        }
        Err(error) => {
            let exit = Exit::of(&error);
            Verdict { tunnel, done: false, message: format!("{error:#}"), diagnosis: None, exit }
        }
    }
}

fn text(verdict: &Verdict) -> String {
    let cause = verdict.diagnosis.as_ref().map(show::cause).unwrap_or_default();
    format!("{}: {}\n{cause}", verdict.tunnel, verdict.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_of_a_tunnel_is_its_exit_status() {
        let tunnel: Tunnel = crate::cli::samples::tunnel("hq", 1);
        let reply = |done| Ok(ActionReply { done, message: "still in progress".to_owned(), diagnosis: None });
        assert_eq!(verdict(&tunnel, reply(true), 15).exit, Exit::Done);
        assert_eq!(verdict(&tunnel, reply(false), 15).exit, Exit::Down);
        assert_eq!(verdict(&tunnel, reply(false), 0).exit, Exit::Done, "nobody waited");
        let failed = verdict(&tunnel, Err(anyhow::anyhow!("no")), 15);
        assert_eq!((failed.exit, &*text(&failed)), (Exit::Failed, "hq/1: no\n"));
    }
}

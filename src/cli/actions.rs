//! `esplanade initiate|rekey|terminate`.

use super::{Exit, Format, show};
use anyhow::Result;
use api::{Action, ActionReply, ActionRequest, Target as What};
use clap::Args;
use esplanade::client::Client;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Target {
    /// The connection
    #[arg(value_name = "CONNECTION")]
    name: String,
    /// Only this tunnel of it, 1 or 2
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    tunnel: Option<u8>,
    /// Seconds to wait for the outcome; 0 returns at once
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(..=60))]
    wait: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Rekey {
    #[command(flatten)]
    target: Target,
    /// The IKE SA instead of its CHILD_SAs
    #[arg(long)]
    ike: bool,
}

pub(super) fn initiate(client: &Client, target: &Target) -> Result<ExitCode> {
    act(client, target, Action::Initiate, What::Child)
}

pub(super) fn terminate(client: &Client, target: &Target) -> Result<ExitCode> {
    act(client, target, Action::Terminate, What::Ike)
}

pub(super) fn rekey(client: &Client, rekey: &Rekey) -> Result<ExitCode> {
    act(client, &rekey.target, Action::Rekey, if rekey.ike { What::Ike } else { What::Child })
}

/// Asks for an action.
fn act(client: &Client, target: &Target, action: Action, what: What) -> Result<ExitCode> {
    let request = ActionRequest { target: what, tunnel: target.tunnel, wait_secs: target.wait };
    let reply: ActionReply = client.post(&api::path::action(&target.name, action), &request)?;
    let done = reply.done || target.wait == 0;
    target.format.print(&reply, text)?;
    Ok(Exit::up(done).into())
}

fn text(reply: &ActionReply) -> String {
    let mut lines = format!("{}\n", reply.message);
    if let Some(diagnosis) = &reply.diagnosis {
        lines += &format!("{}:\n{}", diagnosis.code, show::cause(diagnosis));
    }
    lines
}

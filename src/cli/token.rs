//! `esplanade token create|list|revoke`.

use super::Format;
use super::human;
use super::show::table;
use anyhow::Result;
use api::{Role, Token, TokenCreated, TokenRequest, path};
use clap::{Args, Subcommand};
use esplanade::client::Client;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token and print its secret: it is not told again
    ///
    /// Examples:
    ///   esplanade token create monitoring --role viewer
    ///   (umask 077; esplanade token create ci --role operator --days 30 >ci.token)
    #[command(verbatim_doc_comment)]
    Create(CreateOptions),
    /// List tokens, without their secrets
    ///
    /// Example:  esplanade token list --json
    #[command(verbatim_doc_comment)]
    List(Format),
    /// Revoke a token: it is refused from then on
    ///
    /// Example:  esplanade token revoke 1a2b3c4d
    #[command(verbatim_doc_comment)]
    Revoke {
        /// Its number, as `token list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateOptions {
    /// What it is for
    name: String,
    /// viewer (reads state and figures), operator (negotiates, rekeys and deletes SAs, too), or admin (everything)
    #[arg(long, value_parser = role)]
    role: Role,
    /// For how many days it is good
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    #[command(flatten)]
    format: Format,
}

fn role(text: &str) -> Result<Role, String> {
    let all = [Role::Viewer, Role::Operator, Role::Admin];
    all.into_iter().find(|role| role.name() == text).ok_or_else(|| "viewer, operator or admin".to_owned())
}

pub(super) fn run(client: &Client, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create(CreateOptions { name, role, days, format }) => {
            let request = TokenRequest { name: name.clone(), role: *role, days: *days };
            let made: TokenCreated = client.post(path::TOKENS, &request)?;
            // Nothing but the secret, so that it can go into a file.
            format.print(&made, |made| format!("{}\n", made.secret))
        }
        Command::List(format) => {
            format.print(&client.list(path::TOKENS)?, |tokens: &Vec<Token>| list(tokens))
        }
        Command::Revoke { id } => {
            client.delete(&path::token(id))?;
            println!("token {id} is revoked");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(tokens: &[Token]) -> String {
    let now = human::now();
    let left = |token: &Token| match token.expires.checked_sub(now) {
        None | Some(0) => "expired".to_owned(),
        Some(secs) => human::duration(secs),
    };
    let rows = tokens.iter().map(|token| {
        [token.id.clone(), token.name.escape_debug().to_string(), token.role.name().to_owned(), left(token)]
    });
    table(["token", "name", "role", "good for"], rows)
}

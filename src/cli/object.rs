//! `esplanade gateway`, `customer-gateway` and `connection`: single objects of the configuration.

mod fields;

use super::select::Filter;
use super::transaction::{Edit, Question, put_into_force};
use super::{Format, show};
use anyhow::{Context as _, Result, bail};
use api::ObjectKind;
use clap::{Args, Subcommand};
use esplanade::client::{Client, with_query};
use fields::Field;
use gateway::edit::{self, Kind, Object};
use serde_json::Map;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Gateway {
    /// List VPN gateways: their addresses, bandwidth, resource group and tags
    ///
    /// Example:  esplanade gateway list --json
    #[command(verbatim_doc_comment)]
    List(List),
    /// Show how a VPN gateway is configured, field by field as `set` takes them
    ///
    /// Example:  esplanade gateway show tokyo
    #[command(verbatim_doc_comment)]
    Show(Show),
    /// Create a VPN gateway
    ///
    /// Example:  esplanade gateway create tokyo 'addresses=["192.0.2.1", "192.0.2.2"]' bandwidth=500
    #[command(verbatim_doc_comment)]
    Create(Create),
    /// Change fields of a VPN gateway
    ///
    /// Example:  esplanade gateway set tokyo bandwidth=1000 tags.site=east --plan
    #[command(verbatim_doc_comment)]
    Set(Set),
    /// Delete a VPN gateway that no connection uses
    ///
    /// Example:  esplanade gateway delete tokyo
    #[command(verbatim_doc_comment)]
    Delete(Delete),
}

#[derive(Debug, Subcommand)]
pub(super) enum CustomerGateway {
    /// List customer gateways, the peers: their addresses, AS numbers, resource groups and tags
    ///
    /// Example:  esplanade customer-gateway list --tag site=osaka
    #[command(verbatim_doc_comment)]
    List(List),
    /// Show how a customer gateway is configured, field by field as `set` takes them
    ///
    /// Example:  esplanade customer-gateway show osaka
    #[command(verbatim_doc_comment)]
    Show(Show),
    /// Create a customer gateway
    ///
    /// Example:  esplanade customer-gateway create osaka ip=198.51.100.7 tags.site=osaka
    #[command(verbatim_doc_comment)]
    Create(Create),
    /// Change fields of a customer gateway
    ///
    /// Example:  esplanade customer-gateway set osaka ip=198.51.100.8
    #[command(verbatim_doc_comment)]
    Set(Set),
    /// Delete a customer gateway that no tunnel leads to
    ///
    /// Example:  esplanade customer-gateway delete osaka --yes
    #[command(verbatim_doc_comment)]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    edit: Edit,
}

/// What is said of an object.
#[derive(Debug, Args)]
struct Content {
    /// Fields such as tunnel[0].ike.lifetime=3600; a value is JSON, or else text; an empty one takes the field out
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<Field>,
    /// Fields in TOML or JSON, before those of the command line; - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Content {
    /// `object` with what is said: the file is merged into it (RFC 7396), then the fields are set.
    fn merged_into(&self, kind: Kind, object: Object) -> Result<Object> {
        let mut object = match &self.file {
            Some(file) => edit::patched(object, edit::named_patch(kind, read(file)?)),
            None if self.fields.is_empty() => bail!("nothing to set: add FIELD=VALUE or --file FILE"),
            None => object,
        };
        for field in &self.fields {
            field.assign(&mut object)?;
        }
        Ok(object)
    }
}

/// A name, which is a part of a path.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let plain = !text.starts_with(['.', '-']) && !text.is_empty() && text.chars().all(fits);
    plain.then(|| text.to_owned()).ok_or_else(|| "a name has letters, digits, '_', '.' and '-'".to_owned())
}

fn read(file: &Path) -> Result<Object> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    edit::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))
}

pub(super) fn gateway(client: &Client, command: &Gateway) -> Result<ExitCode> {
    let kind = ObjectKind::VpnGateways;
    match command {
        Gateway::List(options) => list(client, kind, options, ["name", "addresses", "bandwidth"]),
        Gateway::Show(options) => show(client, kind, options),
        Gateway::Create(options) => create(client, kind, options),
        Gateway::Set(options) => set(client, kind, options),
        Gateway::Delete(options) => delete(client, kind, options),
    }
}

pub(super) fn customer_gateway(client: &Client, command: &CustomerGateway) -> Result<ExitCode> {
    let kind = ObjectKind::CustomerGateways;
    match command {
        CustomerGateway::List(options) => list(client, kind, options, ["name", "ip", "asn"]),
        CustomerGateway::Show(options) => show(client, kind, options),
        CustomerGateway::Create(options) => create(client, kind, options),
        CustomerGateway::Set(options) => set(client, kind, options),
        CustomerGateway::Delete(options) => delete(client, kind, options),
    }
}

fn list(client: &Client, kind: ObjectKind, options: &List, columns: [&str; 3]) -> Result<ExitCode> {
    let all: Vec<Object> = options.filter.list(client, &api::path::objects(kind))?;
    options.format.print(&all, |all| {
        let cell = |object: &Object, field| object.get(field).map(fields::plain).unwrap_or_default();
        let [a, b, c] = columns;
        let header = [a, b, c, "resource-group", "tags"];
        show::table(header, all.iter().map(|object| header.map(|field| cell(object, field))))
    })
}

pub(super) fn show(client: &Client, kind: ObjectKind, options: &Show) -> Result<ExitCode> {
    let object: Object = client.get(&api::path::object(kind, &options.name))?;
    options.format.print(&object, fields::lines)
}

pub(super) fn create(client: &Client, kind: ObjectKind, options: &Create) -> Result<ExitCode> {
    let object = options.content.merged_into(model(kind), Map::new())?;
    put(client, kind, &options.name, &object, ("if-none-match", "*"), &options.edit)
}

/// Reads the object and puts it back changed, unless somebody else was there in between.
pub(super) fn set(client: &Client, kind: ObjectKind, options: &Set) -> Result<ExitCode> {
    let path = api::path::object(kind, &options.name);
    let (object, tag): (Object, Option<String>) = client.get_tagged(&path)?;
    let object = options.content.merged_into(model(kind), object)?;
    let tag = tag.unwrap_or_else(|| "*".to_owned());
    put(client, kind, &options.name, &object, ("if-match", &tag), &options.edit)
}

fn put(
    client: &Client,
    kind: ObjectKind,
    name: &str,
    object: &Object,
    condition: (&str, &str),
    edit: &Edit,
) -> Result<ExitCode> {
    let path = api::path::object(kind, name);
    put_into_force(&edit.how, &Question::Interruption, |dry_run| {
        client.put(&with_query(&path, &edit.terms(dry_run))?, condition, object)
    })
}

pub(super) fn delete(client: &Client, kind: ObjectKind, options: &Delete) -> Result<ExitCode> {
    let path = api::path::object(kind, &options.name);
    let question = Question::Always(format!("this deletes {} {}", model(kind).table(), options.name));
    put_into_force(&options.edit.how, &question, |dry_run| {
        client.remove(&with_query(&path, &options.edit.terms(dry_run))?)
    })
}

fn model(kind: ObjectKind) -> Kind {
    match kind {
        ObjectKind::VpnGateways => Kind::VpnGateway,
        ObjectKind::CustomerGateways => Kind::CustomerGateway,
        ObjectKind::Connections => Kind::Connection,
    }
}

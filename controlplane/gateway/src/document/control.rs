//! `[control]`, `[api]`, and what control needs of `[dataplane]`: its socket and the names of its ports.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::reader::{Reader, one_or_many};
use super::value::Value;
use crate::diagnostic::{Code, Sink};
use crate::model::{Api, ApiCertificate, Control};

const SOCKET: &str = "/run/esplanade/control.sock";
const DATAPLANE_SOCKET: &str = "/run/esplanade/dataplane.sock";
/// Addresses that the API may listen at.
const MAX_LISTEN: usize = 16;

/// What is read here.
#[derive(Debug)]
pub(super) struct Both {
    pub(super) control: Control,
    /// Names of `[[dataplane.port]]`; `None` where the document does not list them.
    pub(super) ports: Option<Vec<String>>,
}

pub(super) fn read(root: &mut Reader<'_>, sink: &mut Sink<'_>) -> Both {
    let mut control = Control {
        socket: PathBuf::from(SOCKET),
        dataplane_socket: PathBuf::from(DATAPLANE_SOCKET),
        log: "info".to_owned(),
        journal: true,
        api: Api::default(),
    };
    let mut ports = None;
    // The rest of [dataplane] is the data plane's to check.
    if let Some(mut dataplane) = root.table("dataplane", sink) {
        if let Some(socket) = dataplane.take(&["socket"], sink).and_then(|v| v.path(sink)) {
            control.dataplane_socket = socket;
        }
        ports = dataplane.take(&["port"], sink).map(|v| port_names(&v, sink));
    }
    section(root, &mut control, sink);
    api(root, &mut control.api, sink);
    Both { control, ports }
}

/// The names as far as they can be read: what is wrong with them is the data plane's to say.
fn port_names(ports: &Value<'_>, sink: &mut Sink<'_>) -> Vec<String> {
    let tables = ports.array().unwrap_or_default();
    let names = tables.into_iter().filter(Value::is_table).filter_map(|port| {
        let name = port.table(sink)?.take(&["name"], sink)?;
        name.as_text().map(str::to_owned)
    });
    names.collect()
}

fn section(root: &mut Reader<'_>, control: &mut Control, sink: &mut Sink<'_>) {
    let Some(mut table) = root.table("control", sink) else { return };
    if let Some(socket) = table.take(&["socket"], sink).and_then(|v| v.path(sink)) {
        control.socket = socket;
    }
    if let Some(log) = table.take(&["log"], sink).and_then(|v| v.reference(sink)) {
        control.log = log;
    }
    if let Some(journal) = table.take(&["journal"], sink).and_then(|v| v.flag(sink)) {
        control.journal = journal;
    }
    table.finish(&["tls", "tokens", "store", "metrics", "cluster"], sink);
}

fn api(root: &mut Reader<'_>, api: &mut Api, sink: &mut Sink<'_>) {
    let Some(mut table) = root.table("api", sink) else { return };
    api.state = table.take(&["state"], sink).and_then(|v| v.path(sink));
    for (role, groups) in
        [("viewers", &mut api.viewers), ("operators", &mut api.operators), ("admins", &mut api.admins)]
    {
        let written = table.take(&[role], sink).map(one_or_many).unwrap_or_default();
        *groups = written.iter().filter_map(|group| group.reference(sink)).collect();
    }
    api.listen = listen(&mut table, sink);
    api.certificate = certificate(&mut table, !api.listen.is_empty(), sink);
    table.finish(&[], sink);
}

/// The addresses for TLS.
fn listen(table: &mut Reader<'_>, sink: &mut Sink<'_>) -> Vec<SocketAddr> {
    let Some(written) = table.take(&["listen"], sink) else { return Vec::new() };
    let values = one_or_many(written.clone());
    if values.len() > MAX_LISTEN {
        let message = format!("{} addresses are more than {MAX_LISTEN}", values.len());
        sink.error(
            written.problem(Code::OutOfRange, message).fix("listen at \"0.0.0.0:8443\", \"[::]:8443\""),
        );
    }
    let mut addresses = Vec::new();
    for value in values.iter().take(MAX_LISTEN) {
        let Some(address) = value.socket_address(sink) else { continue };
        if addresses.contains(&address) {
            let problem = value.problem(Code::Duplicate, format!("{address} is listed twice"));
            sink.error(problem.fix("remove one of them"));
        }
        addresses.push(address);
    }
    addresses
}

/// Both files or neither.
fn certificate(table: &mut Reader<'_>, listens: bool, sink: &mut Sink<'_>) -> Option<ApiCertificate> {
    let (certificate, key) = (table.take(&["certificate"], sink), table.take(&["key"], sink));
    let (certificate, key) = match (certificate, key) {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(lonely), None) => {
            let problem = lonely.problem(Code::MissingKey, "the certificate has no private key");
            sink.error(problem.fix("add  key = \"/etc/esplanade/api.key\"  (mode 0600), or remove it"));
            return None;
        }
        (None, Some(lonely)) => {
            let problem = lonely.problem(Code::MissingKey, "the key has no certificate");
            sink.error(problem.fix("add  certificate = \"/etc/esplanade/api.pem\", or remove it"));
            return None;
        }
    };
    if !listens {
        let message = "nobody sees the certificate: the API is served on its Unix socket only";
        let problem = certificate.problem(Code::NoEffect, message);
        sink.warn(problem.fix("add  listen = \"ADDRESS:8443\", or remove it"));
    }
    Some(ApiCertificate { certificate: certificate.path(sink)?, key: key.path(sink)? })
}

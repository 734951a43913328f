//! `[control]`, `[api]`, and what control needs of `[dataplane]`: its socket and the names of its ports.

use std::path::PathBuf;

use super::reader::{Reader, one_or_many};
use super::value::Value;
use crate::diagnostic::Sink;
use crate::model::{Api, Control};

const SOCKET: &str = "/run/esplanade/control.sock";
const DATAPLANE_SOCKET: &str = "/run/esplanade/dataplane.sock";

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
    table.finish(&["listen", "certificate", "key"], sink);
}

//! `[control]`, and the one key of `[dataplane]` that control reads.

use std::path::PathBuf;

use super::reader::Reader;
use crate::diagnostic::Sink;
use crate::model::Control;

const SOCKET: &str = "/run/esplanade/control.sock";
const DATAPLANE_SOCKET: &str = "/run/esplanade/dataplane.sock";

pub(super) fn read(root: &mut Reader<'_>, sink: &mut Sink<'_>) -> Control {
    let mut control = Control {
        socket: PathBuf::from(SOCKET),
        dataplane_socket: PathBuf::from(DATAPLANE_SOCKET),
        log: "info".to_owned(),
        journal: true,
    };
    // The rest of [dataplane] is the data plane's to check.
    if let Some(mut dataplane) = root.table("dataplane", sink)
        && let Some(socket) = dataplane.take(&["socket"], sink).and_then(|v| v.path(sink))
    {
        control.dataplane_socket = socket;
    }
    let Some(mut table) = root.table("control", sink) else { return control };
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
    control
}

//! IKE's SA commands, and the data plane's completions.

use ike::{SaCommand, SaReply, Time};
use shm::message::{ActivateOutbound, Completion, ReleaseSpi, ReserveSpi, Spi, VrfId};

use super::Engine;
use super::link::{Purpose, Question};
use crate::convert;

impl Engine {
    pub(super) fn handle_sa_command(&mut self, command: SaCommand, now: Time) {
        match command {
            SaCommand::ReserveSpi { request, owner, outer_vrf } => {
                let (owner, outer_vrf) = (convert::owner(&owner), VrfId(outer_vrf));
                let command = |request| ReserveSpi { request, owner, outer_vrf }.into();
                self.link.ask(Question::ReserveSpi(request), command);
            }
            SaCommand::ReleaseSpi { spi } => {
                if let Some(spi) = Spi::new(spi) {
                    self.link.tell(ReleaseSpi { spi }.into());
                }
            }
            SaCommand::InstallChild(child) => self.install_child(&child, now),
            SaCommand::ActivateOutbound { spi } => {
                if let Some(spi) = Spi::new(spi) {
                    let changes = vec![ActivateOutbound { spi }.into()];
                    self.link.transact(false, changes, Purpose::Activate(spi));
                }
            }
            SaCommand::DeleteChild { spi, linger } => {
                if let Some(spi) = Spi::new(spi) {
                    self.link.transact(false, convert::delete(spi, linger), Purpose::Delete(spi));
                }
            }
            SaCommand::UpdateOuter { spi, outer } => {
                if let Some(spi) = Spi::new(spi) {
                    let changes = vec![convert::update_outer(spi, &outer)];
                    self.link.transact(false, changes, Purpose::UpdateOuter(spi));
                }
            }
        }
    }

    /// Installs a child, unless a control process before us has done so already.
    fn install_child(&mut self, child: &ike::InstallChild, now: Time) {
        let (request, owner) = (child.request, convert::owner(&child.owner));
        match (convert::spi(child.spi), convert::install(child)) {
            (Ok(spi), Ok(_)) if self.installed.get(&spi) == Some(&owner) => {
                self.manager.handle_sa_reply(SaReply::Installed { request }, now);
            }
            (Ok(spi), Ok(changes)) => {
                self.link.transact(false, changes, Purpose::Install { request, spi, owner });
            }
            (Err(why), _) | (_, Err(why)) => {
                tracing::error!(%why, "a CHILD_SA cannot be installed");
                let code = u32::from(shm::message::RejectCode::Unsupported as u8);
                self.manager.handle_sa_reply(SaReply::Failed { request, code }, now);
            }
        }
    }

    /// The data plane answered.
    pub fn handle_completion(&mut self, completion: Completion, now: Time) {
        match completion {
            Completion::Committed(committed) => self.committed(committed, now),
            Completion::Rejected(rejected) => self.rejected(rejected, now),
            Completion::Aborted(aborted) => drop(self.link.answered(aborted.txn)),
            Completion::SpiReserved(reserved) => self.spi_reserved(reserved.request, reserved.spi, now),
            Completion::Refused(refused) => self.refused(refused.request, refused.code, now),
            Completion::SaDeleted(deleted) => {
                self.installed.remove(&deleted.spi);
                self.ledger.settle(&deleted);
                let totals = deleted.totals;
                tracing::debug!(
                    spi = %deleted.spi,
                    in_packets = totals.in_packets,
                    out_packets = totals.out_packets,
                    "SA is gone"
                );
            }
            Completion::Sa(record) => {
                if let Some(Question::SyncSas(found)) = self.link.question(record.request) {
                    found.push(record.sa);
                }
            }
            Completion::Neighbour(record) => {
                if let Some(Question::Neighbours(found, _)) = self.link.question(record.request) {
                    found.push(record.neighbour);
                }
            }
            Completion::Port(record) => {
                let question = self.link.question(record.request);
                if let Some(Question::SyncPorts(found) | Question::Ports(found, _)) = question {
                    found.push(record.port);
                }
            }
            Completion::ListEnd(end) if end.next != 0 => self.link.list_on(end.request, end.next),
            Completion::ListEnd(end) => self.list_complete(end.request, now),
            Completion::Tunnel(record) => {
                self.paths.insert(record.tunnel.id, record.path);
            }
            // Lists that are not asked for.
            Completion::Interface(_) | Completion::Route(_) | Completion::Pong(_) => {}
        }
    }

    fn list_complete(&mut self, request: shm::message::RequestId, now: Time) {
        match self.link.close(request) {
            Some(Question::SyncPorts(ports)) => self.ports_listed(ports, now),
            Some(Question::SyncSas(found)) => self.sas_listed(&found, now),
            Some(Question::Ports(found, reply)) => drop(reply.send(Ok(self.view_ports(&found)))),
            Some(Question::Neighbours(found, reply)) => drop(reply.send(Ok(self.view_neighbours(&found)))),
            Some(Question::SyncPaths) => {}
            Some(Question::ReserveSpi(_)) | None => tracing::warn!("end of a list nobody asked for"),
        }
    }
}

//! Proposals: what we offer, what we choose, and why nothing fits (RFC 7296 sections 2.7 and 3.3).

use serde::{Deserialize, Serialize};
use std::fmt::Display;

use crate::config::{EspProposal, IkeProposal};
use crate::diagnosis::Code;
use crate::manager::command::Spi;
use crate::wire::iana::{EncrId, EsnId, IntegId, KeId, ProtocolId, TransformType};
use crate::wire::{Proposal, SaPayload, Transform};

/// No offered combination is acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The first transform type without anything in common.
    pub(crate) code: Code,
    /// The configuration's name of it, or `ike proposal`, `ipsec proposal`, `ipsec protocol`.
    pub(crate) parameter: &'static str,
    /// All we accept of that type.
    pub(crate) ours: String,
    /// All the peer offered of that type.
    pub(crate) theirs: String,
    /// The same as transforms; none where it is no single type.
    pub(crate) offered: Vec<Transform>,
}

/// The outcome of a choice among IKE proposals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenIke {
    /// What was chosen.
    pub(crate) proposal: IkeProposal,
    /// The proposal that says so, with the peer's SPI still in it.
    pub(crate) wire: Proposal,
}

/// The outcome of a choice among ESP proposals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChosenEsp {
    /// What was chosen; its `esn` is whether extended sequence numbers are used.
    pub(crate) proposal: EspProposal,
    /// The proposal that says so, with the peer's SPI still in it.
    pub(crate) wire: Proposal,
}

impl ChosenIke {
    /// The SA payload that answers the offer, with our SPI (empty in IKE_SA_INIT).
    pub(crate) fn answer(&self, spi: &[u8]) -> SaPayload {
        answer(&self.wire, spi)
    }
}

impl ChosenEsp {
    /// The SA payload that answers the offer, with our SPI.
    pub(crate) fn answer(&self, spi: Spi) -> SaPayload {
        answer(&self.wire, &spi.to_be_bytes())
    }
}

fn answer(chosen: &Proposal, spi: &[u8]) -> SaPayload {
    SaPayload { proposals: vec![Proposal { spi: spi.to_vec(), ..chosen.clone() }] }
}

/// The SA payload of all we accept for an IKE SA; `spi` is empty in IKE_SA_INIT.
pub(crate) fn ike_offer(ours: &[IkeProposal], spi: &[u8]) -> SaPayload {
    let proposals = ours.iter().zip(1..).map(|(p, number)| {
        let mut transforms = vec![encryption(p.encryption, p.key_bits)];
        transforms.extend(integrity(p.integrity));
        transforms.extend([Transform::prf(p.prf), Transform::ke(p.group)]);
        Proposal { number, protocol: ProtocolId::IKE, spi: spi.to_vec(), transforms }
    });
    SaPayload { proposals: proposals.collect() }
}

/// The SA payload of all we accept for a CHILD_SA. IKE_AUTH carries no key exchange (`with_ke` false),
/// RFC 7296 section 1.2.
pub(crate) fn esp_offer(ours: &[EspProposal], spi: Spi, with_ke: bool) -> SaPayload {
    let proposals = ours.iter().zip(1..).map(|(p, number)| {
        let mut transforms = vec![encryption(p.encryption, p.key_bits)];
        transforms.extend(integrity(p.integrity));
        transforms.extend(p.group.filter(|_| with_ke).map(Transform::ke));
        transforms.extend(p.esn.then(|| Transform::esn(EsnId::ESN)));
        transforms.push(Transform::esn(EsnId::NO_ESN));
        Proposal { number, protocol: ProtocolId::ESP, spi: spi.to_be_bytes().to_vec(), transforms }
    });
    SaPayload { proposals: proposals.collect() }
}

fn encryption(id: EncrId, key_bits: u16) -> Transform {
    Transform::encr(id, (key_bits != 0).then_some(key_bits))
}

fn integrity(id: IntegId) -> Option<Transform> {
    (id != IntegId::NONE).then(|| Transform::integ(id))
}

/// Chooses an IKE proposal: the peer's order decides, but a combination whose group is that of the key
/// exchange already sent (`sent_group`) comes first, for it saves a round trip.
pub(crate) fn select_ike(
    ours: &[IkeProposal],
    offered: &SaPayload,
    sent_group: KeId,
) -> Result<ChosenIke, Mismatch> {
    let fitting = |wanted: &dyn Fn(&IkeProposal) -> bool| {
        offered.proposals.iter().find_map(|theirs| {
            let proposal = ours.iter().filter(|p| wanted(p)).find(|p| ike_fits(p, theirs))?;
            let kept = ike_transforms(proposal, theirs);
            Some(ChosenIke { proposal: *proposal, wire: Proposal { transforms: kept, ..theirs.clone() } })
        })
    };
    fitting(&|p| p.group == sent_group)
        .or_else(|| fitting(&|_| true))
        .ok_or_else(|| ike_mismatch(ours, offered))
}

/// Chooses an ESP proposal. `with_ke`: whether key exchange transforms count (not in IKE_AUTH);
/// `sent_group`: of the KE payload, preferred as in [`select_ike`].
pub(crate) fn select_esp(
    ours: &[EspProposal],
    offered: &SaPayload,
    with_ke: bool,
    sent_group: Option<KeId>,
) -> Result<ChosenEsp, Mismatch> {
    let fitting = |wanted: &dyn Fn(&EspProposal) -> bool| {
        offered
            .proposals
            .iter()
            .find_map(|theirs| ours.iter().filter(|p| wanted(p)).find_map(|p| esp_fit(p, theirs, with_ke)))
    };
    fitting(&|p| p.group == sent_group)
        .or_else(|| fitting(&|_| true))
        .ok_or_else(|| esp_mismatch(ours, offered, with_ke))
}

/// Whether a responder's answer is a single choice: one proposal with one transform per type.
pub(crate) fn is_single_choice(answer: &SaPayload) -> bool {
    let [proposal] = &answer.proposals[..] else { return false };
    let mut types: Vec<_> = proposal.transforms.iter().map(|t| t.transform_type).collect();
    types.sort_unstable();
    types.windows(2).all(|pair| pair[0] != pair[1])
}

/// Whether the proposal offers this transform; a type it does not mention offers only `absent`.
fn offers(theirs: &Proposal, transform: &Transform, absent: Option<u16>) -> bool {
    let mut of_type = theirs.of_type(transform.transform_type).peekable();
    if of_type.peek().is_none() {
        return absent == Some(transform.id);
    }
    of_type.any(|t| t == transform)
}

/// A proposal with a transform type we do not know cannot be chosen (RFC 7296 section 3.3.6), unless that
/// type may be left out: NONE is number 0 in every such registry.
fn only_known_types(theirs: &Proposal) -> bool {
    theirs.transforms.iter().all(|t| {
        t.transform_type.name().is_some() || theirs.of_type(t.transform_type).any(|other| other.id == 0)
    })
}

fn ike_fits(ours: &IkeProposal, theirs: &Proposal) -> bool {
    theirs.protocol == ProtocolId::IKE
        && only_known_types(theirs)
        && offers(theirs, &encryption(ours.encryption, ours.key_bits), None)
        && offers(theirs, &Transform::integ(ours.integrity), Some(IntegId::NONE.0))
        && offers(theirs, &Transform::prf(ours.prf), None)
        && offers(theirs, &Transform::ke(ours.group), None)
}

fn ike_transforms(ours: &IkeProposal, theirs: &Proposal) -> Vec<Transform> {
    let mut kept = vec![encryption(ours.encryption, ours.key_bits), Transform::prf(ours.prf)];
    kept.extend(echo(theirs, Transform::integ(ours.integrity)));
    kept.push(Transform::ke(ours.group));
    kept
}

/// NONE is repeated only where the peer wrote it down.
fn echo(theirs: &Proposal, transform: Transform) -> Option<Transform> {
    theirs.of_type(transform.transform_type).find(|t| **t == transform).map(|_| transform)
}

fn esp_fit(ours: &EspProposal, theirs: &Proposal, with_ke: bool) -> Option<ChosenEsp> {
    let extended = Transform::esn(EsnId::ESN);
    let plain = Transform::esn(EsnId::NO_ESN);
    let esn = match (ours.esn && offers(theirs, &extended, None), offers(theirs, &plain, Some(0))) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => return None,
    };
    let group = Transform::ke(ours.group.unwrap_or(KeId::NONE));
    let fits = theirs.protocol == ProtocolId::ESP
        && theirs.spi.len() == 4
        && only_known_types(theirs)
        && offers(theirs, &encryption(ours.encryption, ours.key_bits), None)
        && offers(theirs, &Transform::integ(ours.integrity), Some(IntegId::NONE.0))
        && (!with_ke || offers(theirs, &group, Some(KeId::NONE.0)));
    if !fits {
        return None;
    }
    let mut kept = vec![encryption(ours.encryption, ours.key_bits)];
    kept.extend(echo(theirs, Transform::integ(ours.integrity)));
    kept.extend(echo(theirs, group).filter(|_| with_ke));
    kept.extend(echo(theirs, if esn { extended } else { plain }));
    let proposal = EspProposal { esn, ..*ours };
    Some(ChosenEsp { proposal, wire: Proposal { transforms: kept, ..theirs.clone() } })
}

/// One transform type of a comparison: its place in a diagnosis and what we accept.
struct Aspect {
    code: Code,
    parameter: &'static str,
    transform_type: TransformType,
    ours: Vec<Transform>,
    /// What a proposal that does not mention the type offers.
    absent: Option<u16>,
}

fn ike_mismatch(ours: &[IkeProposal], offered: &SaPayload) -> Mismatch {
    let aspect = |code, parameter, transform_type, absent, of: &dyn Fn(&IkeProposal) -> Transform| Aspect {
        code,
        parameter,
        transform_type,
        ours: ours.iter().map(of).collect(),
        absent,
    };
    let aspects = [
        aspect(Code::EncryptionAlgorithmMismatch, "ike.encryption", TransformType::ENCR, None, &|p| {
            encryption(p.encryption, p.key_bits)
        }),
        aspect(
            Code::AuthenticationAlgorithmMismatch,
            "ike.authentication (integrity)",
            TransformType::INTEG,
            Some(0),
            &|p| Transform::integ(p.integrity),
        ),
        aspect(
            Code::AuthenticationAlgorithmMismatch,
            "ike.authentication (prf)",
            TransformType::PRF,
            None,
            &|p| Transform::prf(p.prf),
        ),
        aspect(Code::DhGroupMismatch, "ike.dh-group", TransformType::KE, None, &|p| Transform::ke(p.group)),
    ];
    mismatch(&aspects, &ike_offer(ours, &[]), offered, "ike proposal")
}

fn esp_mismatch(ours: &[EspProposal], offered: &SaPayload, with_ke: bool) -> Mismatch {
    if let Some(ah) = offered.proposals.iter().find(|p| p.protocol != ProtocolId::ESP) {
        return Mismatch {
            code: Code::SecurityProtocolMismatch,
            parameter: "ipsec protocol",
            ours: ProtocolId::ESP.to_string(),
            theirs: ah.protocol.to_string(),
            offered: Vec::new(),
        };
    }
    let aspect = |code, parameter, transform_type, absent, of: &dyn Fn(&EspProposal) -> Transform| Aspect {
        code,
        parameter,
        transform_type,
        ours: ours.iter().map(of).collect(),
        absent,
    };
    let mut aspects = vec![
        aspect(Code::EncryptionAlgorithmMismatch, "ipsec.encryption", TransformType::ENCR, None, &|p| {
            encryption(p.encryption, p.key_bits)
        }),
        aspect(
            Code::AuthenticationAlgorithmMismatch,
            "ipsec.authentication",
            TransformType::INTEG,
            Some(0),
            &|p| Transform::integ(p.integrity),
        ),
        aspect(Code::EsnMismatch, "ipsec.esn", TransformType::ESN, Some(0), &|_| {
            Transform::esn(EsnId::NO_ESN)
        }),
    ];
    if with_ke {
        aspects.push(aspect(Code::PfsMismatch, "ipsec.pfs", TransformType::KE, Some(0), &|p| {
            Transform::ke(p.group.unwrap_or(KeId::NONE))
        }));
    }
    mismatch(&aspects, &esp_offer(ours, 0, with_ke), offered, "ipsec proposal")
}

fn mismatch(aspects: &[Aspect], ours: &SaPayload, offered: &SaPayload, whole: &'static str) -> Mismatch {
    let found = aspects
        .iter()
        .find(|a| !offered.proposals.iter().any(|theirs| a.ours.iter().any(|t| offers(theirs, t, a.absent))));
    match found {
        Some(a) => {
            let of_type = || offered.proposals.iter().flat_map(|p| p.of_type(a.transform_type));
            Mismatch {
                code: a.code,
                parameter: a.parameter,
                ours: list(a.ours.iter()),
                theirs: list(of_type()),
                offered: of_type().cloned().collect(),
            }
        }
        None => Mismatch {
            code: Code::ProposalMismatch,
            parameter: whole,
            ours: describe(ours),
            theirs: describe(offered),
            offered: Vec::new(),
        },
    }
}

/// The proposals as text: transforms joined by `/`, proposals by `, `.
pub(crate) fn describe(sa: &SaPayload) -> String {
    let one = |p: &Proposal| p.transforms.iter().map(ToString::to_string).collect::<Vec<_>>().join("/");
    sa.proposals.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn list<'a, T: Display + 'a>(items: impl Iterator<Item = &'a T>) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in items.map(ToString::to_string) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;

use super::*;
use crate::wire::iana::PrfId;

const IKE: IkeProposal = IkeProposal {
    encryption: EncrId::AES_CBC,
    key_bits: 128,
    integrity: IntegId::HMAC_SHA1_96,
    prf: PrfId::HMAC_SHA1,
    group: KeId::MODP_1024,
};
const ESP: EspProposal = EspProposal {
    encryption: EncrId::AES_CBC,
    key_bits: 128,
    integrity: IntegId::HMAC_SHA1_96,
    group: Some(KeId::MODP_1024),
    esn: false,
};
const GCM: EspProposal =
    EspProposal { encryption: EncrId::AES_GCM_16, integrity: IntegId::NONE, group: None, ..ESP };

fn esp_code(ours: EspProposal, theirs: &SaPayload, with_ke: bool) -> Code {
    select_esp(&[ours], theirs, with_ke, None).expect_err("no common proposal").code
}

#[test]
fn our_own_offer_fits_us() {
    let offered = ike_offer(&[IKE], &[]);
    let chosen = select_ike(&[IKE], &offered, IKE.group).unwrap();
    assert_eq!(chosen.proposal, IKE);
    assert!(is_single_choice(&chosen.answer(&[])));
    for (proposal, with_ke) in [(ESP, true), (ESP, false), (GCM, true), (GCM, false)] {
        let offered = esp_offer(&[proposal], 0x1234, with_ke);
        let chosen = select_esp(&[proposal], &offered, with_ke, proposal.group).unwrap();
        assert_eq!(chosen.proposal, proposal);
        assert_eq!(chosen.wire.esp_spi(), Some(0x1234));
        assert_eq!(chosen.answer(0x5678).proposals[0].transforms, offered.proposals[0].transforms);
    }
}

#[test]
fn a_proposal_of_many_transforms_is_reduced_to_one_of_each() {
    let mut offered = ike_offer(&[IKE], &[]);
    let transforms = &mut offered.proposals[0].transforms;
    transforms.insert(0, Transform::encr(EncrId::AES_CBC, Some(256)));
    transforms.push(Transform::ke(KeId::ECP_256));
    transforms.push(Transform::integ(IntegId::HMAC_MD5_96));
    assert!(!is_single_choice(&offered));
    let chosen = select_ike(&[IKE], &offered, KeId::ECP_256).unwrap();
    assert!(is_single_choice(&chosen.answer(&[])));
    assert_eq!(chosen.answer(&[]).proposals[0].number, 1);
}

#[test]
fn the_group_already_sent_wins_then_the_peers_order() {
    let other = IkeProposal { group: KeId::ECP_256, ..IKE };
    let offered = ike_offer(&[IKE, other], &[]);
    assert_eq!(select_ike(&[IKE, other], &offered, KeId::ECP_256).unwrap().proposal, other);
    assert_eq!(select_ike(&[other, IKE], &offered, KeId::ECP_521).unwrap().proposal, IKE);
}

#[test]
fn esn_is_chosen_when_both_allow_it_and_missing_means_none() {
    let ours = EspProposal { esn: true, ..ESP };
    let chosen = select_esp(&[ours], &esp_offer(&[ours], 300, true), true, None).unwrap();
    assert!(chosen.proposal.esn);
    let mut silent = esp_offer(&[ESP], 300, true);
    silent.proposals[0].transforms.retain(|t| t.transform_type != TransformType::ESN);
    let chosen = select_esp(&[ours], &silent, true, None).unwrap();
    assert!(!chosen.proposal.esn);
    let mut insisting = esp_offer(&[ours], 300, true);
    insisting.proposals[0].transforms.retain(|t| *t != Transform::esn(EsnId::NO_ESN));
    assert_eq!(esp_code(ESP, &insisting, true), Code::EsnMismatch);
}

#[test]
fn pfs_must_be_wanted_by_both_but_does_not_count_in_ike_auth() {
    let none = EspProposal { group: None, ..ESP };
    assert_eq!(esp_code(none, &esp_offer(&[ESP], 300, true), true), Code::PfsMismatch);
    assert_eq!(esp_code(ESP, &esp_offer(&[none], 300, true), true), Code::PfsMismatch);
    assert!(select_esp(&[none], &esp_offer(&[ESP], 300, true), false, None).is_ok());
}

#[test]
fn an_aead_takes_no_integrity_or_none_written_down() {
    let mut offered = esp_offer(&[GCM], 300, false);
    offered.proposals[0].transforms.push(Transform::integ(IntegId::NONE));
    let chosen = select_esp(&[GCM], &offered, false, None).unwrap();
    assert!(chosen.wire.transforms.contains(&Transform::integ(IntegId::NONE)));
    offered.proposals[0].transforms.pop();
    offered.proposals[0].transforms.push(Transform::integ(IntegId::HMAC_SHA1_96));
    assert_eq!(esp_code(GCM, &offered, false), Code::AuthenticationAlgorithmMismatch);
}

#[test]
fn unknown_transform_types_are_passed_over_only_where_they_may_be_left_out() {
    let extra = TransformType(6);
    let mut offered = ike_offer(&[IKE], &[]);
    offered.proposals[0].transforms.push(Transform::new(extra, 36));
    assert!(select_ike(&[IKE], &offered, IKE.group).is_err());
    offered.proposals[0].transforms.push(Transform::new(extra, 0));
    assert!(select_ike(&[IKE], &offered, IKE.group).is_ok());
}

#[test]
fn a_mismatch_names_the_type_and_both_values() {
    let theirs = ike_offer(&[IkeProposal { key_bits: 256, ..IKE }], &[]);
    let mismatch = select_ike(&[IKE], &theirs, IKE.group).unwrap_err();
    assert_eq!(mismatch.code, Code::EncryptionAlgorithmMismatch);
    assert_eq!((mismatch.ours.as_str(), mismatch.theirs.as_str()), ("ENCR_AES_CBC-128", "ENCR_AES_CBC-256"));
}

#[test]
fn types_that_fit_apart_but_not_together_are_named_whole() {
    let ours = [IkeProposal { key_bits: 256, ..IKE }, IkeProposal { group: KeId::ECP_256, ..IKE }];
    let mismatch = select_ike(&ours, &ike_offer(&[IKE], &[]), IKE.group).unwrap_err();
    assert_eq!((mismatch.code, mismatch.parameter), (Code::ProposalMismatch, "ike proposal"));
}

#[test]
fn ah_is_named() {
    let mut offered = esp_offer(&[ESP], 300, true);
    offered.proposals[0].protocol = ProtocolId::AH;
    assert_eq!(esp_code(ESP, &offered, true), Code::SecurityProtocolMismatch);
}

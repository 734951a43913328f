//! Valid inputs, from which fuzzing starts: one file each in `corpus/<target>/`.
//!
//! `cargo test -p sim --test corpus -- --ignored` writes them anew after a format has changed.

mod ike_seeds;
mod packet_seeds;
mod reassembly_seeds;
mod shm_seeds;

/// The example of the documentation.
const TWO_SITES: &[u8] = include_bytes!("../../../../docs/examples/two-sites.toml");

/// What the importer is tested with.
const BRANCH: &[u8] = include_bytes!("../../../../controlplane/gateway/src/import/site.conf");

/// An input: target, file name, bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them.
pub fn all() -> Vec<Seed> {
    let mut seeds = ike_seeds::all();
    seeds.extend(shm_seeds::all());
    seeds.extend(packet_seeds::all());
    seeds.extend(reassembly_seeds::all());
    seeds.push(named("ike_certificates", "chain", super::certificate_target::seed()));
    seeds.push(named("ike_revocations", "list", super::certificate_target::revocation_seed()));
    seeds.extend(
        super::session_target::seeds().into_iter().map(|(name, bytes)| named("ike_session", name, bytes)),
    );
    seeds.extend(super::peer_target::seeds().into_iter().map(|(name, bytes)| named("ike_peer", name, bytes)));
    let recordings = super::recording_target::seeds().into_iter();
    seeds.extend(recordings.map(|(name, bytes)| named("ike_recording", name, bytes)));
    seeds.push(named("gateway_document", "two-sites", TWO_SITES.to_vec()));
    seeds.push(named("gateway_import", "branch", BRANCH.to_vec()));
    seeds
}

fn named(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    (target, format!("seed-{name}"), bytes)
}

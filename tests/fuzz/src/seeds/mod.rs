//! Valid inputs, from which fuzzing starts: one file each in `corpus/<target>/`.
//!
//! `cargo test -p sim --test corpus -- --ignored` writes them anew after a format has changed.

mod ike_seeds;
mod packet_seeds;
mod shm_seeds;

/// An input: target, file name, bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them.
pub fn all() -> Vec<Seed> {
    let mut seeds = ike_seeds::all();
    seeds.extend(shm_seeds::all());
    seeds.extend(packet_seeds::all());
    seeds
}

fn named(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    (target, format!("seed-{name}"), bytes)
}

//! What scenarios have to say: a note on each one's line, and the table of sizes at the end.

use esplanade::lab::Tcp;

/// What a scenario measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The rest of its line.
    pub(crate) note: String,
    /// Its rows of the table of sizes.
    pub(crate) sizes: Vec<Sizes>,
}

impl From<String> for Report {
    fn from(note: String) -> Self {
        Self { note, sizes: Vec::new() }
    }
}

/// What one family gets across one path.
#[derive(Debug)]
pub(crate) struct Sizes {
    /// The smallest MTU on the way, bytes.
    pub(crate) path: u16,
    pub(crate) peer: &'static str,
    /// 4 or 6.
    pub(crate) version: u8,
    /// The largest IP packet with DF that comes back, bytes.
    pub(crate) largest: u16,
    /// To the peer and from it.
    pub(crate) tcp: [Tcp; 2],
}

/// Prints the table, if there is one.
pub(crate) fn print_sizes(rows: &[Sizes]) {
    if rows.is_empty() {
        return;
    }
    println!("\n{:>8}  {:<10}  {:<6}  {:>10}  {:>8}  {:>20}", "", "", "", "largest", "", "TCP, Mbit/s");
    println!(
        "{:>8}  {:<10}  {:<6}  {:>10}  {:>8}  {:>9}  {:>9}",
        "path MTU", "peer", "family", "DF packet", "overhead", "there", "back"
    );
    for Sizes { path, peer, version, largest, tcp: [there, back] } in rows {
        println!(
            "{path:>8}  {peer:<10}  IPv{version:<3}  {largest:>10}  {:>8}  {:>9.0}  {:>9.0}",
            path.saturating_sub(*largest),
            there.mbit_per_s,
            back.mbit_per_s,
        );
    }
    println!();
}

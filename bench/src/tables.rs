//! Scope `tables`: what SAs and routes take of memory, what looking one up and changing one costs, and, by
//! [`crate::churn`], what a worker at full rate notices of changes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use crypto::{KeyMemory, Preference, Suite};
use esplanade_dataplane::shared::Tables;
use packet::ids::SlotBits;
use packet::tables::{Change, NextHop, NextHopKind};
use packet::{NextHopId, Prefix, VrfId};
use serde::{Deserialize, Serialize};

use crate::churn;
use crate::gateway::{self, SaSpec, Side};
use crate::table;
use crate::traffic::float;

/// SAs of the figures.
pub(crate) const SAS: usize = 10_000;
/// Lookups that are timed together.
const LOOKUPS: usize = 1 << 14;
/// How often they are timed; the lowest tenth counts.
const RUNS: usize = 40;
/// Changes of one object each, of which the median counts.
const CHANGES: usize = 400;
/// Lengths of IPv4 prefixes, as a provider has them: most are /24.
const IPV4_LENGTHS: [u8; 8] = [16, 20, 22, 24, 24, 24, 28, 32];
/// Names the row that a process of its own is to measure.
const ROW: &str = "ESPLANADE_BENCH_TABLE";
const NEXT_HOP: NextHopId = NextHopId(1);

/// Routes of one family, spread over VRFs.
#[derive(Debug, Clone, Copy)]
struct Routes {
    ipv4: bool,
    routes: usize,
    vrfs: u16,
}

/// What is asked for, the same in one VRF, and what lies beyond.
const ROUTES: [Routes; 6] = [
    Routes { ipv4: true, routes: 100_000, vrfs: 1000 },
    Routes { ipv4: true, routes: 100_000, vrfs: 1 },
    Routes { ipv4: false, routes: 20_000, vrfs: 1000 },
    Routes { ipv4: false, routes: 20_000, vrfs: 1 },
    Routes { ipv4: true, routes: 1_000_000, vrfs: 1000 },
    Routes { ipv4: false, routes: 200_000, vrfs: 1000 },
];

/// What a table of one kind costs.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    /// `sas`, `ipv4-routes` or `ipv6-routes`.
    objects: String,
    count: usize,
    vrfs: u16,
    /// Seconds to put all of them in one transaction; of SAs with the expansion of their keys.
    build_s: f64,
    /// Memory of an object, without keys.
    bytes_each: f64,
    /// Arena bytes of the keys of an SA, both halves; 0 for routes.
    key_bytes_each: f64,
    /// Nanoseconds of a lookup, at random over all.
    lookup_ns: f64,
    /// Microseconds to change one in a transaction of its own, without publishing it.
    change_us: f64,
}

/// Measures and prints.
pub(crate) fn print(json: bool) -> Result<()> {
    if let Ok(row) = env::var(ROW) {
        println!("{}", serde_json::to_string(&measure_row(row.parse()?)?)?);
        return Ok(());
    }
    let figures = (0..=ROUTES.len()).map(in_a_process).collect::<Result<Vec<_>>>()?;
    let churn = churn::measure()?;
    if json {
        println!("{}", serde_json::json!({ "tables": figures, "changes": churn }));
    } else {
        println!("{}\n\n{}", table(&figures), churn::text(&churn));
    }
    Ok(())
}

/// Memory that one row has freed would be used again by the next: each has a process of its own.
fn in_a_process(row: usize) -> Result<Figures> {
    let output = Command::new(env::current_exe()?).arg("--tables").env(ROW, row.to_string()).output()?;
    ensure!(output.status.success(), "row {row}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure_row(row: usize) -> Result<Figures> {
    match row.checked_sub(1) {
        None => sas(),
        Some(row) => measure(*ROUTES.get(row).context("a row")?),
    }
}

fn sas() -> Result<Figures> {
    let engine = crypto::select(Preference::Auto)?;
    let arena = gateway::key_arena(SAS)?;
    let memory: KeyMemory = arena.clone();
    let suite = Suite::from_transforms(20, 128, 0).context("a suite")?;
    let spec = SaSpec { suite, count: SAS, workers: 1, engine: &*engine.backend, memory: &memory };
    let mut tables = gateway::without_sas(Side::Head, &spec)?;
    let (resident, started) = (Resident::now()?, Instant::now());
    for sa in 0..SAS {
        gateway::install(&mut tables, Side::Head, sa, &spec)?;
    }
    tables.commit();
    let build = started.elapsed();
    let (grown, keys) = (resident.grown()?, arena.used());
    // Where the arena has ordinary pages they are among those of the process.
    let bytes = if grown > keys { grown - keys } else { grown };

    let mut random = Random::default();
    let spis: Vec<u32> = (0..LOOKUPS)
        .map(|_| gateway::spi(Side::Head, random.below(SAS)).map(packet::Spi::value))
        .collect::<Result<_>>()?;
    let lookup_ns = time_lookups(|n| {
        let found = tables.sad().lookup_inbound(spis[n]);
        usize::from(matches!(found, packet::sad::SpiLookup::Sa(..)))
    });
    let change_us =
        time_changes(&mut tables, |tables| gateway::replace(tables, Side::Head, random.below(SAS), &spec))?;
    Ok(Figures {
        objects: "sas".to_owned(),
        count: SAS,
        vrfs: 1,
        build_s: build.as_secs_f64(),
        bytes_each: float(bytes) / float(SAS),
        key_bytes_each: float(keys) / float(SAS),
        lookup_ns,
        change_us,
    })
}

fn measure(routes: Routes) -> Result<Figures> {
    let mut random = Random::default();
    let mut tables = Tables::new(SlotBits::DEFAULT);
    tables.apply(Change::PutNextHop(NextHop { id: NEXT_HOP, kind: NextHopKind::Discard }))?;
    let mut prefixes = Vec::with_capacity(routes.routes);
    for n in 0..routes.routes {
        let vrf = VrfId(u16::try_from(n % usize::from(routes.vrfs))?);
        prefixes.push((vrf, random.prefix(routes.ipv4)?));
    }
    let (resident, started) = (Resident::now()?, Instant::now());
    for (vrf, prefix) in &prefixes {
        tables.apply(Change::PutRoute { vrf: *vrf, prefix: *prefix, next_hop: NEXT_HOP })?;
    }
    tables.commit();
    let build = started.elapsed();
    let bytes = resident.grown()?;

    let asked: Vec<(VrfId, IpAddr)> = (0..LOOKUPS)
        .map(|_| {
            let (vrf, prefix) = prefixes[random.below(prefixes.len())];
            (vrf, random.host_of(prefix))
        })
        .collect();
    let lookup_ns = time_lookups(|n| {
        let (vrf, address) = asked[n];
        usize::from(tables.vrf(vrf).and_then(|vrf| vrf.route(address)).is_some())
    });
    let change_us = time_changes(&mut tables, |tables| {
        let (vrf, _) = prefixes[random.below(prefixes.len())];
        let prefix = random.prefix(routes.ipv4)?;
        Ok(tables.apply(Change::PutRoute { vrf, prefix, next_hop: NEXT_HOP })?)
    })?;
    Ok(Figures {
        objects: (if routes.ipv4 { "ipv4-routes" } else { "ipv6-routes" }).to_owned(),
        count: routes.routes,
        vrfs: routes.vrfs,
        build_s: build.as_secs_f64(),
        bytes_each: float(bytes) / float(routes.routes),
        key_bytes_each: 0.0,
        lookup_ns,
        change_us,
    })
}

/// Nanoseconds of one of [`LOOKUPS`] lookups. Each waits for the one before, as a packet waits for its own.
fn time_lookups(lookup: impl Fn(usize) -> usize) -> f64 {
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut found = 0;
        for n in 0..LOOKUPS {
            // Everything is found: the next index depends on the answer, and is what it would be anyway.
            found += lookup(n + black_box(0) * found);
        }
        black_box(found);
        runs.push(started.elapsed().as_secs_f64() * 1e9 / float(LOOKUPS));
    }
    // Neighbours only ever add.
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 10]
}

/// Microseconds of one change, in a clone of the tables that then takes their place.
fn time_changes(tables: &mut Tables, mut change: impl FnMut(&mut Tables) -> Result<()>) -> Result<f64> {
    let mut runs = Vec::with_capacity(CHANGES);
    for _ in 0..CHANGES {
        let started = Instant::now();
        let mut next = tables.clone();
        change(&mut next)?;
        next.commit();
        *tables = next;
        runs.push(started.elapsed().as_secs_f64() * 1e6);
    }
    runs.sort_by(f64::total_cmp);
    Ok(runs[CHANGES / 2])
}

/// Memory of the process, for what is built from now on.
struct Resident(usize);

impl Resident {
    fn now() -> Result<Self> {
        Ok(Self(Self::bytes()?))
    }

    fn grown(&self) -> Result<usize> {
        Ok(Self::bytes()?.saturating_sub(self.0))
    }

    fn bytes() -> Result<usize> {
        let pages = fs::read_to_string("/proc/self/statm")?;
        let resident: usize = pages.split(' ').nth(1).context("statm")?.parse()?;
        Ok(resident * rustix::param::page_size())
    }
}

/// The same numbers in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let scaled = u128::from(self.next()) * (bound as u128);
        usize::try_from(scaled >> 64).unwrap_or(0)
    }

    /// Anywhere in IPv4, or a site or a subnet under 2001:db8::/32.
    fn prefix(&mut self, ipv4: bool) -> Result<Prefix> {
        let bits = self.next();
        if ipv4 {
            let address = u32::try_from(bits >> 32)?;
            let len = IPV4_LENGTHS[self.below(IPV4_LENGTHS.len())];
            return Ok(Prefix::containing(Ipv4Addr::from_bits(address).into(), len)?);
        }
        let address = 0x2001_0db8 << 96 | u128::from(bits) << 32;
        let len = if self.below(4) == 0 { 64 } else { 48 };
        Ok(Prefix::containing(Ipv6Addr::from_bits(address).into(), len)?)
    }

    fn host_of(&mut self, prefix: Prefix) -> IpAddr {
        let host = u128::from(self.next()) << 64 | u128::from(self.next());
        match (prefix.address(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let mask = u128::from(first.to_bits() ^ last.to_bits());
                Ipv4Addr::from_bits(first.to_bits() | u32::try_from(host & mask).unwrap_or(0)).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Addr::from_bits(first.to_bits() | host & (first.to_bits() ^ last.to_bits())).into()
            }
            (first, _) => first,
        }
    }
}

fn table(figures: &[Figures]) -> Table {
    let header =
        ["objects", "count", "VRFs", "build s", "bytes each", "keys, bytes", "lookup ns", "one change us"];
    let cells = |row: &Figures| {
        [
            row.objects.clone(),
            row.count.to_string(),
            row.vrfs.to_string(),
            format!("{:.2}", row.build_s),
            format!("{:.0}", row.bytes_each),
            format!("{:.0}", row.key_bytes_each),
            format!("{:.1}", row.lookup_ns),
            format!("{:.1}", row.change_us),
        ]
    };
    table::plain(header, figures.iter().map(cells), 1)
}

//! Carries out a plan and checks what must hold.

use ike::{Command, Start};
use std::time::Duration;

use crate::plan::Wish;
use crate::{Action, Invariant, Link, Plan, Tally, Temper, Tunnel, World};

/// Longer than any datagram is on its way.
const DRAINED: Duration = Duration::from_secs(4);
/// How soon leftovers of the last rekey are gone: a peer that does not delete what it replaced is given this.
const TIDY: Duration = Duration::from_secs(120);

/// The run of a seed.
///
/// # Panics
/// When an invariant breaks.
pub fn run(seed: u64, trace: bool) -> Tally {
    let plan = Plan::new(seed);
    if trace {
        eprintln!("{plan}");
    }
    let mut world = World::new(plan.topology.clone(), plan.link, seed);
    world.trace |= trace;
    world.traffic_pause = plan.traffic_pause;
    world.set_sequence_space(plan.sequence_space);
    if plan.temper != Temper::Rough {
        converge(&mut world, plan.bound);
    }
    world.start_traffic();
    let beginning = world.now;
    for (at, action) in &plan.actions {
        let pause = (beginning + *at).since(world.now);
        match plan.temper {
            Temper::Gentle | Temper::Lossy => world.run_undisturbed(pause),
            Temper::Rough => world.run_for(pause),
        }
        act(&mut world, *action);
        world.check_bounded();
    }
    match plan.temper {
        Temper::Gentle | Temper::Lossy => world.run_undisturbed(plan.calm),
        Temper::Rough => heal(&mut world, plan.bound),
    }
    world.link = Link::GOOD;
    converge(&mut world, plan.bound.max(TIDY));
    world.run_for(DRAINED);
    world.run_undisturbed(plan.calm);
    world.stop_traffic();
    converge(&mut world, TIDY);
    world.check_bounded();
    world.tally()
}

/// The network and all ends are well from now on, and every tunnel is wanted.
fn heal(world: &mut World, bound: Duration) {
    world.link = Link::GOOD;
    for side in world.sides() {
        world.cut_off(side, false);
    }
    for tunnel in world.tunnels().to_vec() {
        for at in [0, 1] {
            if world.gateway(tunnel.ends[at]).starts(tunnel.keys[at]) == Some(Start::Immediate) {
                world.command(tunnel.ends[at], Command::Initiate(tunnel.keys[at]));
            }
        }
    }
    let usable = |world: &World| world.tunnels().iter().all(|tunnel| world.is_usable(tunnel));
    let back = world.run_until(bound, usable);
    world.check(Invariant::BackInTime, back, |_| format!("a tunnel is not back after {bound:?}"));
}

fn converge(world: &mut World, limit: Duration) {
    let settled = world.run_until(limit, |world| world.is_small() && world.is_settled(1));
    world.check(Invariant::Converges, settled, |_| format!("not settled after {limit:?}"));
}

fn act(world: &mut World, action: Action) {
    match action {
        Action::Wish { tunnel, end, wish } => grant(world, tunnel, end, wish),
        Action::Restart(side) => world.restart(side),
        Action::RestartAmid(side, done) => world.restart_amid(side, done),
        Action::RestartWithoutJournal(side) => world.restart_without_journal(side),
        Action::PowerCut(side) => world.crash(side),
        Action::LoseDataPlane(side) => world.lose_data_plane(side),
        Action::Rebind(side) => world.rebind_nat(side),
        Action::CutOff(side) => world.cut_off(side, true),
        Action::Connect(side) => world.cut_off(side, false),
        Action::Link(link) => world.link = link,
    }
}

/// Does what is wanted to whatever SA there is, the newest if there are several.
fn grant(world: &mut World, tunnel: usize, end: usize, wish: Wish) {
    let Tunnel { ends, keys } = world.tunnels()[tunnel];
    let (side, key) = (ends[end], keys[end]);
    let newest = world.gateway(side).ike_sas_of(key).pop();
    let ike = newest.as_ref().map(|sa| sa.id);
    let child = newest.and_then(|sa| sa.children.last().map(|child| child.spi));
    let command = match wish {
        Wish::RekeyChild => child.map(Command::RekeyChild),
        Wish::RekeyIke => ike.map(Command::RekeyIke),
        Wish::SoftLimit => child.map(Command::SoftLimit),
        Wish::DeleteChild => child.map(Command::DeleteChild),
        Wish::DeleteIke => ike.map(Command::DeleteIke),
        Wish::Down => Some(Command::Down(key)),
        Wish::Reset => {
            world.command(side, Command::Down(key));
            Some(Command::Initiate(key))
        }
        Wish::Initiate => Some(Command::Initiate(key)),
        Wish::Retune => return world.reconfigure(side, key, |c| c.name.push('+')),
        Wish::Reconfigure => {
            return world
                .reconfigure(side, key, |c| c.child.replay_window = c.child.replay_window % 2048 + 64);
        }
    };
    if let Some(command) = command {
        world.command(side, command);
    }
}

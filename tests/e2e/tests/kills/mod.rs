//! `kill -9` in the middle of every command that maintains a repository: forget, prune, copy, key rotate,
//! key change, repair, and repair by parity. In a directory and in a real object store.
//!
//! After each kill every snapshot that is to be kept is there and verifies, the command run again
//! finishes, and the next backup works. `TENANTFS_CRASH_SEED` (default 1) chooses the moments,
//! `TENANTFS_CRASH_ROUNDS` how many kills of each command there are; 40 make 560 in all. In an object store each
//! takes a minute or more, for so long a lock outlives whoever held it: all commands are killed at the same time.

mod keys;
mod mend;
mod retain;
mod stage;
mod transfer;

use anyhow::{Context, Result, ensure};
use e2e::garage::Garage;
use e2e::kills::{Killer, dice, rounds};
use rand::rngs::StdRng;

use stage::{Place, Stage, Subject};

/// The commands under test.
fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::<retain::Forget>::default(),
        Box::<retain::Prune>::default(),
        Box::<transfer::Copy>::default(),
        Box::new(keys::Keys::rotating()),
        Box::new(keys::Keys::changing()),
        Box::new(mend::Repair::from_the_service()),
        Box::new(mend::Repair::by_parity()),
    ]
}

#[test]
fn in_a_directory() -> Result<()> {
    all(&Place::Directory, rounds(2))
}

#[test]
fn in_an_object_store() -> Result<()> {
    let Some(garage) = Garage::start(1)? else {
        return Ok(());
    };
    all(&Place::Bucket(garage.address(0)), rounds(1))
}

/// Kills each command so often, all of them at the same time.
fn all(place: &Place, rounds: u64) -> Result<()> {
    let results: Vec<Result<u64>> = std::thread::scope(|scope| {
        let start = |(kind, mut subject): (u64, Box<dyn Subject>)| {
            scope.spawn(move || {
                let name = subject.name();
                let kills = lane(place, subject.as_mut(), kind, rounds);
                let kills = kills.with_context(|| format!("{name}, {place:?}"));
                match &kills {
                    Ok(n) => eprintln!("{name}, {place:?}: {n} of {rounds} killed on their way"),
                    // Others may fail as well, and only one of them fails the test.
                    Err(e) => eprintln!("{e:?}"),
                }
                kills
            })
        };
        let lanes: Vec<_> = (100..).zip(subjects()).map(start).collect();
        let joined = lanes.into_iter().map(|lane| lane.join());
        joined
            .map(|joined| joined.unwrap_or_else(|_| anyhow::bail!("a lane panicked")))
            .collect()
    });
    let mut kills = 0;
    for result in results {
        kills += result?;
    }
    ensure!(kills > 0, "every command had ended before it was killed");
    Ok(())
}

/// Kills one command again and again. How often it was killed on its way.
fn lane(place: &Place, subject: &mut dyn Subject, kind: u64, rounds: u64) -> Result<u64> {
    let mut dice = dice(kind);
    let stage = Stage::new(place, subject)?;
    subject.begin(&stage)?;
    // Nobody kills the first.
    stage.go_on(subject, 0)?;
    subject.prepare(&stage, &mut dice)?;
    let (whole, report) = stage.run(subject)?;
    subject.finished(&stage, &report)?;
    let mut killer = Killer::new(&mut dice, whole);
    for round in 1..=rounds {
        let thorough = round % 3 == 0 || round == rounds;
        one(&stage, subject, &mut killer, &mut dice, (round, thorough))?;
    }
    // And the one after the last.
    stage.go_on(subject, rounds + 1)?;
    stage.verify(true)?;
    Ok(killer.kills)
}

/// A kill, and what comes after it. A thorough one reads every byte.
fn one(
    stage: &Stage,
    subject: &mut dyn Subject,
    killer: &mut Killer,
    dice: &mut StdRng,
    (round, thorough): (u64, bool),
) -> Result<()> {
    let latest = stage.go_on(subject, round)?;
    let before = thorough.then(|| stage.everything(&latest)).transpose()?;
    subject.prepare(stage, dice)?;
    let killed = killer.strike(subject.command(stage))?;
    let told = || format!("round {round}, killed: {killed}");
    subject.killed(stage, thorough).with_context(told)?;
    let (_, report) = stage.run(subject).with_context(told)?;
    subject.finished(stage, &report).with_context(told)?;
    if let Some(before) = before {
        ensure!(
            stage.everything(&latest)? == before,
            "{}: {latest} is not what it was",
            told()
        );
    }
    Ok(())
}

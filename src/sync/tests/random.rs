//! Random histories of a cloud, with faults and crashes in between: after a quiet cycle, the
//! snapshot is the cloud.

use std::collections::BTreeSet;

use super::Rig;
use super::cloud::Cloud;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a>(&mut self, all: &'a [String]) -> Option<&'a String> {
        (!all.is_empty()).then(|| &all[self.roll(all.len() as u64) as usize])
    }
}

const USER: &str = "u";

/// One thing that a person does.
fn step(cloud: &Cloud, dice: &mut Dice, next: &mut u32) {
    let (folders, items) = {
        let inner = cloud.inner.lock();
        let store = &inner.stores[USER];
        let folders: Vec<String> = store.folders.keys().cloned().collect();
        let items: Vec<String> = store.items.keys().cloned().collect();
        (folders, items)
    };
    *next += 1;
    let name = format!("name {}", dice.roll(6));
    match dice.roll(14) {
        0 | 1 => {
            let parent = dice
                .pick(&folders)
                .filter(|_| !next.is_multiple_of(3))
                .cloned();
            if free(cloud, parent.as_deref(), &name) {
                cloud.folder(USER, &format!("f{next:04}"), parent.as_deref(), &name);
            }
        }
        2..=5 => {
            if let Some(folder) = dice.pick(&folders) {
                cloud.item(USER, &format!("i{next:04}"), Some(folder), &name);
            }
        }
        6 => {
            if let (Some(item), Some(folder)) = (dice.pick(&items), dice.pick(&folders)) {
                cloud.change(USER, item, |item, _| item.folder = Some(folder.clone()));
            }
        }
        7 => dice
            .pick(&items)
            .into_iter()
            .for_each(|i| cloud.change(USER, i, |i, _| i.read = !i.read)),
        8 => dice
            .pick(&items)
            .into_iter()
            .for_each(|i| cloud.change(USER, i, |i, now| i.version = now)),
        9 => dice
            .pick(&items)
            .into_iter()
            .for_each(|i| cloud.delete(USER, i)),
        10 => dice
            .pick(&items)
            .into_iter()
            .for_each(|i| cloud.bounce(USER, i)),
        11 => {
            if let Some(folder) = dice.pick(&folders)
                && dice.roll(3) == 0
            {
                cloud.delete_folder(USER, folder);
            }
        }
        12 => {
            let parent = dice.pick(&folders).cloned();
            if let Some(folder) = dice.pick(&folders)
                && free(cloud, parent.as_deref(), &name)
            {
                cloud.move_folder(USER, folder, parent.as_deref(), &name);
            }
        }
        _ => {
            // Two folders change names.
            if let (Some(a), Some(b)) = (dice.pick(&folders), dice.pick(&folders)) {
                let get = |id: &str| cloud.inner.lock().stores[USER].folders[id].clone();
                let (fa, fb) = (get(a), get(b));
                if fa.parent == fb.parent && a != b {
                    cloud.move_folder(USER, a, fa.parent.as_deref(), &fb.name);
                    cloud.move_folder(USER, b, fb.parent.as_deref(), &fa.name);
                }
            }
        }
    }
}

fn free(cloud: &Cloud, parent: Option<&str>, name: &str) -> bool {
    let inner = cloud.inner.lock();
    let mut all = inner.stores[USER].folders.values();
    !all.any(|f| f.parent.as_deref() == parent && f.name == name)
}

/// `losses`: delta misses some of what happens, for good.
async fn history(seed: u64, drive: bool, losses: bool) {
    let cloud = Cloud::new(drive, &[(USER, "u@contoso.test")]);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut next = 0;
    for _ in 0..30 {
        step(&cloud, &mut dice, &mut next);
    }
    cloud.seed(seed);
    let mut rig = Rig::new(cloud.clone());
    for _ in 0..8 {
        // A cycle under bad conditions.
        {
            let faults = &mut cloud.inner.lock().faults;
            faults.transient = [0, 0, 5, 30][dice.roll(4) as usize];
            faults.stop_after = (dice.roll(2) == 0).then(|| dice.roll(40));
            faults.bad = BTreeSet::from([dice.roll(30), dice.roll(30)])
                .into_iter()
                .map(|n| (format!("i{n:04}"), crate::graph::ErrorClass::Corrupt))
                .collect();
        }
        tokio::select! {
            _ = rig.cycle() => {}
            () = cloud.stopped.notified() => {
                let keep = dice.roll(2) == 0;
                rig.reopen(keep);
            }
        }
        for _ in 0..dice.roll(8) {
            cloud.deaf(USER, losses && dice.roll(3) == 0);
            step(&cloud, &mut dice, &mut next);
        }
        if dice.roll(4) == 0 {
            cloud.expire_tokens(USER);
        }
        if dice.roll(3) == 0 {
            // And one under good ones.
            quiet(&rig, seed, losses).await;
        }
    }
    quiet(&rig, seed, losses).await;
}

async fn quiet(rig: &Rig, seed: u64, losses: bool) {
    {
        let faults = &mut rig.cloud.inner.lock().faults;
        faults.transient = 0;
        faults.stop_after = None;
        faults.bad.clear();
    }
    // What failed for good is due, and so is a sweep where delta can't be trusted.
    rig.advance(if losses { 8 } else { 2 } * 86_400);
    let mut outcome = rig.cycle().await.unwrap();
    // An enumeration that went on after a crash may tell of items in a folder that came since; the
    // next round tells of the folder. And what delta lost after its beginning is found by the sweep that
    // comes behind it.
    if losses || !outcome.report.notes.is_empty() {
        outcome = rig.cycle().await.unwrap();
    }
    if !outcome.report.notes.is_empty() {
        rig.advance(if losses { 8 } else { 0 } * 86_400);
        outcome = rig.cycle().await.unwrap();
    }
    assert!(
        !outcome.report.has_failures() && outcome.report.notes.is_empty(),
        "seed {seed}: {:?}",
        outcome.report
    );
    let expected = rig.cloud.expected(USER, |id| rig.key(id));
    if expected.is_empty() && rig.cx.repo.snapshots().unwrap().is_empty() {
        return;
    }
    let files = rig.files(&format!(
        "u@contoso.test/{}",
        crate::workload::Workload::folder(&rig.cloud)
    ));
    assert_eq!(files, expected, "seed {seed}");
}

/// `SEED=n` runs that one, `SEEDS=n` the first n.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse().ok());
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(12),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_survives_any_history() {
    for seed in seeds() {
        history(seed, false, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drive_survives_any_history() {
    for seed in seeds() {
        history(seed, true, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_delta_loses_sweeps_find() {
    for seed in seeds() {
        history(seed, false, true).await;
        history(seed, true, true).await;
    }
}

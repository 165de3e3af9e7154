//! The scrub: reads the whole repository once in so many days, one pack at a time.
//!
//! Each pack has a time at which it is due. One that was just read is due a period later; one that is seen
//! for the first time, some part of a period later that its name decides, so that packs spread over the
//! days by themselves. Those that are late come first, the latest at once. Once in a period everything
//! else is checked as well, under the name [`STRUCTURE`].
//!
//! When each was read is kept in the local state. Where that is lost, the scrub starts over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantfs::local::{LocalState, Table};
use tenantfs::repo::{DamagedFile, Repository};
use tokio::sync::oneshot;

/// Stands among the packs for all that is not in packs.
const STRUCTURE: &str = "structure";
/// Keys of the local state that are no packs begin so.
const ROUND: &[u8] = b"!round";
const DAMAGE: &str = "!damage/";
/// Damaged files of one check that are kept; the log has all.
const KEPT: usize = 8;
/// How long a check waits that could not be made, in seconds.
const AGAIN: i64 = 3600;

/// When a pack is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Turn {
    /// Unix seconds.
    due: i64,
    /// When it was read last, Unix seconds.
    read: Option<i64>,
}

/// Reading everything once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Round {
    started: i64,
    /// When the round before was done.
    finished: Option<i64>,
}

/// A damaged file that the scrub found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Name relative to the repository.
    pub file: String,
    /// What does not fit.
    pub reason: String,
    /// Unix seconds.
    pub found: i64,
}

/// What a check of one pack came to; an error says that it could not be made.
type Outcome = Result<Vec<DamagedFile>, String>;

/// A check that is going on.
pub struct Running {
    what: Arc<str>,
    outcome: oneshot::Receiver<Outcome>,
}

/// See the module.
pub struct Scrub {
    /// Seconds; `None`: it is off.
    every: Option<i64>,
    local: Option<LocalState>,
    turns: HashMap<Arc<str>, Turn>,
    order: BTreeSet<(i64, Arc<str>)>,
    round: Round,
    /// By the check that found it.
    damage: BTreeMap<String, Vec<Found>>,
}

impl Scrub {
    /// Goes on where the local state says. `now` is Unix seconds.
    pub fn new(every: Option<Duration>, local: Option<LocalState>, now: i64) -> Self {
        let mut scrub = Self {
            every: seconds(every),
            turns: HashMap::new(),
            order: BTreeSet::new(),
            round: Round {
                started: now,
                finished: None,
            },
            damage: local.as_ref().map(known_damage).unwrap_or_default(),
            local,
        };
        let Some(local) = &scrub.local else {
            return scrub;
        };
        if let Ok(Some(round)) = local.get_json(Table::Scrub, ROUND) {
            scrub.round = round;
        }
        for (key, value) in local.all(Table::Scrub).unwrap_or_default() {
            let turn = serde_json::from_slice::<Turn>(&value).ok();
            if let (Ok(name), Some(turn), false) =
                (String::from_utf8(key.clone()), turn, key.starts_with(b"!"))
            {
                let name: Arc<str> = name.into();
                scrub.order.insert((turn.due, name.clone()));
                scrub.turns.insert(name, turn);
            }
        }
        scrub
    }

    /// Takes up another period.
    pub fn set_every(&mut self, every: Option<Duration>, now: i64) {
        let every = seconds(every);
        if self.every == every {
            return;
        }
        self.every = every;
        for (name, turn) in std::mem::take(&mut self.turns) {
            self.plan(name, turn.read, now);
        }
    }

    /// Takes in which packs there are.
    pub fn meet(&mut self, packs: Vec<String>, now: i64) {
        let there: BTreeSet<String> = packs.into_iter().chain([STRUCTURE.to_owned()]).collect();
        let gone = self.turns.keys().filter(|name| !there.contains(&***name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.forget(&name);
        }
        for name in there {
            if !self.turns.contains_key(name.as_str()) {
                self.plan(name.into(), None, now);
            }
        }
    }

    fn forget(&mut self, name: &Arc<str>) {
        if let Some(turn) = self.turns.remove(name) {
            self.order.remove(&(turn.due, name.clone()));
        }
        self.damage.remove(&**name);
        self.write(|local| {
            local.remove(Table::Scrub, name.as_bytes())?;
            local.remove(Table::Scrub, format!("{DAMAGE}{name}").as_bytes())
        });
    }

    /// Gives a pack its next turn.
    fn plan(&mut self, name: Arc<str>, read: Option<i64>, now: i64) {
        let every = self.every.unwrap_or_default();
        let due = match read {
            Some(read) => read.saturating_add(every),
            None => now.saturating_add(spread(&name, every)),
        };
        self.set(name, Turn { due, read });
    }

    fn set(&mut self, name: Arc<str>, turn: Turn) {
        self.write(|local| local.put_json(Table::Scrub, name.as_bytes(), &turn));
        if let Some(old) = self.turns.insert(name.clone(), turn) {
            self.order.remove(&(old.due, name.clone()));
        }
        self.order.insert((turn.due, name));
    }

    fn write(&self, write: impl FnOnce(&LocalState) -> Result<(), tenantfs::local::LocalError>) {
        if let Some(local) = &self.local
            && let Err(error) = write(local)
        {
            tracing::warn!("what the scrub did is not kept: {error}");
        }
    }

    /// How long nothing is due; `None`: for ever.
    pub fn until_due(&self, now: i64) -> Option<Duration> {
        self.every?;
        let (due, _) = self.order.first()?;
        Some(Duration::from_secs(
            due.saturating_sub(now).max(0).unsigned_abs(),
        ))
    }

    /// Begins the check that is due longest, in a thread that may be left behind at any time.
    pub fn start(&self, repository: &Repository) -> Option<Running> {
        let (_, what) = self.order.first()?;
        let (sender, outcome) = oneshot::channel();
        let (name, repository) = (what.clone(), repository.clone());
        std::thread::spawn(move || {
            // Nobody waits for it when the daemon stops.
            let _ = sender.send(check(&repository, &name));
        });
        Some(Running {
            what: what.clone(),
            outcome,
        })
    }

    /// Takes in what a check came to.
    pub fn done(&mut self, (what, outcome): (Arc<str>, Outcome), now: i64) {
        let Some(turn) = self.turns.get(&what).copied() else {
            return; // It went meanwhile.
        };
        let damaged = match outcome {
            Ok(damaged) => damaged,
            Err(reason) => {
                tracing::warn!("the scrub could not check {what}: {reason}");
                let due = now.saturating_add(AGAIN);
                return self.set(what, Turn { due, ..turn });
            }
        };
        for found in &damaged {
            tracing::error!(
                file = found.file,
                "the scrub found damage: {}; `tenantfs repair --dry-run` names what it hits",
                found.reason
            );
        }
        let key = format!("{DAMAGE}{what}");
        let found: Vec<Found> = damaged
            .into_iter()
            .take(KEPT)
            .map(|damaged| Found {
                file: damaged.file,
                reason: damaged.reason.chars().take(200).collect(),
                found: now,
            })
            .collect();
        if found.is_empty() {
            self.damage.remove(&*what);
            self.write(|local| local.remove(Table::Scrub, key.as_bytes()));
        } else {
            self.write(|local| local.put_json(Table::Scrub, key.as_bytes(), &found));
            self.damage.insert(what.to_string(), found);
        }
        self.plan(what, Some(now), now);
        if self.left() == 0 {
            self.round = Round {
                started: now,
                finished: Some(now),
            };
            self.write(|local| local.put_json(Table::Scrub, ROUND, &self.round));
            tracing::info!("the scrub has read the whole repository");
        }
    }

    /// What this round has not read yet.
    fn left(&self) -> usize {
        let read = |turn: &&Turn| turn.read.is_some_and(|read| read >= self.round.started);
        self.turns.len() - self.turns.values().filter(read).count()
    }

    /// For `status`.
    pub fn status(&self, now: i64) -> Value {
        let Some(every) = self.every else {
            return Value::Null;
        };
        let oldest = self
            .turns
            .values()
            .map(|turn| turn.read.unwrap_or(i64::MIN));
        let oldest = oldest.min().filter(|read| *read > i64::MIN);
        json!({
            "every_seconds": every,
            "round_started": self.round.started,
            "last_round": self.round.finished,
            "packs": self.turns.len().saturating_sub(1),
            "left_in_round": self.left(),
            // Nothing here: some pack was never read.
            "oldest_read_seconds": oldest.map(|read| now - read),
            "late_seconds": self.order.first().map(|(due, _)| (now - due).max(0)),
            "damaged": self.damage.values().flatten().collect::<Vec<_>>(),
        })
    }
}

/// What a scrub found and nobody mended, by the check that found it.
pub fn known_damage(local: &LocalState) -> BTreeMap<String, Vec<Found>> {
    let all = local.all(Table::Scrub).unwrap_or_default().into_iter();
    all.filter_map(|(key, value)| {
        let what = std::str::from_utf8(&key).ok()?.strip_prefix(DAMAGE)?;
        Some((what.to_owned(), serde_json::from_slice(&value).ok()?))
    })
    .collect()
}

fn check(repository: &Repository, what: &str) -> Outcome {
    if what == STRUCTURE {
        let report = repository.verify(false, &|_, _| {});
        return report.map(|r| r.damaged).map_err(|e| e.to_string());
    }
    let check = repository.check_pack(what);
    check.map(|c| c.damaged).map_err(|e| e.to_string())
}

/// Waits for the running check; for ever when there is none.
pub async fn finished(running: &mut Option<Running>) -> (Arc<str>, Outcome) {
    match running {
        Some(check) => {
            let outcome = (&mut check.outcome).await;
            let what = check.what.clone();
            *running = None;
            (
                what,
                outcome.unwrap_or_else(|_| Err("it was aborted".into())),
            )
        }
        None => std::future::pending().await,
    }
}

fn seconds(every: Option<Duration>) -> Option<i64> {
    every.map(|every| i64::try_from(every.as_secs()).unwrap_or(i64::MAX))
}

/// A part of a period that a name decides. Packs' names are random, so these are uniform.
fn spread(name: &str, every: i64) -> i64 {
    let tail = name.get(name.len().saturating_sub(8)..);
    let part = tail.and_then(|tail| u32::from_str_radix(tail, 16).ok());
    (every as f64 * f64::from(part.unwrap_or_default()) / f64::from(u32::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn packs(count: u32) -> Vec<String> {
        let name = |n: u32| format!("data/{:02x}/{:032x}", n % 256, u128::from(n) * 0x9e37_79b9);
        (0..count).map(name).collect()
    }

    fn month() -> Option<Duration> {
        Some(Duration::from_secs(30 * DAY as u64))
    }

    /// Checks what is due until `end`, an hour at a time. Returns the number of checks of each day.
    fn run(scrub: &mut Scrub, from: i64, end: i64, damaged: &str) -> Vec<usize> {
        let mut days = Vec::new();
        for hour in 0..(end - from) / 3600 {
            let now = from + hour * 3600;
            while scrub.until_due(now) == Some(Duration::ZERO) {
                let what = scrub.order.first().unwrap().1.clone();
                let damage = DamagedFile {
                    file: what.to_string(),
                    reason: "bad".into(),
                };
                let found = (*what == *damaged).then_some(damage);
                scrub.done((what, Ok(found.into_iter().collect())), now);
                days.resize(days.len().max((hour / 24) as usize + 1), 0);
                *days.last_mut().unwrap() += 1;
            }
        }
        days
    }

    #[test]
    fn everything_is_read_in_a_period_spread_over_its_days() {
        let mut scrub = Scrub::new(month(), None, 0);
        scrub.meet(packs(300), 0);
        assert_eq!(scrub.status(0)["oldest_read_seconds"], Value::Null);
        let days = run(&mut scrub, 0, 31 * DAY, "");
        assert_eq!(days.iter().take(31).sum::<usize>(), 301 + days[30]);
        assert!(days.iter().all(|n| *n <= 40), "{days:?}");
        assert!(scrub.round.finished.is_some());
        let status = scrub.status(31 * DAY);
        assert!(status["oldest_read_seconds"].as_i64().unwrap() <= 30 * DAY);
        assert_eq!(status["late_seconds"], 0);
        // The second period is as even as the first.
        let days = run(&mut scrub, 31 * DAY, 61 * DAY, "");
        assert!(days.iter().all(|n| *n <= 40), "{days:?}");
    }

    #[test]
    fn damage_is_kept_over_restarts_until_the_pack_is_whole_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let all = packs(20);
        let bad = all[7].clone();
        let local = LocalState::open(dir.path()).unwrap();
        let mut scrub = Scrub::new(month(), Some(local), 0);
        scrub.meet(all.clone(), 0);
        run(&mut scrub, 0, 31 * DAY, &bad);
        assert_eq!(scrub.status(0)["damaged"][0]["file"], bad);
        let turns = scrub.turns.clone();
        drop(scrub);
        let local = LocalState::open(dir.path()).unwrap();
        assert_eq!(known_damage(&local)[&bad][0].reason, "bad");
        let mut scrub = Scrub::new(month(), Some(local), 31 * DAY);
        scrub.meet(all.clone(), 31 * DAY);
        assert_eq!(scrub.turns, turns);
        assert_eq!(scrub.status(0)["damaged"][0]["file"], bad);
        // It is whole when it is read next.
        run(&mut scrub, 31 * DAY, 62 * DAY, "");
        assert_eq!(scrub.status(0)["damaged"], json!([]));
        // Another one is damaged, and repaired: the index does not name it any more.
        run(&mut scrub, 62 * DAY, 93 * DAY, &all[3]);
        assert_eq!(scrub.status(0)["damaged"][0]["file"], all[3]);
        let left = all.iter().filter(|name| **name != all[3]);
        scrub.meet(left.cloned().collect(), 93 * DAY);
        assert_eq!(scrub.status(0)["damaged"], json!([]));
        assert!(known_damage(scrub.local.as_ref().unwrap()).is_empty());
    }

    #[test]
    fn what_cannot_be_checked_comes_again_and_off_is_off() {
        let mut scrub = Scrub::new(month(), None, 0);
        scrub.meet(packs(1), 0);
        let what = scrub.order.first().unwrap().1.clone();
        let late = 40 * DAY;
        scrub.done((what.clone(), Err("no answer".into())), late);
        assert_eq!(scrub.turns[&what].due, late + AGAIN);
        assert_eq!(scrub.turns[&what].read, None);
        scrub.set_every(None, late);
        assert_eq!(
            (scrub.until_due(late), scrub.status(late)),
            (None, Value::Null)
        );
        scrub.set_every(Some(Duration::from_secs(3600)), late);
        assert!(scrub.until_due(late).unwrap() <= Duration::from_secs(3600));
    }
}

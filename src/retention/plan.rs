//! What becomes of each snapshot: rules, names and holds taken together.
//!
//! Each account goes by the first of the policy's own rules for accounts that matches its name (as it is
//! in that snapshot), and by the general rules if none does. The rules of a group look at the snapshots in
//! which the group has an account, and at no others: what is left of a snapshot for a few accounts takes no
//! place among those of all. A snapshot that all its groups keep stays as it is; one that none keeps is
//! forgotten; else the accounts that theirs do not keep are taken out of it.
//!
//! Rules count periods back from the newest snapshot. So nothing goes by them while one is there that was made
//! with a clock far ahead: all that is captured later gets times just behind it, which are one period, and
//! all that is older is out of every other.
//!
//! What the next cycle goes on from stays as it is. Rules do not look at checkpoints, which cycles take up and
//! delete themselves.

use std::collections::{BTreeSet, HashSet};

use globset::GlobMatcher;

use super::policy::{Candidate, Reason, Rules, keep};
use super::{RetentionError, glob};
use crate::repo::{Hold, MAX_ADVANCE, Repository, Snapshot};
use crate::sync::merge::heads;
use crate::tree::state::{AccountState, Accounts};
use crate::tree::{MapRoot, Nodes, TreeError};

/// The general rules, and those of accounts with their own.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// For everybody else. Empty: everything is kept.
    pub general: Rules,
    /// A glob for accounts, and the rules for those that match it and none before.
    pub accounts: Vec<(String, Rules)>,
}

impl Policy {
    /// True when there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.general.is_empty() && self.accounts.is_empty()
    }

    /// True when a rule asks when snapshots were made.
    fn counts_periods(&self) -> bool {
        let own = self.accounts.iter().map(|(_, rules)| rules);
        own.chain([&self.general]).any(Rules::counts_periods)
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug)]
pub enum Choice {
    /// What these rules do not keep.
    Policy(Policy),
    /// The snapshots of these names.
    Names(BTreeSet<String>),
}

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// These accounts (Graph id and name) are taken out of it.
    Trim(Vec<(String, String)>),
    /// It goes.
    Forget,
}

/// A snapshot, what becomes of it, and why it (or what is left of it) stays.
#[derive(Clone, Debug)]
pub struct Line {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What becomes of it.
    pub action: Action,
    /// Why it stays, sorted; empty when it goes.
    pub reasons: Vec<Reason>,
    /// It was named, and stays all the same.
    pub refused: bool,
}

/// The rules of a group, or what stands for a hold.
struct Groups {
    /// The last is that of the general rules.
    rules: Vec<(Option<GlobMatcher>, Rules)>,
}

impl Groups {
    fn new(policy: &Policy) -> Result<Self, RetentionError> {
        let mut rules = Vec::new();
        for (pattern, own) in &policy.accounts {
            rules.push((Some(glob(pattern)?), own.clone()));
        }
        rules.push((None, policy.general.clone()));
        Ok(Groups { rules })
    }

    fn of(&self, account: &str) -> usize {
        let matches = |(glob, _): &(Option<GlobMatcher>, Rules)| {
            glob.as_ref().is_none_or(|glob| glob.is_match(account))
        };
        let last = self.rules.len() - 1;
        self.rules.iter().position(matches).unwrap_or(last)
    }
}

/// A hold that can be asked about accounts.
struct Cover<'a> {
    hold: &'a Hold,
    globs: Vec<GlobMatcher>,
}

/// Decides about all snapshots, the oldest first. Reads no state unless rules or holds ask for accounts.
///
/// # Errors
/// [`RetentionError::Ahead`]: by rules that count periods nothing can be decided as of `now` (seconds since
/// 1970).
pub fn plan(
    repo: &Repository,
    nodes: &Nodes,
    choice: &Choice,
    now: i64,
) -> Result<Vec<Line>, RetentionError> {
    let snapshots = repo.all_snapshots()?;
    let holds = repo.holds()?;
    let mut covers = Vec::new();
    for hold in &holds {
        let globs = hold.accounts.iter().map(|pattern| glob(pattern));
        let globs = globs.collect::<Result<_, _>>()?;
        covers.push(Cover { hold, globs });
    }
    let plan = Plan {
        nodes,
        snapshots,
        covers,
    };
    match choice {
        Choice::Policy(policy) => {
            if policy.counts_periods() {
                plan.none_is_ahead(now)?;
            }
            plan.by_policy(policy)
        }
        Choice::Names(names) => plan.by_name(names),
    }
}

struct Plan<'a> {
    nodes: &'a Nodes,
    snapshots: Vec<Snapshot>,
    covers: Vec<Cover<'a>>,
}

impl Plan<'_> {
    /// Names of the snapshots that the next cycle goes on from: the newest one, and others that were made
    /// at the same time and that none has put together yet.
    fn newest(&self) -> HashSet<String> {
        let heads = heads(&self.snapshots).into_iter();
        heads.map(|snapshot| snapshot.name).collect()
    }

    /// Fails when a complete snapshot is further ahead of `now` than commits make one to be unique.
    fn none_is_ahead(&self, now: i64) -> Result<(), RetentionError> {
        let latest = now.saturating_add(MAX_ADVANCE);
        let mut ahead = self.snapshots.iter().filter(|snapshot| {
            let manifest = &snapshot.manifest;
            manifest.complete && manifest.time > latest
        });
        match ahead.next() {
            None => Ok(()),
            Some(first) => Err(RetentionError::Ahead {
                name: first.name.clone(),
                host: first.manifest.host.clone(),
            }),
        }
    }

    fn by_name(self, names: &BTreeSet<String>) -> Result<Vec<Line>, RetentionError> {
        let known = |name: &&String| !self.snapshots.iter().any(|s| s.name == **name);
        if let Some(unknown) = names.iter().find(known) {
            return Err(RetentionError::NoSnapshot(unknown.clone()));
        }
        let newest = self.newest();
        let decide = |snapshot: &Snapshot| {
            if !names.contains(&snapshot.name) {
                return Ok(self.kept(snapshot, Vec::new()));
            }
            let line = match newest.contains(&snapshot.name) {
                true => self.kept(snapshot, vec![Reason::Newest]),
                false => self.decide(snapshot, false, |_| Vec::new())?,
            };
            let refused = line.action != Action::Forget;
            Ok(Line { refused, ..line })
        };
        self.snapshots.iter().map(decide).collect()
    }

    fn by_policy(self, policy: &Policy) -> Result<Vec<Line>, RetentionError> {
        let groups = Groups::new(policy)?;
        let reasons = self.reasons(&groups)?;
        let newest = self.newest();
        let mut lines = Vec::new();
        for (snapshot, by_group) in self.snapshots.iter().zip(&reasons) {
            let line = if !snapshot.manifest.complete {
                self.kept(snapshot, Vec::new())
            } else if newest.contains(&snapshot.name) {
                let mut all: Vec<_> = by_group.iter().flatten().flatten().cloned().collect();
                all.push(Reason::Newest);
                self.kept(snapshot, all)
            } else {
                let alike = |some: &Vec<Reason>| some.is_empty();
                let mut present = by_group.iter().flatten();
                let first = present.next().map(alike);
                if first == Some(false) && present.all(|some| !some.is_empty()) {
                    let all = by_group.iter().flatten().flatten().cloned().collect();
                    self.kept(snapshot, all)
                } else {
                    let any = by_group.iter().flatten().any(|some| !some.is_empty());
                    let of = |account: &str| {
                        let of_group = by_group[groups.of(account)].as_ref();
                        of_group.cloned().unwrap_or_default()
                    };
                    self.decide(snapshot, any, of)?
                }
            };
            lines.push(line);
        }
        Ok(lines)
    }

    /// For each snapshot and group why its rules keep it; `None`: the group has nobody there.
    fn reasons(&self, groups: &Groups) -> Result<Vec<Vec<Option<Vec<Reason>>>>, RetentionError> {
        let present = self.present(groups)?;
        let mut reasons = vec![vec![None; groups.rules.len()]; self.snapshots.len()];
        for (group, (_, rules)) in groups.rules.iter().enumerate() {
            let there = |at: &usize| self.snapshots[*at].manifest.complete && present[*at][group];
            let chosen: Vec<usize> = (0..self.snapshots.len()).filter(there).collect();
            let candidates: Vec<_> = chosen
                .iter()
                .map(|at| &self.snapshots[*at].manifest)
                .map(|manifest| Candidate {
                    time: manifest.time,
                    tags: &manifest.tags,
                })
                .collect();
            let kept = match rules.is_empty() {
                true => vec![vec![Reason::NoRule]; candidates.len()],
                false => keep(&candidates, rules),
            };
            for (at, why) in chosen.into_iter().zip(kept) {
                reasons[at][group] = Some(why);
            }
        }
        Ok(reasons)
    }

    /// For each snapshot which groups have an account in it. A snapshot without accounts goes by the
    /// general rules.
    fn present(&self, groups: &Groups) -> Result<Vec<Vec<bool>>, RetentionError> {
        let general = groups.rules.len() - 1;
        let mut all = Vec::with_capacity(self.snapshots.len());
        let mut counts = vec![0i64; groups.rules.len()];
        let mut before: MapRoot = None;
        for snapshot in &self.snapshots {
            if general > 0 && snapshot.manifest.complete {
                // What differs from the one before: most accounts are in all of them.
                let state = snapshot.manifest.state;
                let known = Accounts::new(self.nodes, before);
                for difference in known.diff(&Accounts::new(self.nodes, state))? {
                    let (_, old, new) = difference?;
                    for (account, sign) in [(old, -1), (new, 1)] {
                        if let Some(account) = account {
                            counts[groups.of(&account.upn)] += sign;
                        }
                    }
                }
                before = state;
            }
            let mut present: Vec<bool> = counts.iter().map(|count| *count > 0).collect();
            if !present.contains(&true) {
                present[general] = true;
            }
            all.push(present);
        }
        Ok(all)
    }

    fn kept(&self, snapshot: &Snapshot, mut reasons: Vec<Reason>) -> Line {
        let holds = self.covering(snapshot);
        reasons.extend(holds.map(|cover| Reason::Hold(cover.hold.name.clone())));
        reasons.sort_unstable();
        reasons.dedup();
        Line {
            snapshot: snapshot.clone(),
            action: Action::Keep,
            reasons,
            refused: false,
        }
    }

    /// The holds that cover all of a snapshot or some of it.
    fn covering(&self, snapshot: &Snapshot) -> impl Iterator<Item = &Cover<'_>> {
        let time = snapshot.manifest.time;
        let covers = self.covers.iter();
        covers.filter(move |cover| cover.hold.covers(&snapshot.name, time))
    }

    /// Decides account by account; `of` says why the rules keep one, `any` whether they may keep one at
    /// all.
    fn decide(
        &self,
        snapshot: &Snapshot,
        any: bool,
        of: impl Fn(&str) -> Vec<Reason>,
    ) -> Result<Line, RetentionError> {
        let whole = |cover: &&Cover<'_>| cover.globs.is_empty();
        if self.covering(snapshot).any(|cover| whole(&cover)) {
            return Ok(self.kept(snapshot, Vec::new()));
        }
        let covering: Vec<_> = self.covering(snapshot).collect();
        let manifest = &snapshot.manifest;
        // It was imported, and nothing says whose it is: the hold may be about anybody in it.
        if !covering.is_empty() && manifest.state.is_none() && manifest.tree.is_some() {
            return Ok(self.kept(snapshot, Vec::new()));
        }
        if !any && covering.is_empty() {
            return Ok(Line {
                snapshot: snapshot.clone(),
                action: Action::Forget,
                reasons: Vec::new(),
                refused: false,
            });
        }
        let mut reasons = BTreeSet::new();
        let (mut goes, mut stays) = (Vec::new(), 0);
        for account in accounts(self.nodes, snapshot.manifest.state)? {
            let (id, account) = account?;
            let mut why = of(&account.upn);
            let held = covering
                .iter()
                .filter(|cover| cover.globs.iter().any(|glob| glob.is_match(&account.upn)));
            why.extend(held.map(|cover| Reason::Hold(cover.hold.name.clone())));
            if why.is_empty() {
                goes.push((id, account.upn));
            } else {
                stays += 1;
                reasons.extend(why);
            }
        }
        let action = match (stays, goes.is_empty()) {
            (0, _) => Action::Forget,
            (_, true) => Action::Keep,
            (_, false) => Action::Trim(goes),
        };
        Ok(Line {
            snapshot: snapshot.clone(),
            action,
            reasons: reasons.into_iter().collect(),
            refused: false,
        })
    }
}

/// All accounts of a state.
pub(super) fn accounts(
    nodes: &Nodes,
    state: MapRoot,
) -> Result<impl Iterator<Item = Result<(String, AccountState), TreeError>> + use<>, TreeError> {
    Accounts::new(nodes, state).iter()
}

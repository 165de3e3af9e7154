//! Makes an item in a mailbox exactly once: the order of requests that mails, events, contacts and
//! tasks share. A workload says how each step is done; when it is done is decided here.
//!
//! Invariants:
//! - A marker is part of the creating request, so it tells for ever which push made an item. Before
//!   anything is created again, the target is asked for it.
//! - Of two equal items that are pushed at the same time, the second one finds the first.
//! - What was replaced is deleted only when the new item is complete. Which item that is is decided once, before
//!   anything is created, and written down: looked for again when it is gone, another one that is the same would
//!   be taken for it.
//! - What a listing of a moment ago has nothing like is not looked for ([`Known`]).
//! - An item that can't be completed for good is removed again: half of it is not what anyone asked for.

mod there;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::known::{Fact, Known};
use super::ongoing::Ongoing;
use super::{Account, Journal, Keyer, LiveEntry, Marker, Policy, Push, PushError, Pushed};
use crate::graph::{Call, Client, ErrorClass, GraphError};
pub(super) use there::{Origin, carrying, original};
use there::{existing, facts_of_push, foreign, id_in};

/// Attempts at a creation whose answer got lost.
pub(super) const ATTEMPTS: u32 = 4;

/// What a push is made of before anything is sent.
pub(super) trait Composed: Send + Sync {
    fn marker(&self) -> &Marker;
    /// The item as a listing would tell it, as far as [`Once::same`] looks.
    fn item(&self) -> &Value;
    /// What can't be restored by creating the item from its JSON.
    fn notes(&self) -> &[String];
}

/// An item that a push made.
pub(super) struct Made {
    pub item: Value,
    /// It came whole, in one step: nothing is to be added to it.
    pub whole: bool,
    /// What went another way than asked for.
    pub note: Option<String>,
}

impl Made {
    /// An item that was created from its JSON and may lack what is added to it later.
    pub fn from_json(item: Value) -> Self {
        Self {
            item,
            whole: false,
            note: None,
        }
    }
}

/// How a workload does the steps. A target is the id of the folder, calendar or list.
#[async_trait]
pub(super) trait Once: Sync {
    type Composed: Composed;
    /// The request that creates, for messages.
    const CREATE: &'static str;

    fn client(&self) -> &Client;
    fn keyer(&self) -> &Keyer;
    fn ongoing(&self) -> &Ongoing;
    fn known(&self) -> &Known;

    /// Reads the file of a push.
    async fn compose(&self, account: &Account, push: &Push) -> Result<Self::Composed, PushError>;

    /// Where the item belongs; `None`: no such place.
    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError>;

    /// The item that carries the marker of this push.
    async fn by_marker(
        &self,
        account: &Account,
        target: &str,
        push: &Push,
        composed: &Self::Composed,
    ) -> Result<Option<Made>, GraphError>;

    /// What is in the target and may be the same as the item to be pushed, `origin` told apart.
    async fn candidates(
        &self,
        account: &Account,
        target: &str,
        push: &Push,
        composed: &Self::Composed,
        origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError>;

    /// Is a live item the same as the one to be pushed?
    fn same(&self, live: &Value, composed: &Self::Composed) -> bool;

    /// What [`Once::same`] looks at, or a part of it: equal for what is the same. `None`: like nothing.
    fn like(&self, item: &Value) -> Option<Fact>;

    /// What a live item is known by.
    fn facts(&self, live: &Value) -> Vec<Fact> {
        Fact::all_of(self.keyer(), live, self.like(live))
    }

    /// Refuses to replace what can't be removed without harm.
    async fn check_removable(&self, _account: &Account, _id: &str) -> Result<(), PushError> {
        Ok(())
    }

    /// The request that creates the item.
    fn creation(&self, account: &Account, target: &str, composed: &Self::Composed) -> Call;

    /// Creates the item.
    async fn create(
        &self,
        account: &Account,
        target: &str,
        push: &Push,
        composed: &Self::Composed,
    ) -> Result<Made, PushError> {
        Ok(create(self, account, target, push, composed).await?)
    }

    /// Adds what the creating request could not carry. May be repeated. What is refused but spoils
    /// nothing comes back as notes.
    async fn complete(
        &self,
        account: &Account,
        target: &str,
        id: &str,
        composed: &Self::Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError>;

    /// Is everything there that [`Once::complete`] adds?
    async fn is_complete(
        &self,
        account: &Account,
        target: &str,
        id: &str,
        composed: &Self::Composed,
    ) -> Result<bool, PushError>;

    /// The request that deletes an item.
    fn deletion(&self, account: &Account, target: &str, id: &str) -> Call;

    /// The item as the mount names it. An answer to a creation does not show the marker, which the
    /// name depends on.
    fn entry(&self, target: &str, item: Value, marker: &Marker) -> Option<LiveEntry>;
}

/// How far a push is. Written down before anything is created if that may replace something.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Id of the created item.
    made: Option<String>,
    /// Id of the item to be removed when the new one is complete.
    replaces: Option<String>,
}

impl Progress {
    fn load(journal: &dyn Journal) -> Option<Self> {
        serde_json::from_str(&journal.load()?).ok()
    }

    fn save(&self, journal: &dyn Journal) -> Result<(), PushError> {
        let text = serde_json::to_string(self).unwrap_or_default();
        Ok(journal.save(&text)?)
    }
}

/// Puts an item there, and returns when all of it is.
///
/// # Errors
/// See [`PushError`]; the same push may be repeated.
pub(super) async fn push<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    push: &Push,
    journal: &dyn Journal,
) -> Result<Pushed, PushError> {
    let composed = workload.compose(account, push).await?;
    let target = workload.target(account, push).await?;
    let target = target.ok_or_else(|| PushError::NoFolder {
        path: push.folder.join("/"),
    })?;
    let same = |other: &Value| workload.same(other, &composed);
    let _turn = workload
        .ongoing()
        .turn(&target, push, composed.item(), same)
        .await;
    let before = made_before(workload, account, &target, push, &composed, journal).await?;
    let (made, mut progress) = match before {
        Some(before) => before,
        None => make(workload, account, &target, push, &composed, journal).await?,
    };
    let id = id_of::<W>(&made.item)?;
    progress.made = Some(id.clone());
    progress.save(journal)?;
    let mut notes = Vec::new();
    if !made.whole {
        let completed = workload.complete(account, &target, &id, &composed, journal);
        let added = match completed.await {
            Err(PushError::Graph(e)) if !e.class.is_temporary() => {
                delete(workload, account, &target, &id).await?;
                return Err(e.into());
            }
            other => other?,
        };
        notes.extend_from_slice(composed.notes());
        notes.extend(added);
    }
    notes.extend(made.note);
    if let Some(old) = &progress.replaces {
        replace(workload, account, &target, old).await?;
    }
    pushed(
        workload,
        account,
        &target,
        made.item,
        &composed,
        progress.replaces,
        notes,
    )
}

/// What an earlier attempt made. Half of it may be there also when nothing was saved: the request that makes an
/// item may be the last thing a process did.
async fn made_before<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    push: &Push,
    composed: &W::Composed,
    journal: &dyn Journal,
) -> Result<Option<(Made, Progress)>, PushError> {
    if !journal.repeated() {
        return Ok(None);
    }
    let made = workload.by_marker(account, target, push, composed).await?;
    let Some(made) = made else {
        return Ok(None);
    };
    let decided = Progress::load(journal);
    let left = match push.policy {
        Policy::Overwrite => foreign(workload, account, target, push, composed).await?,
        _ => Vec::new(),
    };
    // What was removed already is perhaps kept elsewhere by the same id. And where nobody knows any more what was
    // decided, what is the same by its looks alone may be another by now.
    let origin = Origin::of(workload.keyer(), push);
    let is_left = |live: &&Value| match &decided {
        Some(decided) => decided.replaces.is_some() && decided.replaces == id_in(live),
        None => origin.is_original(live),
    };
    let progress = Progress {
        made: None,
        replaces: left.iter().find(is_left).and_then(id_in),
    };
    Ok(Some((made, progress)))
}

/// Makes the item, when it is decided what it replaces.
async fn make<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    push: &Push,
    composed: &W::Composed,
    journal: &dyn Journal,
) -> Result<(Made, Progress), PushError> {
    let mut progress = Progress::default();
    if push.policy != Policy::KeepBoth
        && let Some(old) = existing(workload, account, target, push, composed).await?
    {
        if push.policy == Policy::Skip {
            return Err(PushError::Exists {
                name: push.name.clone(),
            });
        }
        workload.check_removable(account, &old).await?;
        progress.replaces = Some(old);
    }
    if push.policy == Policy::Overwrite {
        progress.save(journal)?;
    }
    // Before it is there: the answer may get lost.
    let facts = facts_of_push(workload, push, composed);
    workload.known().add(account, target, facts);
    let made = workload.create(account, target, push, composed).await?;
    Ok((made, progress))
}

/// Did this push arrive, completely? Of an overwrite that is not known here: what it replaces is in its journal,
/// so that [`push`] finds its item, and finishes.
///
/// # Errors
/// When it can't be known now.
pub(super) async fn find_pushed<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    push: &Push,
) -> Result<Option<Pushed>, PushError> {
    if push.policy == Policy::Overwrite {
        return Ok(None);
    }
    let composed = workload.compose(account, push).await?;
    // What is in no folder did not arrive.
    let Some(target) = workload.target(account, push).await? else {
        return Ok(None);
    };
    let made = workload
        .by_marker(account, &target, push, &composed)
        .await?;
    let Some(made) = made else {
        return Ok(None);
    };
    let id = id_of::<W>(&made.item)?;
    if !made.whole
        && !workload
            .is_complete(account, &target, &id, &composed)
            .await?
    {
        return Ok(None);
    }
    let notes = match made.whole {
        true => Vec::new(),
        false => composed.notes().to_vec(),
    };
    pushed(
        workload, account, &target, made.item, &composed, None, notes,
    )
    .map(Some)
}

/// The item that a push would meet. One that may not be replaced is refused as the push would be.
///
/// # Errors
/// What the push would be refused for before anything is sent.
pub(super) async fn plan<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    push: &Push,
) -> Result<Option<String>, PushError> {
    let composed = workload.compose(account, push).await?;
    let Some(target) = workload.target(account, push).await? else {
        return Ok(None);
    };
    let there = existing(workload, account, &target, push, &composed).await?;
    if let (Some(there), Policy::Overwrite) = (&there, push.policy) {
        workload.check_removable(account, there).await?;
    }
    Ok(there)
}

/// Creates an item from its JSON. When an answer is lost, the marker tells whether it was created.
pub(super) async fn create<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    push: &Push,
    composed: &W::Composed,
) -> Result<Made, GraphError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let call = workload.creation(account, target, composed);
        let error = match workload.client().json(&call).await {
            Ok(item) => return Ok(Made::from_json(item)),
            Err(e) => e,
        };
        if !error.class.is_temporary() {
            return Err(error);
        }
        if let Some(made) = workload.by_marker(account, target, push, composed).await? {
            return Ok(made);
        }
        if attempt >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(workload.client().patience().backoff(attempt)).await;
    }
}

/// Removes what was replaced; somebody may have changed it meanwhile.
async fn replace<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    old: &str,
) -> Result<(), PushError> {
    workload.check_removable(account, old).await?;
    Ok(delete(workload, account, target, old).await?)
}

/// Deletes an item. One that is gone already is what was wanted.
async fn delete<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    id: &str,
) -> Result<(), GraphError> {
    let call = workload.deletion(account, target, id);
    match workload.client().send(&call).await {
        Err(e) if e.class != ErrorClass::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn pushed<W: Once + ?Sized>(
    workload: &W,
    account: &Account,
    target: &str,
    item: Value,
    composed: &W::Composed,
    replaced: Option<String>,
    notes: Vec<String>,
) -> Result<Pushed, PushError> {
    let entry = workload.entry(target, item, composed.marker());
    let entry = entry.ok_or_else(no_id::<W>)?;
    let facts = workload.facts(&entry.record);
    workload.known().add(account, target, facts);
    Ok(Pushed {
        entry,
        replaced,
        notes,
    })
}

fn id_of<W: Once + ?Sized>(item: &Value) -> Result<String, PushError> {
    id_in(item).ok_or_else(no_id::<W>)
}

fn no_id<W: Once + ?Sized>() -> PushError {
    GraphError::local(
        ErrorClass::Transient,
        format!("POST {}", W::CREATE),
        "the new item has no id",
    )
    .into()
}

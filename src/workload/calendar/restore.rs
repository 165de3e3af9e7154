//! Puts an event into a calendar: created with its rule, then its attachments, its cancelled and its
//! changed occurrences.
//!
//! Invariants: nobody is mailed (the created event has no attendees, so nothing that is done to it
//! notifies anyone; a meeting whose removal would mail its attendees is not removed); exactly once, by
//! a marker and a transaction id that are part of the creating request: before anything is created
//! again, the calendar is asked for it; an old event is deleted only when the new one is complete.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Calendar;
use super::compose::{self, Composed};
use super::event::{EVENT, EVENTS_OF, LIVE_SELECT, like, same_event};
use crate::graph::{Call, ErrorClass, GraphError, odata_quote};
use crate::workload::attachments::{Holder, OF_EVENTS};
use crate::workload::known::Fact;
use crate::workload::{
    Account, ItemKey, Journal, Marker, Policy, Push, PushError, Pushed, Source, expand_marker,
};

/// Attempts at a creation whose answer got lost.
const ATTEMPTS: u32 = 4;
/// Events of one calendar that may share a subject.
const MAX_TWINS: usize = 5_000;
/// Characters of a subject that are looked for: a request line has its limits.
const MAX_SUBJECT: usize = 200;

/// How far a push is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Id of the created event.
    event: Option<String>,
    /// Id of the event to be removed when the new one is complete.
    replaces: Option<String>,
    /// Attachments and occurrences are complete.
    complete: bool,
}

impl Calendar {
    pub(super) async fn push_event(
        &self,
        account: &Account,
        push: &Push,
        journal: &dyn Journal,
    ) -> Result<Pushed, PushError> {
        let calendar = self.target(account, push).await?;
        let composed = compose::compose(push).await?;
        let mut progress: Progress = journal
            .load()
            .and_then(|s| serde_json::from_str(&s).ok())
            .unwrap_or_default();

        // Half of it may be there from before, also when nothing was saved: the request that makes an
        // event may be the last thing a process did.
        let made = match journal.repeated() {
            true => self.by_marker(account, &calendar, &composed.marker).await?,
            false => None,
        };
        let made = match made {
            Some(event) => {
                if progress.event.is_none() && push.policy == Policy::Overwrite {
                    progress.replaces = self.existing(account, &calendar, push, &composed).await?;
                }
                event
            }
            None => {
                progress = Progress::default();
                if push.policy != Policy::KeepBoth
                    && let Some(old) = self.existing(account, &calendar, push, &composed).await?
                {
                    if push.policy == Policy::Skip {
                        return Err(PushError::Exists {
                            name: push.name.clone(),
                        });
                    }
                    self.check_removable(account, &old).await?;
                    progress.replaces = Some(old);
                    save(journal, &progress)?;
                }
                let made = self.create(account, &calendar, &composed).await;
                if made
                    .as_ref()
                    .is_err_and(|e| e.class == ErrorClass::NotFound)
                {
                    self.forget(account);
                }
                made?
            }
        };
        let id = id_of(&made)?;
        progress.event = Some(id.clone());
        save(journal, &progress)?;

        let notes = match self.complete_event(account, &id, &composed, journal).await {
            Err(PushError::Graph(e)) if !e.class.is_temporary() => {
                // Refused for good: half an event is not what anyone asked for.
                self.delete(account, &id).await?;
                return Err(e.into());
            }
            other => other?,
        };
        progress.complete = true;
        save(journal, &progress)?;
        if let Some(old) = &progress.replaces {
            // Somebody may have made a meeting of it meanwhile.
            self.check_removable(account, old).await?;
            self.delete(account, old).await?;
        }
        let mut pushed = self.pushed(account, &calendar, made, &composed, progress.replaces)?;
        pushed.notes.extend(composed.notes);
        pushed.notes.extend(notes);
        Ok(pushed)
    }

    async fn complete_event(
        &self,
        account: &Account,
        id: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let holder = self.holder(account, id);
        // Changed occurrences take over the attachments of the series: those come first.
        let mut notes = holder.add(&composed.attachments, journal).await?;
        notes.extend(
            self.settle_occurrences(account, id, composed, journal)
                .await?,
        );
        Ok(notes)
    }

    fn holder<'a>(&'a self, account: &'a Account, item: &'a str) -> Holder<'a> {
        Holder {
            client: &self.client,
            account,
            routes: &OF_EVENTS,
            item,
        }
    }

    pub(super) async fn find_pushed_event(
        &self,
        account: &Account,
        push: &Push,
    ) -> Result<Option<Pushed>, PushError> {
        let calendar = match self.target(account, push).await {
            Ok(calendar) => calendar,
            // What is in no calendar did not arrive.
            Err(PushError::NoFolder { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let composed = compose::compose(push).await?;
        let Some(event) = self.by_marker(account, &calendar, &composed.marker).await? else {
            return Ok(None);
        };
        let id = id_of(&event)?;
        let attached = self.holder(account, &id).listed().await?.len();
        if attached < composed.attachments.len() {
            return Ok(None);
        }
        if let Some(series) = &composed.series {
            let own = composed
                .exceptions
                .iter()
                .any(|e| !e.attachments.is_empty());
            let state = self.state_of(account, &id, series).await?;
            // Attachments of occurrences are looked at one by one, by the push itself.
            if own || !state.has(&composed) {
                return Ok(None);
            }
        }
        let mut replaced = None;
        if push.policy == Policy::Overwrite
            && let Some(old) = self.existing(account, &calendar, push, &composed).await?
        {
            self.check_removable(account, &old).await?;
            self.delete(account, &old).await?;
            replaced = Some(old);
        }
        self.pushed(account, &calendar, event, &composed, replaced)
            .map(Some)
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<String, PushError> {
        let place = self.place(account, &push.folder).await?;
        let calendar = place.and_then(|place| place.calendar);
        calendar.ok_or_else(|| PushError::NoFolder {
            path: push.folder.join("/"),
        })
    }

    /// The event of this push, if it is there.
    async fn by_marker(
        &self,
        account: &Account,
        calendar: &str,
        marker: &Marker,
    ) -> Result<Option<Value>, GraphError> {
        let found = self
            .find_events(account, calendar, &marker.filter())
            .await?;
        // A service that does not know the filter ignores it: believe only what carries the marker.
        Ok(found
            .into_iter()
            .find(|e| Marker::of(e).is_some_and(|m| m.push == marker.push)))
    }

    async fn find_events(
        &self,
        account: &Account,
        calendar: &str,
        filter: &str,
    ) -> Result<Vec<Value>, GraphError> {
        let call = Call::get(EVENTS_OF, &[&account.id, calendar])
            .query("$filter", filter)
            .query("$select", LIVE_SELECT)
            .query("$expand", &expand_marker())
            .query("$top", "100");
        self.client.pages(Self::of(account, call), MAX_TWINS).await
    }

    /// The event that is the same as, or goes by the same name as, the one to be pushed.
    async fn existing(
        &self,
        account: &Account,
        calendar: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Option<String>, GraphError> {
        let origin = match &push.source {
            Source::Record { key, .. } => Some(*key),
            Source::File => None,
        };
        let facts = Fact::all_of_push(origin, like(&composed.json));
        if self.known.lacks(account, calendar, &facts) {
            return Ok(None);
        }
        let is_original = |e: &Value| {
            let id: Option<ItemKey> = e["id"].as_str().map(|id| (self.keyer)(id));
            origin.is_some() && (id == origin || Marker::of(e).and_then(|m| m.origin) == origin)
        };
        let other = |e: &Value| Marker::of(e).is_none_or(|m| m.push != push.id);
        let mut candidates = Vec::new();
        if let Some(uid) = &composed.uid {
            let filter = format!("iCalUId eq '{}'", odata_quote(uid));
            candidates = self.find_events(account, calendar, &filter).await?;
        }
        if !candidates.iter().any(|e| other(e) && is_original(e)) {
            let subject = composed.json["subject"].as_str().unwrap_or_default();
            let filter = match subject.chars().count() > MAX_SUBJECT {
                true => {
                    let begin: String = subject.chars().take(MAX_SUBJECT).collect();
                    format!("startswith(subject,'{}')", odata_quote(&begin))
                }
                false => format!("subject eq '{}'", odata_quote(subject)),
            };
            candidates.extend(self.find_events(account, calendar, &filter).await?);
        }
        candidates.retain(other);
        let same = candidates
            .iter()
            .find(|e| is_original(e))
            .or_else(|| candidates.iter().find(|e| same_event(e, &composed.json)));
        Ok(same.and_then(|e| e["id"].as_str().map(str::to_owned)))
    }

    /// Refuses where Exchange would tell others that a meeting is off. It does so whenever an organizer's
    /// meeting is deleted, in whatever way; no request suppresses it.
    async fn check_removable(&self, account: &Account, id: &str) -> Result<(), PushError> {
        let call = Call::get(EVENT, &[&account.id, id])
            .query("$select", "id,subject,isOrganizer,attendees,type")
            .query("$expand", "exceptionOccurrences($select=id,attendees)");
        let event = match self.client.json(&Self::of(account, call)).await {
            Ok(event) => event,
            Err(e) if e.class == ErrorClass::NotFound => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let people = |e: &Value| e["attendees"].as_array().map_or(0, Vec::len);
        let exceptions = event["exceptionOccurrences"].as_array();
        let most = exceptions
            .into_iter()
            .flatten()
            .chain([&event])
            .map(people)
            .max()
            .unwrap_or(0);
        if most == 0 || event["isOrganizer"] == false {
            return Ok(());
        }
        Err(PushError::Invalid(format!(
            "the event that is there, {:?}, is a meeting with others ({most}): replacing it would send \
             them cancellations, which a restore never does; remove it yourself, or use @keep-both",
            event["subject"].as_str().unwrap_or_default(),
        )))
    }

    /// Creates the event. When an answer is lost, the marker tells whether it was created.
    async fn create(
        &self,
        account: &Account,
        calendar: &str,
        composed: &Composed,
    ) -> Result<Value, GraphError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let call = Call::post(EVENTS_OF, &[&account.id, calendar], composed.json.clone())
                .prefer("outlook.allow-unsafe-html");
            let error = match self.client.json(&Self::of(account, call)).await {
                Ok(event) => return Ok(event),
                Err(e) => e,
            };
            if !error.class.is_temporary() {
                return Err(error);
            }
            if let Some(event) = self.by_marker(account, calendar, &composed.marker).await? {
                return Ok(event);
            }
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(self.client.patience().backoff(attempt)).await;
        }
    }

    fn pushed(
        &self,
        account: &Account,
        calendar: &str,
        mut event: Value,
        composed: &Composed,
        replaced: Option<String>,
    ) -> Result<Pushed, PushError> {
        // An answer to a creation does not show the marker, which the name depends on.
        if Marker::of(&event).is_none() {
            event["singleValueExtendedProperties"] = json!([composed.marker.property()]);
        }
        self.known.add(account, calendar, self.facts(&event));
        let entry = self.live_event(event).ok_or_else(no_id)?;
        Ok(Pushed {
            entry,
            replaced,
            notes: Vec::new(),
        })
    }
}

fn save(journal: &dyn Journal, progress: &Progress) -> Result<(), PushError> {
    let text = serde_json::to_string(progress).unwrap_or_default();
    Ok(journal.save(&text)?)
}

fn id_of(event: &Value) -> Result<String, PushError> {
    event["id"].as_str().map(str::to_owned).ok_or_else(no_id)
}

fn no_id() -> PushError {
    GraphError::local(
        ErrorClass::Transient,
        format!("POST {EVENTS_OF}"),
        "the event has no id",
    )
    .into()
}

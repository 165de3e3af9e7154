//! Puts an event into a calendar: created with its rule, then its attachments, its cancelled and its
//! changed occurrences.
//!
//! Invariants: nobody is mailed (the created event has no attendees, so nothing that is done to it
//! notifies anyone; a meeting whose removal would mail its attendees is not removed); the creating
//! request carries a transaction id beside the marker; the rest is [`once`]'s.

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::Calendar;
use super::compose::{self, Composed};
use super::event::{EVENT, EVENTS_OF, LIVE_SELECT, same_event};
use crate::graph::{Call, Client, ErrorClass, GraphError, odata_quote};
use crate::workload::attachments::{Holder, OF_EVENTS};
use crate::workload::once::{self, Made, Once, Origin};
use crate::workload::ongoing::Ongoing;
use crate::workload::{Account, Journal, Keyer, LiveEntry, Marker, Push, PushError, expand_marker};

/// Events of one calendar that may share a subject.
const MAX_TWINS: usize = 5_000;
/// Characters of a subject that are looked for: a request line has its limits.
const MAX_SUBJECT: usize = 200;

impl once::Composed for Composed {
    fn marker(&self) -> &Marker {
        &self.marker
    }

    fn item(&self) -> &Value {
        &self.json
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[async_trait]
impl Once for Calendar {
    type Composed = Composed;
    const CREATE: &'static str = EVENTS_OF;

    fn client(&self) -> &Client {
        &self.client
    }

    fn keyer(&self) -> &Keyer {
        &self.keyer
    }

    fn ongoing(&self) -> &Ongoing {
        &self.ongoing
    }

    async fn compose(&self, push: &Push) -> Result<Composed, PushError> {
        compose::compose(push).await
    }

    async fn target(&self, account: &Account, push: &Push) -> Result<Option<String>, PushError> {
        let place = self.place(account, &push.folder).await?;
        Ok(place.and_then(|place| place.calendar))
    }

    async fn by_marker(
        &self,
        account: &Account,
        calendar: &str,
        _push: &Push,
        composed: &Composed,
    ) -> Result<Option<Made>, GraphError> {
        let filter = composed.marker.filter();
        let found = self.find_events(account, calendar, &filter).await?;
        Ok(once::carrying(&composed.marker, found).map(Made::from_json))
    }

    async fn candidates(
        &self,
        account: &Account,
        calendar: &str,
        _push: &Push,
        composed: &Composed,
        origin: &Origin<'_>,
    ) -> Result<Vec<Value>, GraphError> {
        let mut candidates = Vec::new();
        if let Some(uid) = &composed.uid {
            let filter = format!("iCalUId eq '{}'", odata_quote(uid));
            candidates = self.find_events(account, calendar, &filter).await?;
        }
        let original = |e: &Value| origin.is_foreign(e) && origin.is_original(e);
        if !candidates.iter().any(original) {
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
        Ok(candidates)
    }

    fn same(&self, live: &Value, composed: &Composed) -> bool {
        same_event(live, &composed.json)
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

    fn creation(&self, account: &Account, calendar: &str, composed: &Composed) -> Call {
        let call = Call::post(EVENTS_OF, &[&account.id, calendar], composed.json.clone())
            .prefer("outlook.allow-unsafe-html");
        Self::of(account, call)
    }

    async fn create(
        &self,
        account: &Account,
        calendar: &str,
        push: &Push,
        composed: &Composed,
    ) -> Result<Made, PushError> {
        let made = once::create(self, account, calendar, push, composed).await;
        let gone = |e: &GraphError| e.class == ErrorClass::NotFound;
        if made.as_ref().is_err_and(gone) {
            self.forget(account);
        }
        Ok(made?)
    }

    async fn complete(
        &self,
        account: &Account,
        _calendar: &str,
        id: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let holder = self.holder(account, id);
        // Changed occurrences take over the attachments of the series: those come first.
        let mut notes = holder.add(&composed.attachments, journal).await?;
        let settled = self.settle_occurrences(account, id, composed, journal);
        notes.extend(settled.await?);
        Ok(notes)
    }

    async fn is_complete(
        &self,
        account: &Account,
        _calendar: &str,
        id: &str,
        composed: &Composed,
    ) -> Result<bool, PushError> {
        let attached = self.holder(account, id).listed().await?.len();
        if attached < composed.attachments.len() {
            return Ok(false);
        }
        let Some(series) = &composed.series else {
            return Ok(true);
        };
        let own = composed
            .exceptions
            .iter()
            .any(|e| !e.attachments.is_empty());
        let state = self.state_of(account, id, series).await?;
        // Attachments of occurrences are looked at one by one, by the push itself.
        Ok(!own && state.has(composed))
    }

    fn deletion(&self, account: &Account, _calendar: &str, id: &str) -> Call {
        let call = Call::new(Method::DELETE, EVENT, &[&account.id, id]);
        Self::of(account, call)
    }

    fn entry(&self, _calendar: &str, mut event: Value, marker: &Marker) -> Option<LiveEntry> {
        if Marker::of(&event).is_none() {
            event["singleValueExtendedProperties"] = json!([marker.property()]);
        }
        self.live_event(event)
    }
}

impl Calendar {
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

    fn holder<'a>(&'a self, account: &'a Account, item: &'a str) -> Holder<'a> {
        Holder {
            client: &self.client,
            account,
            routes: &OF_EVENTS,
            item,
        }
    }
}

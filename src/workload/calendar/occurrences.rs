//! The occurrences of a series that was just created: which are cancelled and which are changed.
//!
//! Each occurrence is found by the day it stands for, then deleted or changed by itself; there is no
//! request that makes a series with its exceptions. Repeated after a crash, what is done already is
//! left alone.

use std::collections::HashMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use super::Calendar;
use super::compose::{Changed, Composed};
use super::event::EVENT;
use crate::format::eml::Attachment;
use crate::format::ics::{self, Series};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::attachments::{Holder, OF_EVENTS};
use crate::workload::{Account, Journal, PushError};

const INSTANCES: &str = "/users/{user}/events/{event}/instances";
/// Occurrences that one day of a series can have in a listing: it has one, and what overlaps it.
const MAX_INSTANCES: usize = 1_000;

/// What became of the occurrences of a series.
#[derive(Debug, Default)]
pub(super) struct State {
    cancelled: Vec<Date>,
    /// Changed ones by day, with their ids.
    changed: HashMap<Date, String>,
}

impl State {
    /// All that was composed is there.
    pub fn has(&self, composed: &Composed) -> bool {
        composed
            .cancelled
            .iter()
            .all(|day| self.cancelled.contains(day))
            && composed
                .exceptions
                .iter()
                .all(|e| self.changed.contains_key(&e.day))
    }
}

impl Calendar {
    /// What is cancelled and changed of a series.
    pub(super) async fn state_of(
        &self,
        account: &Account,
        event: &str,
        series: &Series,
    ) -> Result<State, GraphError> {
        let call = Call::get(EVENT, &[&account.id, event])
            .query("$select", "id,cancelledOccurrences")
            .query("$expand", "exceptionOccurrences($select=id,originalStart)")
            .patient_404(5);
        let record = self.client.json(&Self::of(account, call)).await?;
        let list = |name: &str| record[name].as_array().cloned().unwrap_or_default();
        let changed = list("exceptionOccurrences")
            .into_iter()
            .filter_map(|exception| {
                let day = series.day_of(&exception["originalStart"])?;
                Some((day, exception["id"].as_str()?.to_owned()))
            });
        Ok(State {
            cancelled: list("cancelledOccurrences")
                .iter()
                .filter_map(ics::cancelled_day)
                .collect(),
            changed: changed.collect(),
        })
    }

    /// Cancels and changes what is to be. Returns what Exchange refused of it.
    pub(super) async fn settle_occurrences(
        &self,
        account: &Account,
        event: &str,
        composed: &Composed,
        journal: &dyn Journal,
    ) -> Result<Vec<String>, PushError> {
        let mut notes = Vec::new();
        let Some(series) = &composed.series else {
            return Ok(notes);
        };
        if composed.cancelled.is_empty() && composed.exceptions.is_empty() {
            return Ok(notes);
        }
        let state = match journal.repeated() {
            true => self.state_of(account, event, series).await?,
            false => State::default(),
        };
        let total = (composed.cancelled.len() + composed.exceptions.len()) as u64;
        let mut done = 0;
        // First what makes room: an occurrence may be moved to where another one was.
        for day in &composed.cancelled {
            if !state.cancelled.contains(day)
                && let Some(id) = self.instance(account, event, series, *day).await?
            {
                self.delete(account, &id).await?;
            }
            done += 1;
            journal.progress(done, total);
        }
        let mut left: Vec<&Changed> = composed.exceptions.iter().collect();
        loop {
            let (before, mut crossing) = (left.len(), Vec::new());
            for exception in left {
                match self
                    .change(account, event, series, exception, &state, composed)
                    .await?
                {
                    Outcome::Done(more) => {
                        done += 1;
                        notes.extend(more);
                        journal.progress(done, total);
                    }
                    Outcome::Refused(e) => crossing.push((exception, e)),
                }
            }
            // One that may not cross its neighbour may when that one has moved too.
            if crossing.is_empty() || crossing.len() == before {
                let lost = crossing.into_iter().map(|(exception, e)| {
                    format!(
                        "the changed occurrence of {} stays as the others: {e}",
                        exception.day
                    )
                });
                notes.extend(lost);
                return Ok(notes);
            }
            left = crossing
                .into_iter()
                .map(|(exception, _)| exception)
                .collect();
        }
    }

    async fn change(
        &self,
        account: &Account,
        event: &str,
        series: &Series,
        exception: &Changed,
        state: &State,
        composed: &Composed,
    ) -> Result<Outcome, PushError> {
        let id = match state.changed.get(&exception.day) {
            Some(id) => id.clone(),
            None => {
                let Some(id) = self.instance(account, event, series, exception.day).await? else {
                    let what = format!(
                        "a changed occurrence of {}, where the series has none",
                        exception.day
                    );
                    return Ok(Outcome::Done(vec![what]));
                };
                // The same change twice is one change.
                let call = Call::new(reqwest::Method::PATCH, EVENT, &[&account.id, &id])
                    .json(exception.patch.clone())
                    .prefer("outlook.allow-unsafe-html")
                    .repeatable();
                match self.client.json(&Self::of(account, call)).await {
                    Ok(changed) => changed["id"].as_str().unwrap_or(&id).to_owned(),
                    Err(e) if matches!(e.status, Some(400 | 409 | 412)) => {
                        return Ok(Outcome::Refused(e));
                    }
                    Err(e) => return Err(e.into()),
                }
            }
        };
        self.reconcile(account, &id, &exception.attachments, &composed.attachments)
            .await
            .map(Outcome::Done)
    }

    /// Makes the attachments of a changed occurrence its own: it has those of the series to begin with.
    async fn reconcile(
        &self,
        account: &Account,
        id: &str,
        wanted: &[Attachment],
        inherited: &[Attachment],
    ) -> Result<Vec<String>, PushError> {
        if wanted.is_empty() && inherited.is_empty() {
            return Ok(Vec::new());
        }
        let holder = Holder {
            client: &self.client,
            account,
            routes: &OF_EVENTS,
            item: id,
        };
        let mut there: Vec<(String, String)> = holder
            .listed()
            .await?
            .iter()
            .filter_map(|a| Some((a["id"].as_str()?.to_owned(), a["name"].as_str()?.to_owned())))
            .collect();
        let mut notes = Vec::new();
        for attachment in wanted {
            let same = |(_, name): &(String, String)| {
                *name == attachment.name || *name == attachment.file_name()
            };
            let as_inherited = inherited.contains(attachment)
                || !inherited.iter().any(|other| other.name == attachment.name);
            match there.iter().position(same).filter(|_| as_inherited) {
                Some(at) => {
                    there.remove(at);
                }
                None => notes.extend(holder.add_one(attachment).await?),
            }
        }
        for (id, _) in there {
            holder.remove(&id).await?;
        }
        Ok(notes)
    }

    /// The occurrence that stands for a day; `None` if there is none (any more).
    async fn instance(
        &self,
        account: &Account,
        event: &str,
        series: &Series,
        day: Date,
    ) -> Result<Option<String>, GraphError> {
        let Some(start) = series.start_on(day) else {
            return Ok(None);
        };
        // An all-day occurrence begins when its day does, which zone that may be in.
        let around = if series.is_all_day() {
            26.hours()
        } else {
            1.minute()
        };
        let bound = |at: Result<Timestamp, jiff::Error>| at.unwrap_or(start).to_string();
        let call = Call::get(INSTANCES, &[&account.id, event])
            .query("startDateTime", &bound(start.checked_sub(around)))
            .query("endDateTime", &bound(start.checked_add(around)))
            .query(
                "$select",
                "id,start,end,isAllDay,type,originalStart,originalStartTimeZone",
            )
            .query("$top", "100")
            .patient_404(5);
        let found = self
            .client
            .pages(Self::of(account, call), MAX_INSTANCES)
            .await?;
        let is_of = |instance: &&Value| {
            let original = &instance["originalStart"];
            match original.is_string() {
                true => series.day_of(original) == Some(day),
                false => series.is_occurrence(instance, day),
            }
        };
        let fitting = found.iter().find(is_of);
        Ok(fitting.and_then(|instance| instance["id"].as_str().map(str::to_owned)))
    }

    /// Removes an event. One that is gone already is what was wanted.
    pub(super) async fn delete(&self, account: &Account, id: &str) -> Result<(), GraphError> {
        let call = Call::new(reqwest::Method::DELETE, EVENT, &[&account.id, id]);
        match self.client.send(&Self::of(account, call)).await {
            Err(e) if e.class != ErrorClass::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

enum Outcome {
    /// With what was not kept of it.
    Done(Vec<String>),
    Refused(GraphError),
}

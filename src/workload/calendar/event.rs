//! An event's record: which properties are asked for, and what a change of them means.

use serde_json::Value;

use crate::format::ics;
use crate::workload::known::Fact;

pub(super) const EVENT: &str = "/users/{user}/events/{event}";
pub(super) const EVENTS_OF: &str = "/users/{user}/calendars/{calendar}/events";

/// What a listing tells: enough to see a change, and to name what fails.
pub(super) const LISTED: &str = "id,changeKey,lastModifiedDateTime,type,subject";

/// Everything that Graph v1.0 has of an event. `cancelledOccurrences` comes only when asked for by
/// name, and then all else must be named too.
pub(super) const SELECT: &str = "id,changeKey,createdDateTime,lastModifiedDateTime,categories,\
     transactionId,originalStartTimeZone,originalEndTimeZone,iCalUId,reminderMinutesBeforeStart,\
     isReminderOn,hasAttachments,subject,bodyPreview,importance,sensitivity,isAllDay,isCancelled,\
     isOrganizer,responseRequested,seriesMasterId,showAs,type,webLink,onlineMeetingUrl,\
     isOnlineMeeting,onlineMeetingProvider,allowNewTimeProposals,isDraft,hideAttendees,originalStart,\
     responseStatus,body,start,end,location,locations,recurrence,attendees,organizer,onlineMeeting,\
     cancelledOccurrences";

/// What a live listing needs of an event.
pub(super) const LIVE_SELECT: &str = "id,subject,start,end,isAllDay,originalStartTimeZone,type,\
     recurrence,lastModifiedDateTime,iCalUId";

/// Whether the event must be fetched again: anything that changes it changes its change key.
pub(super) fn needs_content(stored: &Value, told: &Value) -> bool {
    let key = |record: &Value| record["changeKey"].as_str().map(str::to_owned);
    key(stored).is_none() || key(stored) != key(told) || !stored["start"].is_object()
}

/// What [`same_event`] compares first; `None` for what is like nothing.
pub(super) fn like(event: &Value) -> Option<Fact> {
    let start = ics::schedule(event)?.start();
    Some(Fact::of(&(subject(event), start)))
}

fn subject(event: &Value) -> &str {
    event["subject"].as_str().unwrap_or_default().trim()
}

/// Same event by what survives a restore: what it is called and when it is.
pub(super) fn same_event(a: &Value, b: &Value) -> bool {
    let when = |v: &Value| ics::schedule(v);
    subject(a) == subject(b) && when(a).is_some() && when(a) == when(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_another_change_key_needs_content() {
        let stored =
            json!({ "id": "e", "changeKey": "1", "start": {}, "lastModifiedDateTime": "a" });
        let told = |key: &str| json!({ "id": "e", "changeKey": key, "lastModifiedDateTime": "b" });
        assert!(!needs_content(&stored, &told("1")));
        assert!(needs_content(&stored, &told("2")));
        assert!(needs_content(
            &json!({ "id": "e", "changeKey": "1" }),
            &told("1")
        ));
        assert!(needs_content(&json!({}), &json!({})));
    }

    #[test]
    fn the_same_event_is_called_so_and_is_then() {
        let event = |subject: &str, start: &str, zone: &str| {
            json!({ "subject": subject, "start": { "dateTime": start, "timeZone": zone },
                    "end": { "dateTime": "2026-03-02T12:00:00", "timeZone": "UTC" } })
        };
        let a = event("Lunch", "2026-03-02T11:00:00.0000000", "UTC");
        assert!(same_event(
            &a,
            &event("Lunch ", "2026-03-02T12:00:00", "W. Europe Standard Time")
        ));
        assert!(!same_event(
            &a,
            &event("Lunch", "2026-03-02T11:30:00", "UTC")
        ));
        assert!(!same_event(
            &a,
            &event("Dinner", "2026-03-02T11:00:00", "UTC")
        ));
        let mut series = a.clone();
        series["recurrence"] =
            json!({ "pattern": { "type": "daily", "interval": 1 }, "range": { "type": "noEnd" } });
        assert!(!same_event(&a, &series));
        assert!(!same_event(&json!({}), &json!({})));
    }
}

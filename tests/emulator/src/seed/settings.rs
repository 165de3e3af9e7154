//! What the owners of generated mailboxes have set: settings, categories, rules, overrides.

use serde_json::{Value, json};

use super::people::outsider;
use crate::mail::rules;
use crate::mail::store::Mailbox;
use crate::odata::Object;
use crate::rng::Rng;
use crate::users::{Personal, Purpose, User};

/// Language, name of it, time zone, date and time format.
const PLACES: &[[&str; 5]] = &[
    [
        "en-US",
        "English (United States)",
        "Pacific Standard Time",
        "M/d/yyyy",
        "h:mm tt",
    ],
    [
        "da-DK",
        "dansk (Danmark)",
        "Romance Standard Time",
        "dd-MM-yyyy",
        "HH:mm",
    ],
    [
        "de-DE",
        "Deutsch (Deutschland)",
        "W. Europe Standard Time",
        "dd.MM.yyyy",
        "HH:mm",
    ],
    [
        "ja-JP",
        "日本語 (日本)",
        "Tokyo Standard Time",
        "yyyy/MM/dd",
        "H:mm",
    ],
];
/// The categories everybody begins with.
const CATEGORIES: &[(&str, &str)] = &[
    ("Red category", "preset0"),
    ("Orange category", "preset1"),
    ("Yellow category", "preset3"),
    ("Green category", "preset4"),
    ("Blue category", "preset7"),
    ("Purple category", "preset8"),
];

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// Settings and categories of a user; those of a user made later are as Exchange makes them.
pub fn personal(user: &User, tenant_seed: u64) -> Personal {
    let mut rng = Rng::new(tenant_seed, &format!("settings {}", user.id));
    let own = user.generated && user.mailbox == Some(Purpose::User);
    let place = if own { user.index % PLACES.len() } else { 0 };
    let [locale, language, zone, date, time] = PLACES[place];
    let zone = if own { zone } else { "UTC" };
    let mut settings = object(json!({
        "timeZone": zone, "dateFormat": date, "timeFormat": time,
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "automaticRepliesSetting": {"status": "disabled", "externalAudience": "none", "internalReplyMessage": "", "externalReplyMessage": "",
            "scheduledStartDateTime": {"dateTime": "2026-11-02T00:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2026-11-03T00:00:00.0000000", "timeZone": "UTC"}},
        "language": {"locale": locale, "displayName": language},
        "workingHours": {"daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"], "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000", "timeZone": {"name": zone}},
    }));
    if own && user.index % 3 == 1 {
        let text = "<html>\n<body>\n<p>Away until Monday – <b>urgent</b>: +46 8 000 00 00.</p></body>\n</html>\n";
        settings.insert("automaticRepliesSetting".into(), json!({
            "status": "scheduled", "externalAudience": "contactsOnly", "internalReplyMessage": text, "externalReplyMessage": text,
            "scheduledStartDateTime": {"dateTime": "2026-12-21T16:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2027-01-04T07:00:00.0000000", "timeZone": "UTC"}}));
    }
    if own && user.index % 3 == 2 {
        settings.insert("workingHours".into(), json!({
            "daysOfWeek": ["sunday", "tuesday", "thursday"], "startTime": "09:30:00.0000000", "endTime": "18:00:00.0000000",
            "timeZone": {"@odata.type": "#microsoft.graph.customTimeZone", "name": "Customized Time Zone", "bias": -200,
                "standardOffset": {"time": "02:00:00.0000000", "dayOccurrence": 4, "dayOfWeek": "sunday", "month": 5, "year": 0},
                "daylightOffset": {"daylightBias": -100, "time": "02:00:00.0000000", "dayOccurrence": 2, "dayOfWeek": "sunday", "month": 10, "year": 0}}}));
    }
    let more: &[(&str, &str)] = match own {
        true => &[("Kunden – wichtig", "preset9"), ("プロジェクト", "none")],
        false => &[],
    };
    let categories = CATEGORIES
        .iter()
        .chain(more)
        .map(|(name, color)| object(json!({"id": rng.guid(), "displayName": name, "color": color})))
        .collect();
    Personal {
        settings,
        categories,
    }
}

/// Rules and overrides of a generated mailbox.
pub fn rules(mailbox: &mut Mailbox) {
    if mailbox.user.mailbox != Some(Purpose::User) {
        return;
    }
    let mut rng = Rng::new(mailbox.seed, "rules");
    let mut person = || {
        let (name, address) = outsider(&mut rng);
        json!({"emailAddress": {"name": name, "address": address}})
    };
    let folder = |known: &str| json!(mailbox.ids.folder(mailbox.well_known(known)));
    let made = [
        json!({"displayName": "Newsletters", "conditions": {"headerContains": ["List-Unsubscribe"], "notSentToMe": true},
            "exceptions": {"fromAddresses": [person()], "importance": "high"},
            "actions": {"moveToFolder": folder("archive"), "markAsRead": true, "stopProcessingRules": true}}),
        json!({"displayName": "Från partnern", "conditions": {"senderContains": ["ADELE"], "sentToOrCcMe": true},
            "actions": {"forwardTo": [person()], "assignCategories": ["Blue category"], "markImportance": "high"}}),
        json!({"displayName": "Large and private", "isEnabled": false, "sequence": 7,
            "conditions": {"withinSizeRange": {"minimumSize": 5000, "maximumSize": 90_000}, "sensitivity": "private", "hasAttachments": true,
                "subjectContains": ["Angebot", "見積書"], "messageActionFlag": "followUp"},
            "actions": {"copyToFolder": folder("drafts"), "delete": true}}),
        json!({"displayName": "Client only", "isReadOnly": true, "conditions": {"isMeetingRequest": true},
            "actions": {"redirectTo": [person()]}}),
    ];
    let overrides = ["focused", "other"].map(|class| {
        json!({"id": Rng::new(mailbox.seed, class).guid(), "classifyAs": class, "senderEmailAddress": person()["emailAddress"]})
    });
    for rule in made {
        rules::add(mailbox, object(rule));
    }
    mailbox.overrides = overrides.into_iter().map(object).collect();
}

//! Items of each kind with everything that Graph lets an application write, beside the generated ones and
//! those of the corpus.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::graph::Graph;

/// Named properties of some other program.
pub const CUSTOM: &str = "String {b7a1f6a4-5d0e-4d6e-9a51-0f6c1d2e3f40} Name CaseNumber";
pub const CUSTOM_LIST: &str = "StringArray {b7a1f6a4-5d0e-4d6e-9a51-0f6c1d2e3f40} Name CaseParties";

/// What is to come is far away, so that no reminder is of the past.
const SOON: &str = "2036-03-03";
const BERLIN: &str = "W. Europe Standard Time";

/// Puts one of everything into `upn`; `colleague` invites and is invited.
pub fn furnish(graph: &Graph, upn: &str, colleague: &str) -> Result<()> {
    mail(graph, upn)?;
    events(graph, upn, colleague)?;
    contacts(graph, upn)?;
    tasks(graph, upn)?;
    settings(graph, upn)?;
    files(graph, upn, colleague)
}

fn id(value: &Value) -> Result<&str> {
    value["id"].as_str().context("no id")
}

fn person(name: &str, address: &str) -> Value {
    json!({ "emailAddress": { "name": name, "address": address } })
}

fn at(time: &str, zone: &str) -> Value {
    json!({ "dateTime": time, "timeZone": zone })
}

fn file(name: &str, kind: &str, bytes: &[u8]) -> Value {
    json!({ "@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentType": kind,
            "contentBytes": STANDARD.encode(bytes) })
}

/// One attachment of each kind.
fn attachments() -> Vec<Value> {
    let mut picture = file(
        "logo.png",
        "image/png",
        b"\x89PNG\r\n\x1a\nnot much of a picture",
    );
    picture["isInline"] = json!(true);
    picture["contentId"] = json!("logo@fidelity");
    let message = json!({ "@odata.type": "#microsoft.graph.message", "subject": "Within", "importance": "high",
        "body": { "contentType": "text", "content": "A mail in a mail.\r\n" },
        "from": person("Ola Nordmann", "ola@northwind.test"), "toRecipients": [person("Bo Ek", "bo@contoso.com")] });
    let event = json!({ "@odata.type": "#microsoft.graph.event", "subject": "Lunch", "location": { "displayName": "Canteen" },
        "start": at("2036-05-05T11:00:00", "UTC"), "end": at("2036-05-05T12:00:00", "UTC") });
    let item = |name: &str, item: Value| json!({ "@odata.type": "#microsoft.graph.itemAttachment", "name": name, "item": item });
    vec![
        file("Notes – März.txt", "text/plain", "Grüße\n".as_bytes()),
        picture,
        item("Within", message),
        item("Lunch", event),
        json!({ "@odata.type": "#microsoft.graph.referenceAttachment", "name": "Plan.docx" }),
    ]
}

/// Not a draft, and with the times that are given.
fn arrived(read: bool, at: &str) -> Vec<Value> {
    let property = |id: &str, value: &str| json!({ "id": id, "value": value });
    vec![
        property("Integer 0x0E07", if read { "5" } else { "4" }),
        property("SystemTime 0x0039", at),
        property("SystemTime 0x0E06", at),
    ]
}

fn mail(graph: &Graph, upn: &str) -> Result<()> {
    let property = |id: &str, value: &str| json!({ "id": id, "value": value });
    let mut properties = arrived(false, "2026-02-03T04:05:06Z");
    properties.extend([
        property("Integer 0x0036", "2"),
        property("Integer 0x1081", "103"),
        property("SystemTime 0x1082", "2026-02-03T09:00:00Z"),
        property(CUSTOM, "4711"),
    ]);
    let everything = json!({
        "subject": "Everything – alles", "importance": "high", "categories": ["Red category", "Kunden – wichtig"],
        "body": { "contentType": "html", "content": "<html><body><p>See <img src=\"cid:logo@fidelity\"> and write.</p></body></html>" },
        "from": person("Head Office", "office@fabrikam.com"), "sender": person("Ann Secretary", "ann@fabrikam.com"),
        "toRecipients": [person("Alice Roe", upn), person("List", "list@fabrikam.com")],
        "ccRecipients": [person("Bo Ek", "bo@contoso.com")], "bccRecipients": [person("Hidden", "hidden@contoso.com")],
        "replyTo": [person("Answers", "answers@fabrikam.com"), person("More answers", "more@fabrikam.com")],
        "flag": { "flagStatus": "flagged", "startDateTime": at("2036-01-01T00:00:00.0000000", "UTC"),
                  "dueDateTime": at("2036-01-05T00:00:00.0000000", "UTC") },
        "internetMessageId": "<everything@fabrikam.com>", "inferenceClassification": "other", "isRead": false,
        "conversationIndex": "AQHbXyzAAQIDBAUGBwgJCgsMDQ4PEA==",
        "isReadReceiptRequested": true, "isDeliveryReceiptRequested": true,
        "internetMessageHeaders": [ { "name": "X-Case", "value": "4711" } ],
        "singleValueExtendedProperties": properties,
        "multiValueExtendedProperties": [ { "id": CUSTOM_LIST, "value": ["one", "two"] } ],
    });
    let inbox = format!("/users/{upn}/mailFolders/inbox/messages");
    let made = graph.post(&inbox, &everything)?;
    for attachment in attachments() {
        let path = format!("/users/{upn}/messages/{}/attachments", id(&made)?);
        graph.post(&path, &attachment)?;
    }
    let mut done = arrived(true, "2026-02-04T04:05:06Z");
    done.push(property("Integer 0x1081", "104"));
    graph.post(
        &inbox,
        &json!({
            "subject": "Plain and done", "body": { "contentType": "text", "content": "One line.\r\n\r\nAnother.\r\n" },
            "from": person("Ola Nordmann", "ola@northwind.test"), "toRecipients": [person("Alice Roe", upn)],
            "flag": { "flagStatus": "complete", "completedDateTime": at("2026-02-05T00:00:00.0000000", "UTC") },
            "internetMessageId": "<plain@northwind.test>", "isRead": true, "singleValueExtendedProperties": done,
        }),
    )?;
    // A receipt of a mail that its owner sent himself.
    graph.post(
        &format!("/users/{upn}/mailFolders/sentitems/messages"),
        &json!({
            "subject": "Sent with a wish for receipts", "body": { "contentType": "text", "content": "Please confirm." },
            "from": person("Alice Roe", upn), "toRecipients": [person("Ola Nordmann", "ola@northwind.test")],
            "bccRecipients": [person("Quiet", "quiet@contoso.com")], "internetMessageId": "<sent@contoso.com>",
            "isRead": true, "isReadReceiptRequested": true, "isDeliveryReceiptRequested": true,
            "singleValueExtendedProperties": arrived(true, "2026-02-06T04:05:06Z"),
        }),
    )?;
    let draft = graph.post(
        &format!("/users/{upn}/mailFolders/drafts/messages"),
        &json!({
            "subject": "Not yet", "body": { "contentType": "html", "content": "<p>To be said</p>" }, "importance": "low",
            "toRecipients": [person("Ola Nordmann", "ola@northwind.test")], "bccRecipients": [person("Quiet", "quiet@contoso.com")],
            "replyTo": [person("Answers", "answers@contoso.com")], "categories": ["Blue category"],
            "isReadReceiptRequested": true, "isDeliveryReceiptRequested": true,
        }),
    )?;
    let path = format!("/users/{upn}/messages/{}/attachments", id(&draft)?);
    graph.post(&path, &file("draft.txt", "text/plain", b"draft"))?;
    Ok(())
}

fn events(graph: &Graph, upn: &str, colleague: &str) -> Result<()> {
    let own = format!("/users/{upn}/events");
    let rich = graph.post(
        &own,
        &json!({
            "subject": "Audit", "start": at(&format!("{SOON}T09:00:00"), BERLIN), "end": at(&format!("{SOON}T12:00:00"), "Eastern Standard Time"),
            "body": { "contentType": "html", "content": "<html><body><p>Agenda <img src=\"cid:logo@fidelity\"></p></body></html>" },
            "importance": "high", "sensitivity": "confidential", "showAs": "oof", "categories": ["Green category"],
            "isReminderOn": true, "reminderMinutesBeforeStart": 45, "hideAttendees": true, "allowNewTimeProposals": false,
            "responseRequested": false,
            "locations": [ { "displayName": "Room 1", "locationType": "conferenceRoom", "locationEmailAddress": "room1@contoso.com",
                             "address": { "street": "1 Way", "city": "Berlin" }, "coordinates": { "latitude": 52.5, "longitude": 13.4 } },
                           { "displayName": "Room 2" } ],
        }),
    )?;
    for attachment in attachments() {
        graph.post(&format!("{own}/{}/attachments", id(&rich)?), &attachment)?;
    }
    let days = |subject: &str, zone: &str| {
        json!({ "subject": subject, "isAllDay": true, "showAs": "workingElsewhere", "sensitivity": "personal",
                "start": at("2036-04-01T00:00:00", zone), "end": at("2036-04-03T00:00:00", zone) })
    };
    graph.post(&own, &days("Days in Tokyo", "Tokyo Standard Time"))?;
    graph.post(
        &own,
        &json!({ "subject": "Long over", "start": at("2020-01-01T09:00:00", "UTC"), "end": at("2020-01-01T10:00:00", "UTC"),
                 "isReminderOn": true, "location": { "displayName": "Room 7" } }),
    )?;
    series(graph, upn)?;
    meetings(graph, upn, colleague)?;
    // In a calendar of a group of its own.
    let group = graph.post(
        &format!("/users/{upn}/calendarGroups"),
        &json!({ "name": "Clubs" }),
    )?;
    let path = format!("/users/{upn}/calendarGroups/{}/calendars", id(&group)?);
    let chess = graph.post(&path, &json!({ "name": "Chess", "color": "lightRed" }))?;
    let path = format!("/users/{upn}/calendars/{}/events", id(&chess)?);
    graph.post(&path, &days("Tournament", BERLIN))?;
    Ok(())
}

/// A series with a moved day that has a file of its own, one that is called otherwise, and one off.
fn series(graph: &Graph, upn: &str) -> Result<()> {
    let own = format!("/users/{upn}/events");
    let made = graph.post(
        &own,
        &json!({
            "subject": "Rehearsal", "start": at("2036-03-10T09:00:00", BERLIN), "end": at("2036-03-10T10:00:00", BERLIN),
            "body": { "contentType": "text", "content": "Every Monday" }, "categories": ["Red category"],
            "recurrence": { "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday" },
                            "range": { "type": "numbered", "startDate": "2036-03-10", "numberOfOccurrences": 8, "recurrenceTimeZone": BERLIN } },
        }),
    )?;
    let series = id(&made)?;
    graph.post(
        &format!("{own}/{series}/attachments"),
        &file("score.txt", "text/plain", b"score"),
    )?;
    let window = "startDateTime=2036-03-01T00:00:00Z&endDateTime=2036-06-01T00:00:00Z";
    let days = graph.list(&format!("{own}/{series}/instances?{window}"))?;
    let day = |n: usize| days.get(n).context("an occurrence").and_then(id);
    let moved = graph.patch(
        &format!("{own}/{}", day(1)?),
        &json!({ "start": at("2036-03-18T15:00:00", BERLIN), "end": at("2036-03-18T17:00:00", BERLIN), "location": { "displayName": "Hall" } }),
    )?;
    graph.post(
        &format!("{own}/{}/attachments", id(&moved)?),
        &file("hall.txt", "text/plain", b"hall"),
    )?;
    graph.patch(
        &format!("{own}/{}", day(3)?),
        &json!({ "subject": "Dress rehearsal", "sensitivity": "private", "showAs": "tentative", "isReminderOn": false,
                 "categories": ["Blue category"], "importance": "high", "body": { "contentType": "text", "content": "In costume" } }),
    )?;
    graph.delete(&format!("{own}/{}", day(5)?))?;
    Ok(())
}

/// Meetings that were called, and ones that others called.
fn meetings(graph: &Graph, upn: &str, colleague: &str) -> Result<()> {
    let meeting = |subject: &str, hour: u32, with: &str| {
        json!({ "subject": subject, "start": at(&format!("{SOON}T{hour:02}:00:00"), "UTC"), "end": at(&format!("{SOON}T{hour:02}:30:00"), "UTC"),
                "body": { "contentType": "html", "content": "<html><body><p>Numbers</p></body></html>" },
                "attendees": [ { "type": "required", "emailAddress": { "name": "With", "address": with } },
                               { "type": "optional", "emailAddress": { "name": "Ola Nordmann", "address": "ola@northwind.test" } } ] })
    };
    let mut online = meeting("Figures", 13, colleague);
    online["isOnlineMeeting"] = json!(true);
    online["onlineMeetingProvider"] = json!("teamsForBusiness");
    graph.post(&format!("/users/{upn}/events"), &online)?;
    answer(graph, colleague, "Figures", "accept")?;
    for (subject, hour, word) in [("Theirs", 14, "tentativelyAccept"), ("Off", 15, "accept")] {
        let made = graph.post(
            &format!("/users/{colleague}/events"),
            &meeting(subject, hour, upn),
        )?;
        answer(graph, upn, subject, word)?;
        if subject == "Off" {
            let path = format!("/users/{colleague}/events/{}/cancel", id(&made)?);
            said(graph, &path, &json!({ "comment": "not needed" }))?;
        }
    }
    Ok(())
}

fn answer(graph: &Graph, upn: &str, subject: &str, word: &str) -> Result<()> {
    let path = format!("/users/{upn}/events?$filter=subject eq '{subject}'");
    let copy = graph.list(&path)?;
    let copy = copy
        .first()
        .with_context(|| format!("{subject} did not arrive"))?;
    said(
        graph,
        &format!("/users/{upn}/events/{}/{word}", id(copy)?),
        &json!({ "comment": "", "sendResponse": true }),
    )
}

/// A request whose answer has no body.
fn said(graph: &Graph, path: &str, body: &Value) -> Result<()> {
    let answer = graph.send(Method::POST, path, Some(body))?;
    anyhow::ensure!(answer.status().is_success(), "{path}: {}", answer.status());
    Ok(())
}

fn contacts(graph: &Graph, upn: &str) -> Result<()> {
    let place = |city: &str| json!({ "street": "1 Way\r\nBack", "city": city, "state": "ST", "postalCode": "12345", "countryOrRegion": "Sweden" });
    let address = |name: &str, address: &str| json!({ "name": name, "address": address });
    let folder = graph.post(
        &format!("/users/{upn}/contactFolders"),
        &json!({ "displayName": "Everybody" }),
    )?;
    let full = json!({
        "assistantName": "Ass", "birthday": "1974-07-22T11:59:00Z", "businessAddress": place("Stockholm"), "businessHomePage": "https://x.test",
        "businessPhones": ["+46 8 1", "+46 8 2"], "categories": ["Red category"], "children": ["Tim", "Tom"], "companyName": "Contoso",
        "department": "Finance", "displayName": "Dr. Ann Lee", "emailAddresses": [address("Ann", "ann@x.test"), address("Lee", "lee@x.test"), address("A", "a@x.test")],
        "fileAs": "Lee, Ann (Dr.)", "generation": "III", "givenName": "Ann", "homeAddress": place("Uppsala"), "homePhones": ["+46 18 1"],
        "imAddresses": ["sip:ann@x.test"], "initials": "A.L.", "jobTitle": "CFO", "manager": "Boss", "middleName": "Maria", "mobilePhone": "+46 70 1",
        "nickName": "Annie", "officeLocation": "4711", "otherAddress": place("Kiruna"), "personalNotes": "Line one\r\nLine two – ü",
        "profession": "Economist", "spouseName": "Lou", "surname": "Lee", "title": "Dr.", "yomiCompanyName": "c", "yomiGivenName": "g", "yomiSurname": "s",
        "singleValueExtendedProperties": [ { "id": "String 0x3A24", "value": "+46 8 fax" } ],
    });
    let made = graph.post(
        &format!("/users/{upn}/contactFolders/{}/contacts", id(&folder)?),
        &full,
    )?;
    let photo = format!("/users/{upn}/contacts/{}/photo/$value", id(&made)?);
    graph.put_as(
        &photo,
        "image/png",
        b"\x89PNG\r\n\x1a\nno picture at all".to_vec(),
    )?;
    graph.post(
        &format!("/users/{upn}/contacts"),
        &json!({ "companyName": "A firm", "businessPhones": ["1"] }),
    )?;
    Ok(())
}

fn tasks(graph: &Graph, upn: &str) -> Result<()> {
    let list = graph.post(
        &format!("/users/{upn}/todo/lists"),
        &json!({ "displayName": "Trip" }),
    )?;
    let tasks = format!("/users/{upn}/todo/lists/{}/tasks", id(&list)?);
    let made = graph.post(
        &tasks,
        &json!({
            "title": "Book flights", "body": { "contentType": "html", "content": "<html><body><p>Two</p></body></html>" }, "importance": "high",
            "status": "inProgress", "categories": ["Red category"], "isReminderOn": true,
            "reminderDateTime": at("2036-03-01T09:00:00", BERLIN), "dueDateTime": at("2036-03-02T00:00:00", BERLIN),
            "startDateTime": at("2036-02-01T00:00:00", BERLIN),
            "recurrence": { "pattern": { "type": "daily", "interval": 2 }, "range": { "type": "endDate", "startDate": "2036-03-02", "endDate": "2036-04-01" } },
            "linkedResources": [ { "applicationName": "Mail", "displayName": "The offer", "externalId": "o1", "webUrl": "https://offer.test/1" } ],
            "extensions": [ { "@odata.type": "#microsoft.graph.openTypeExtension", "extensionName": "test.other.program", "level": 3 } ],
        }),
    )?;
    let task = format!("{tasks}/{}", id(&made)?);
    for step in [
        json!({ "displayName": "Compare", "isChecked": true }),
        json!({ "displayName": "Pay" }),
    ] {
        graph.post(&format!("{task}/checklistItems"), &step)?;
    }
    graph.post(
        &format!("{task}/attachments"),
        &json!({ "@odata.type": "#microsoft.graph.taskFileAttachment", "name": "offer.txt", "contentType": "text/plain",
                 "contentBytes": STANDARD.encode("cheap") }),
    )?;
    for other in [
        json!({ "title": "Too late to be reminded of", "isReminderOn": true, "reminderDateTime": at("2020-01-01T09:00:00", "UTC") }),
        json!({ "title": "Done again and again", "status": "completed", "completedDateTime": at("2026-01-05T00:00:00", "UTC"),
                "dueDateTime": at("2026-01-05T00:00:00", "UTC"),
                "recurrence": { "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"] }, "range": { "type": "noEnd", "startDate": "2026-01-05" } } }),
    ] {
        graph.post(&tasks, &other)?;
    }
    Ok(())
}

fn settings(graph: &Graph, upn: &str) -> Result<()> {
    graph.patch(
        &format!("/users/{upn}/mailboxSettings"),
        &json!({
            "timeZone": "Tokyo Standard Time", "timeFormat": "HH:mm:ss", "dateFormat": "yyyy-MM-dd", "language": { "locale": "de-DE" },
            "delegateMeetingMessageDeliveryOptions": "sendToDelegateAndPrincipal",
            "workingHours": { "daysOfWeek": ["monday", "saturday"], "startTime": "07:00:00.0000000", "endTime": "15:00:00.0000000",
                              "timeZone": { "name": "Tokyo Standard Time" } },
            "automaticRepliesSetting": { "status": "scheduled", "externalAudience": "all", "internalReplyMessage": "<p>in</p>",
                                         "externalReplyMessage": "<p>out</p>", "scheduledStartDateTime": at("2036-07-01T00:00:00", "UTC"),
                                         "scheduledEndDateTime": at("2036-07-20T00:00:00", "UTC") },
        }),
    )?;
    graph.post(
        &format!("/users/{upn}/outlook/masterCategories"),
        &json!({ "displayName": "Fidelity", "color": "preset9" }),
    )?;
    Ok(())
}

fn files(graph: &Graph, upn: &str, colleague: &str) -> Result<()> {
    let root = format!("/users/{upn}/drive/root");
    let made = graph.put(
        &format!("{root}:/Reports/2026/plan.txt:/content"),
        b"the plan".to_vec(),
    )?;
    let drive = made["parentReference"]["driveId"]
        .as_str()
        .context("no drive")?;
    let item = format!("/drives/{drive}/items/{}", id(&made)?);
    graph.patch(
        &item,
        &json!({ "fileSystemInfo": { "createdDateTime": "2019-01-02T03:04:05Z", "lastModifiedDateTime": "2020-02-03T04:05:06Z" } }),
    )?;
    graph.post(
        &format!("{item}/invite"),
        &json!({ "recipients": [ { "email": colleague } ], "roles": ["write"], "requireSignIn": true, "sendInvitation": false }),
    )?;
    graph.post(
        &format!("{item}/createLink"),
        &json!({ "type": "view", "scope": "organization" }),
    )?;
    graph.put(&format!("{root}:/Reports/empty.txt:/content"), Vec::new())?;
    Ok(())
}

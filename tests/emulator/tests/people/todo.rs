//! To Do: lists, tasks and what hangs on them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, id, ids};

async fn list(graph: &Graph) -> String {
    let made = graph
        .make(
            &format!("{ALICE}/todo/lists"),
            json!({"displayName": "Own"}),
        )
        .await;
    format!("{ALICE}/todo/lists/{}/tasks", id(&made))
}

#[tokio::test]
async fn everybody_has_two_lists_that_stay() {
    let graph = Graph::new();
    let lists = format!("{ALICE}/todo/lists");
    let (all, _) = graph.all(&format!("{lists}?$top=2")).await;
    let known = |name: &str| all.iter().find(|l| l["wellknownListName"] == name).unwrap();
    let (default, flagged) = (known("defaultList"), known("flaggedEmails"));
    assert!(
        all.len() > 3
            && all
                .iter()
                .all(|l| l["isOwner"] == true && l["isShared"] == false)
    );
    graph
        .delete(&format!("{lists}/{}", id(default)))
        .await
        .expect(400);
    graph
        .patch(
            &format!("{lists}/{}", id(default)),
            json!({"displayName": "x"}),
        )
        .await
        .expect(400);
    assert!(
        graph
            .all(&format!("{lists}/{}/tasks", id(flagged)))
            .await
            .0
            .is_empty()
    );
    graph
        .post(
            &format!("{lists}/{}/tasks", id(flagged)),
            json!({"title": "x"}),
        )
        .await
        .expect(400);

    let made = graph.make(&lists, json!({"displayName": "Own"})).await;
    let twin = graph.make(&lists, json!({"displayName": "Own"})).await;
    assert_ne!(made["id"], twin["id"], "names may be the same");
    let at = format!("{lists}/{}", id(&made));
    assert_eq!(
        graph
            .patch(&at, json!({"displayName": "Renamed"}))
            .await
            .expect(200)
            .json()["displayName"],
        "Renamed"
    );
    graph
        .post(&lists, json!({"displayName": ""}))
        .await
        .expect(400);
    graph
        .wrong(
            Method::POST,
            &lists,
            json!({"displayName": "x", "colour": "red"}),
        )
        .await
        .expect(400);
    graph.delete(&at).await.expect(204);
    graph.delete(&at).await.expect(404);
    graph.get(&format!("{at}/tasks")).await.expect(404);
    graph.get(&format!("{ALICE}/todo")).await.expect(200);
    graph.finish();
}

#[tokio::test]
async fn a_task_keeps_every_property() {
    let graph = Graph::new();
    let tasks = list(&graph).await;
    let zoned = |day: &str| json!({"dateTime": format!("2026-12-{day}T08:30:00.0000000"), "timeZone": "W. Europe Standard Time"});
    let whole = json!({"title": "Gießen", "body": {"content": "<p>x</p>", "contentType": "html"}, "importance": "high", "status": "inProgress",
        "categories": ["Red category"], "isReminderOn": true, "reminderDateTime": zoned("03"), "startDateTime": zoned("02"), "dueDateTime": zoned("04"),
        "recurrence": {"pattern": {"type": "weekly", "interval": 2, "month": 0, "dayOfMonth": 0, "daysOfWeek": ["friday"], "firstDayOfWeek": "monday", "index": "first"},
            "range": {"type": "endDate", "startDate": "2026-12-04", "endDate": "2027-02-01", "recurrenceTimeZone": "UTC", "numberOfOccurrences": 0}}});
    let made = graph.make(&tasks, whole.clone()).await;
    let at = format!("{tasks}/{}", id(&made));
    let read = graph.get(&at).await.expect(200).json();
    for (name, value) in whole.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    assert_eq!(
        read["createdDateTime"].as_str().unwrap().len(),
        "2026-03-01T09:00:05.1234567Z".len()
    );
    // What was read can be written again.
    let mut again = read.clone();
    again
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.contains('@'));
    let copy = graph.make(&tasks, again).await;
    assert_eq!(copy["recurrence"], read["recurrence"]);

    let changed = graph.patch(&at, json!({"title": "Neu", "dueDateTime": null, "body": {"content": "y", "contentType": "text"}})).await.expect(200).json();
    assert_eq!(
        (&changed["title"], &changed["dueDateTime"]),
        (&json!("Neu"), &Value::Null)
    );
    assert_ne!(changed["@odata.etag"], read["@odata.etag"]);
    let stale = graph
        .request(Method::PATCH, &at)
        .header("if-match", read["@odata.etag"].as_str().unwrap())
        .json(&json!({"title": "x"}));
    graph.send(stale).await.expect(412);
    graph.patch(&at, json!({"title": ""})).await.expect(400);
    for bad in [
        json!({"status": "done"}),
        json!({"dueDateTime": {"dateTime": "soon", "timeZone": "UTC"}}),
        json!({"subject": "x"}),
        json!({"recurrence": {"pattern": {"type": "hourly"}}}),
    ] {
        graph.wrong(Method::PATCH, &at, bad).await.expect(400);
    }
    graph
        .post(&tasks, json!({"importance": "low"}))
        .await
        .expect(400);
    let (found, _) = graph
        .all(&format!(
            "{tasks}?$filter=status eq 'inProgress'&$orderby=title desc&$select=title"
        ))
        .await;
    assert_eq!(
        found
            .iter()
            .map(|t| t["title"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["Neu", "Gießen"]
    );
    graph.delete(&at).await.expect(204);
    assert_eq!(
        graph.get(&at).await.expect(404).codes().0,
        "ErrorItemNotFound"
    );
    graph.finish();
}

#[tokio::test]
async fn completing_tells_when_and_spawns_the_next_of_a_series() {
    let graph = Graph::new();
    let tasks = list(&graph).await;
    let once = graph.make(&tasks, json!({"title": "once"})).await;
    let at = format!("{tasks}/{}", id(&once));
    let done = graph
        .patch(&at, json!({"status": "completed"}))
        .await
        .expect(200)
        .json();
    assert_eq!(done["completedDateTime"]["timeZone"], "UTC");
    let open = graph
        .patch(&at, json!({"status": "notStarted"}))
        .await
        .expect(200)
        .json();
    assert!(open["completedDateTime"].is_null());
    graph.delete(&at).await.expect(204);

    let due = json!({"dateTime": "2026-01-31T00:00:00.0000000", "timeZone": "UTC"});
    let series = graph
        .make(&tasks, json!({"title": "monthly", "dueDateTime": due, "reminderDateTime": {"dateTime": "2026-01-30T09:00:00", "timeZone": "UTC"},
            "checklistItems": [{"displayName": "a", "isChecked": true}],
            "recurrence": {"pattern": {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}, "range": {"type": "numbered", "numberOfOccurrences": 2}}}))
        .await;
    let done = graph
        .patch(
            &format!("{tasks}/{}", id(&series)),
            json!({"status": "completed"}),
        )
        .await
        .expect(200)
        .json();
    assert!(done["recurrence"].is_null() && done["status"] == "completed");
    let (all, _) = graph.all(&format!("{tasks}?$expand=checklistItems")).await;
    assert_eq!(all.len(), 2);
    let next = &all[1];
    assert_eq!(
        (&next["status"], &next["title"]),
        (&json!("notStarted"), &json!("monthly"))
    );
    assert_eq!(
        next["dueDateTime"]["dateTime"],
        "2026-02-28T00:00:00.0000000"
    );
    assert_eq!(
        next["reminderDateTime"]["dateTime"],
        "2026-02-27T09:00:00.0000000"
    );
    assert_eq!(next["checklistItems"][0]["isChecked"], false);
    assert_eq!(next["recurrence"]["range"]["numberOfOccurrences"], 1);
    // It was the last.
    graph
        .patch(
            &format!("{tasks}/{}", id(next)),
            json!({"status": "completed"}),
        )
        .await
        .expect(200);
    assert_eq!(graph.all(&tasks).await.0.len(), 2);
    graph.finish();
}

#[tokio::test]
async fn steps_links_and_extensions() {
    let graph = Graph::new();
    let tasks = list(&graph).await;
    let made = graph
        .make(&tasks, json!({"title": "x", "linkedResources": [{"applicationName": "A", "displayName": "D", "externalId": "1", "webUrl": "https://x.test"}]}))
        .await;
    let at = format!("{tasks}/{}", id(&made));
    let step = graph
        .make(
            &format!("{at}/checklistItems"),
            json!({"displayName": "one"}),
        )
        .await;
    assert_eq!(step["isChecked"], false);
    let step_at = format!("{at}/checklistItems/{}", id(&step));
    let checked = graph
        .patch(&step_at, json!({"isChecked": true}))
        .await
        .expect(200)
        .json();
    assert!(checked["checkedDateTime"].is_string());
    let open = graph
        .patch(&step_at, json!({"isChecked": false, "displayName": "uno"}))
        .await
        .expect(200)
        .json();
    assert!(open["checkedDateTime"].is_null() && open["displayName"] == "uno");
    graph
        .post(&format!("{at}/checklistItems"), json!({"isChecked": true}))
        .await
        .expect(400);
    graph
        .wrong(
            Method::POST,
            &format!("{at}/linkedResources"),
            json!({"url": "x"}),
        )
        .await
        .expect(400);
    let link = graph
        .make(
            &format!("{at}/linkedResources"),
            json!({"displayName": "second"}),
        )
        .await;
    graph.make(&format!("{at}/extensions"), json!({"@odata.type": "microsoft.graph.openTypeExtension", "extensionName": "org.x", "n": 1})).await;
    let whole = graph
        .get(&format!(
            "{at}?$expand=checklistItems,linkedResources,extensions"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(whole["checklistItems"].as_array().unwrap().len(), 1);
    assert_eq!(whole["linkedResources"][0]["externalId"], "1");
    assert_eq!(whole["extensions"][0]["n"], 1);
    assert_ne!(whole["@odata.etag"], made["@odata.etag"]);
    graph.delete(&step_at).await.expect(204);
    graph
        .delete(&format!("{at}/linkedResources/{}", id(&link)))
        .await
        .expect(204);
    assert!(
        graph
            .all(&format!("{at}/checklistItems"))
            .await
            .0
            .is_empty()
    );
    assert_eq!(graph.all(&format!("{at}/linkedResources")).await.0.len(), 1);
    graph
        .get(&format!("{at}?$expand=subtasks"))
        .await
        .expect(400);
    graph.finish();
}

#[tokio::test]
async fn files_are_attached_at_once_or_in_pieces() {
    let graph = Graph::new();
    let tasks = list(&graph).await;
    let made = graph.make(&tasks, json!({"title": "x"})).await;
    let at = format!("{tasks}/{}", id(&made));
    let files = format!("{at}/attachments");
    let small = json!({"@odata.type": "#microsoft.graph.taskFileAttachment", "name": "a.txt", "contentType": "text/plain", "contentBytes": STANDARD.encode("hello")});
    let posted = graph.make(&files, small).await;
    assert_eq!(posted["size"], 5);
    let (listed, _) = graph.all(&files).await;
    assert!(listed[0].get("contentBytes").is_none());
    let read = graph
        .get(&format!("{files}/{}", id(&posted)))
        .await
        .expect(200)
        .json();
    assert_eq!(read["contentBytes"], STANDARD.encode("hello"));
    assert_eq!(
        graph
            .get(&format!("{files}/{}/$value", id(&posted)))
            .await
            .expect(200)
            .bytes,
        b"hello"
    );
    let big = json!({"@odata.type": "#microsoft.graph.taskFileAttachment", "name": "b", "contentBytes": "AAAA".repeat(1 << 20)});
    graph.post(&files, big).await.expect(413);
    graph
        .wrong(
            Method::POST,
            &files,
            json!({"name": "c", "contentBytes": ""}),
        )
        .await
        .expect(400);

    let session = |size: u64| json!({"attachmentInfo": {"attachmentType": "file", "name": "large.bin", "size": size}});
    graph
        .post(&format!("{files}/createUploadSession"), session(26 << 20))
        .await
        .expect(400);
    let large: Vec<u8> = (0..5_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let open = graph
        .make(
            &format!("{files}/createUploadSession"),
            session(large.len() as u64),
        )
        .await;
    let url = open["uploadUrl"].as_str().unwrap().to_owned();
    let put = |from: usize, to: usize| {
        let range = format!("bytes {from}-{}/{}", to - 1, large.len());
        graph
            .request(Method::PUT, &format!("{url}/content"))
            .header("content-range", range)
            .header("content-type", "application/octet-stream")
            .body(large[from..to].to_vec())
    };
    let second = 4 << 20;
    graph.send(put(second, large.len())).await.expect(416);
    let more = graph.send(put(0, second)).await.expect(200).json();
    assert_eq!(more["nextExpectedRanges"], json!([second.to_string()]));
    assert_eq!(
        graph.get(&url).await.expect(200).json()["nextExpectedRanges"],
        json!([second.to_string()])
    );
    let end = graph.send(put(second, large.len())).await.expect(201);
    let location = end.header("location");
    assert_eq!(
        graph
            .get(&format!("{location}/$value"))
            .await
            .expect(200)
            .bytes,
        large
    );
    graph.get(&url).await.expect(404);
    let dropped = graph
        .make(&format!("{files}/createUploadSession"), session(10))
        .await;
    graph
        .delete(dropped["uploadUrl"].as_str().unwrap())
        .await
        .expect(204);
    assert_eq!(graph.get(&at).await.json()["hasAttachments"], true);
    let (listed, _) = graph.all(&files).await;
    for file in ids(&listed) {
        graph.delete(&format!("{files}/{file}")).await.expect(204);
    }
    assert_eq!(graph.get(&at).await.json()["hasAttachments"], false);
    graph.finish();
}

#[tokio::test]
async fn generated_tasks_use_what_there_is() {
    let graph = Graph::new();
    let (lists, _) = graph.all(&format!("{ALICE}/todo/lists")).await;
    let mut seen = std::collections::HashSet::new();
    for list in ids(&lists) {
        let (tasks, _) = graph.all(&format!("{ALICE}/todo/lists/{list}/tasks?$expand=checklistItems,linkedResources,attachments,extensions")).await;
        for task in &tasks {
            for (name, value) in task.as_object().unwrap() {
                if !value.is_null() && *value != json!([]) {
                    seen.insert(name.clone());
                }
            }
            seen.insert(task["status"].as_str().unwrap().to_owned());
        }
    }
    for name in [
        "recurrence",
        "dueDateTime",
        "reminderDateTime",
        "completedDateTime",
        "checklistItems",
        "attachments",
        "completed",
        "deferred",
    ] {
        assert!(seen.contains(name), "{name}: {seen:?}");
    }
    graph.finish();
}

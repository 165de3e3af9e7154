//! Mailbox settings, categories, rules and overrides.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, id, ids};

#[tokio::test]
async fn settings_are_read_whole_and_by_name() {
    let graph = Graph::with(|o| o.accounts = 3);
    let settings = format!("{ALICE}/mailboxSettings");
    let all = graph.get(&settings).await.expect(200).json();
    let archive = graph
        .get(&format!("{ALICE}/mailFolders/archive"))
        .await
        .json();
    assert_eq!(
        (&all["archiveFolder"], &all["userPurpose"]),
        (&archive["id"], &json!("user"))
    );
    let part = graph
        .get(&format!("{settings}/automaticRepliesSetting"))
        .await
        .expect(200)
        .json();
    assert_eq!(part["status"], all["automaticRepliesSetting"]["status"]);
    for name in [
        "timeZone",
        "dateFormat",
        "timeFormat",
        "userPurpose",
        "archiveFolder",
    ] {
        let part = graph
            .get(&format!("{settings}/{name}"))
            .await
            .expect(200)
            .json();
        assert_eq!(part["value"], all[name], "{name}");
    }
    for name in ["language", "workingHours"] {
        graph.get(&format!("{settings}/{name}")).await.expect(200);
    }
    let few = graph
        .get(&format!("{settings}?$select=timeZone"))
        .await
        .expect(200)
        .json();
    assert!(few["language"].is_null() && few["timeZone"].is_string());
    graph
        .wrong(Method::GET, &format!("{settings}/colour"), Value::Null)
        .await
        .expect(400);
    let user = graph
        .get(&format!("{ALICE}?$select=mailboxSettings"))
        .await
        .expect(200)
        .json();
    assert_eq!(user["mailboxSettings"]["userPurpose"], "user");
    // Somebody's working hours are in a zone of their own.
    let carol = graph
        .get("/users/carol@contoso.com/mailboxSettings/workingHours")
        .await
        .expect(200)
        .json();
    assert_eq!(
        carol["timeZone"]["@odata.type"],
        "#microsoft.graph.customTimeZone"
    );
    graph.finish();
}

#[tokio::test]
async fn settings_are_changed_in_part() {
    let graph = Graph::new();
    let settings = format!("{ALICE}/mailboxSettings");
    let before = graph.get(&settings).await.json();
    let at = |day: u32| json!({"dateTime": format!("2026-12-{day}T07:00:00"), "timeZone": "UTC"});
    let changed = graph
        .patch(&settings, json!({"automaticRepliesSetting": {"status": "Scheduled", "internalReplyMessage": "<p>away</p>", "scheduledStartDateTime": at(20), "scheduledEndDateTime": at(28)},
            "timeZone": "Tokyo Standard Time", "language": {"locale": "ja-JP"}, "workingHours": {"startTime": "09:30:00"},
            "delegateMeetingMessageDeliveryOptions": "sendToDelegateAndPrincipal", "dateFormat": "yyyy/MM/dd", "timeFormat": "HH:mm"}))
        .await
        .expect(200)
        .json();
    assert_eq!(changed["automaticRepliesSetting"]["status"], "scheduled");
    assert_eq!(
        changed["automaticRepliesSetting"]["externalAudience"],
        before["automaticRepliesSetting"]["externalAudience"]
    );
    assert_eq!(
        changed["automaticRepliesSetting"]["scheduledEndDateTime"]["dateTime"],
        "2026-12-28T07:00:00.0000000"
    );
    assert_eq!(changed["workingHours"]["startTime"], "09:30:00.0000000");
    assert_eq!(
        changed["workingHours"]["daysOfWeek"],
        before["workingHours"]["daysOfWeek"]
    );
    let again = graph.get(&settings).await.json();
    assert_eq!(
        (&again["timeZone"], &again["language"]["locale"]),
        (&json!("Tokyo Standard Time"), &json!("ja-JP"))
    );
    // What was read can be written again, but for the purpose of the mailbox.
    let mut whole = again.clone();
    whole
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.contains('@') && name != "userPurpose");
    graph.patch(&settings, whole).await.expect(200);
    for bad in [
        json!({"userPurpose": "room"}),
        json!({"automaticRepliesSetting": {"scheduledEndDateTime": at(10)}}),
        json!({"archiveFolder": "nowhere"}),
    ] {
        assert!(
            graph.patch(&settings, bad.clone()).await.status >= 400,
            "{bad}"
        );
    }
    for bad in [
        json!({"automaticRepliesSetting": {"status": "maybe"}}),
        json!({"workingHours": {"startTime": "late"}}),
        json!({"theme": "dark"}),
    ] {
        let answer = graph.wrong(Method::PATCH, &settings, bad.clone()).await;
        assert!(answer.status >= 400, "{bad}");
    }
    assert_eq!(
        graph.get(&settings).await.json(),
        again,
        "a refused change leaves all as it was"
    );
    graph.finish();
}

#[tokio::test]
async fn categories_are_named_once_and_for_all() {
    let graph = Graph::new();
    let categories = format!("{ALICE}/outlook/masterCategories");
    let (all, _) = graph.all(&categories).await;
    assert!(
        all.iter()
            .any(|c| c["displayName"] == "Red category" && c["color"] == "preset0")
    );
    let made = graph
        .make(
            &categories,
            json!({"displayName": "Projekt Ä", "color": "preset9"}),
        )
        .await;
    assert_eq!(
        graph
            .post(&categories, json!({"displayName": "PROJEKT ä"}))
            .await
            .expect(409)
            .codes()
            .0,
        "CategoryNameDuplicate"
    );
    let at = format!("{categories}/{}", id(&made));
    assert_eq!(
        graph
            .patch(&at, json!({"color": "preset24"}))
            .await
            .expect(200)
            .json()["color"],
        "preset24"
    );
    graph
        .patch(&at, json!({"displayName": "x"}))
        .await
        .expect(400);
    for bad in [json!({"color": "preset25"}), json!({"colour": "red"})] {
        graph.wrong(Method::PATCH, &at, bad).await.expect(400);
    }
    assert_eq!(
        graph.get(&at).await.expect(200).json()["displayName"],
        "Projekt Ä"
    );
    graph.delete(&at).await.expect(204);
    graph.get(&at).await.expect(404);
    graph.finish();
}

#[tokio::test]
async fn rules_of_the_inbox() {
    let graph = Graph::new();
    let rules = format!("{ALICE}/mailFolders/inbox/messageRules");
    let (all, _) = graph.all(&rules).await;
    let order: Vec<i64> = all
        .iter()
        .map(|r| r["sequence"].as_i64().unwrap())
        .collect();
    assert!(order.is_sorted() && all.len() == 4);
    let fixed = all.iter().find(|r| r["isReadOnly"] == true).unwrap();
    graph
        .patch(
            &format!("{rules}/{}", id(fixed)),
            json!({"isEnabled": false}),
        )
        .await
        .expect(403);

    let folder = graph
        .make(
            &format!("{ALICE}/mailFolders"),
            json!({"displayName": "Sorted"}),
        )
        .await;
    let person = json!([{"emailAddress": {"name": "P", "address": "p@x.test"}}]);
    let predicates = json!({
        "bodyContains": ["a"], "bodyOrSubjectContains": ["b"], "categories": ["Red category"], "fromAddresses": person, "hasAttachments": true, "headerContains": ["c"],
        "importance": "high", "isApprovalRequest": true, "isAutomaticForward": true, "isAutomaticReply": true, "isEncrypted": true, "isMeetingRequest": true,
        "isMeetingResponse": true, "isNonDeliveryReport": true, "isPermissionControlled": true, "isReadReceipt": true, "isSigned": true, "isVoicemail": true,
        "messageActionFlag": "replyToAll", "notSentToMe": true, "recipientContains": ["d"], "senderContains": ["e"], "sensitivity": "confidential", "sentCcMe": true,
        "sentOnlyToMe": true, "sentToAddresses": person, "sentToMe": true, "sentToOrCcMe": true, "subjectContains": ["f"], "withinSizeRange": {"minimumSize": 1, "maximumSize": 9}});
    let actions = json!({"assignCategories": ["x"], "copyToFolder": folder["id"], "delete": false, "forwardAsAttachmentTo": person, "forwardTo": person, "markAsRead": true,
        "markImportance": "low", "moveToFolder": folder["id"], "permanentDelete": false, "redirectTo": person, "stopProcessingRules": true});
    let made = graph.make(&rules, json!({"displayName": "All", "sequence": 2, "isEnabled": false, "conditions": predicates, "exceptions": predicates, "actions": actions})).await;
    let at = format!("{rules}/{}", id(&made));
    let read = graph.get(&at).await.expect(200).json();
    assert_eq!(
        (&read["conditions"], &read["exceptions"], &read["actions"]),
        (&predicates, &predicates, &actions)
    );
    assert_eq!(
        (&read["hasError"], &read["isReadOnly"]),
        (&json!(false), &json!(false))
    );
    let changed = graph
        .patch(
            &at,
            json!({"actions": {"delete": true}, "exceptions": null}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&changed["actions"], &changed["exceptions"]),
        (&json!({"delete": true}), &Value::Null)
    );
    for bad in [json!({"actions": {}}), json!({"sequence": 0})] {
        graph.patch(&at, bad).await.expect(400);
    }
    for bad in [
        json!({"conditions": {"isSpam": true}}),
        json!({"conditions": {"importance": "urgent"}}),
    ] {
        graph.wrong(Method::PATCH, &at, bad).await.expect(400);
    }
    graph
        .post(&rules, json!({"displayName": "x"}))
        .await
        .expect(400);
    graph
        .post(
            &rules,
            json!({"displayName": "x", "actions": {"moveToFolder": "AAMkAnowhere"}}),
        )
        .await
        .expect(404);
    // A rule whose folder is gone is in error.
    let lost = graph
        .make(
            &rules,
            json!({"displayName": "lost", "actions": {"moveToFolder": folder["id"]}}),
        )
        .await;
    graph
        .post(
            &format!("{ALICE}/mailFolders/{}/permanentDelete", id(&folder)),
            Value::Null,
        )
        .await
        .expect(204);
    assert_eq!(
        graph.get(&format!("{rules}/{}", id(&lost))).await.json()["hasError"],
        true
    );
    graph.delete(&at).await.expect(204);
    graph.get(&at).await.expect(404);
    graph
        .get(&format!("{ALICE}/mailFolders/archive/messageRules"))
        .await
        .expect(400);
    graph.finish();
}

#[tokio::test]
async fn overrides_of_the_focused_inbox() {
    let graph = Graph::new();
    let overrides = format!("{ALICE}/inferenceClassification/overrides");
    let (all, _) = graph.all(&overrides).await;
    assert_eq!(all.len(), 2);
    let made = graph.make(&overrides, json!({"classifyAs": "focused", "senderEmailAddress": {"name": "S", "address": "s@x.test"}})).await;
    let same = graph.make(&overrides, json!({"classifyAs": "other", "senderEmailAddress": {"name": "New", "address": "S@x.test"}})).await;
    assert_eq!(
        (&same["id"], &same["classifyAs"]),
        (&made["id"], &json!("other"))
    );
    let at = format!("{overrides}/{}", id(&made));
    assert_eq!(
        graph
            .patch(&at, json!({"classifyAs": "focused"}))
            .await
            .expect(200)
            .json()["classifyAs"],
        "focused"
    );
    graph
        .wrong(Method::PATCH, &at, json!({"classifyAs": "spam"}))
        .await
        .expect(400);
    graph
        .post(&overrides, json!({"classifyAs": "focused"}))
        .await
        .expect(400);
    graph.delete(&at).await.expect(204);
    assert_eq!(ids(&graph.all(&overrides).await.0), ids(&all));
    graph.finish();
}

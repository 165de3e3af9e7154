//! Contact folders, contacts, photos.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALICE, Graph, id, ids};

#[tokio::test]
async fn the_default_folder_has_an_alias_and_is_in_no_list() {
    let graph = Graph::with(|o| o.contacts = 300);
    let folders = format!("{ALICE}/contactFolders");
    let default = graph
        .get(&format!("{folders}/contacts"))
        .await
        .expect(200)
        .json();
    let root = graph
        .get(&format!("{ALICE}/mailFolders/msgfolderroot"))
        .await
        .expect(200)
        .json();
    assert_eq!(default["displayName"], "Contacts");
    assert_eq!(default["parentFolderId"], root["id"]);
    let (visible, _) = graph.all(&format!("{folders}?$top=2")).await;
    assert_eq!(visible.len(), 3);
    assert!(visible.iter().all(|f| f["parentFolderId"] == default["id"]));
    assert!(!ids(&visible).contains(&default["id"].as_str().unwrap()));
    let (all, _) = graph
        .all(&format!("{folders}?includeHiddenFolders=true&$top=50"))
        .await;
    assert!(all.iter().any(|f| f["displayName"] == "Recipient Cache"));
    assert_eq!(
        graph
            .get(&format!("{folders}?$filter=displayName eq 'Customers'"))
            .await
            .json()["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Nested ones, two levels down, with contacts of their own.
    let customers = visible
        .iter()
        .find(|f| f["displayName"] == "Customers")
        .unwrap();
    let (children, _) = graph
        .all(&format!("{folders}/{}/childFolders", id(customers)))
        .await;
    let (deeper, _) = graph
        .all(&format!(
            "{folders}/{}/childFolders/{}/childFolders",
            id(customers),
            id(&children[0])
        ))
        .await;
    assert_eq!(deeper[0]["displayName"], "Århus/Øst");
    let (contacts, _) = graph
        .all(&format!("{folders}/{}/contacts", id(&deeper[0])))
        .await;
    assert!(!contacts.is_empty());
    assert!(
        contacts
            .iter()
            .all(|c| c["parentFolderId"] == deeper[0]["id"])
    );
    // `/contacts` is the default folder alone.
    let (own, _) = graph.all(&format!("{ALICE}/contacts?$top=100")).await;
    assert!(own.iter().all(|c| c["parentFolderId"] == default["id"]));
    let count = graph
        .get(&format!("{ALICE}/contacts/$count"))
        .await
        .expect(200);
    assert_eq!(
        String::from_utf8(count.bytes).unwrap(),
        own.len().to_string()
    );
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x3613')";
    let class = graph
        .get(&format!("{folders}/contacts?{expand}"))
        .await
        .json();
    assert_eq!(
        class["singleValueExtendedProperties"][0]["value"],
        "IPF.Contact"
    );
    graph.finish();
}

#[tokio::test]
async fn folders_are_made_renamed_and_deleted() {
    let graph = Graph::new();
    let folders = format!("{ALICE}/contactFolders");
    let made = graph.make(&folders, json!({"displayName": "New/er"})).await;
    let at = format!("{folders}/{}", id(&made));
    assert_eq!(
        graph
            .post(&folders, json!({"displayName": "NEW/ER"}))
            .await
            .expect(409)
            .codes()
            .0,
        "ErrorFolderExists"
    );
    let child = graph.make(&format!("{at}/childFolders"), json!({"displayName": "Child",
        "singleValueExtendedProperties": [{"id": "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name marker", "value": "1"}]})).await;
    assert_eq!(child["parentFolderId"], made["id"]);
    let other = graph
        .make(
            &folders,
            json!({"displayName": "Child", "parentFolderId": id(&child)}),
        )
        .await;
    assert_eq!(other["parentFolderId"], child["id"]);
    let renamed = graph
        .patch(&at, json!({"displayName": "Renamed"}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&renamed["displayName"], &renamed["id"]),
        (&json!("Renamed"), &made["id"])
    );
    assert_eq!(
        graph
            .patch(&at, json!({"parentFolderId": id(&child)}))
            .await
            .expect(400)
            .codes()
            .0,
        "ErrorInvalidPropertySet"
    );
    for bad in [json!({}), json!({"displayName": ""})] {
        graph.post(&folders, bad).await.expect(400);
    }
    let hidden = json!({"displayName": "x", "isHidden": true});
    graph
        .wrong(Method::POST, &folders, hidden)
        .await
        .expect(400);
    let contact = graph
        .make(
            &format!("{folders}/{}/contacts", id(&child)),
            json!({"givenName": "A"}),
        )
        .await;
    graph
        .delete(&format!("{folders}/contacts"))
        .await
        .expect(400);
    graph.delete(&at).await.expect(204);
    for gone in [
        at.clone(),
        format!("{folders}/{}", id(&other)),
        format!("{ALICE}/contacts/{}", id(&contact)),
    ] {
        assert_eq!(
            graph.get(&gone).await.expect(404).codes().0,
            "ErrorItemNotFound"
        );
    }
    graph.delete(&at).await.expect(404);
    let again = graph
        .make(&folders, json!({"displayName": "Renamed"}))
        .await;
    graph
        .post(
            &format!("{folders}/{}/permanentDelete", id(&again)),
            Value::Null,
        )
        .await
        .expect(204);
    assert_eq!(
        graph
            .get(&format!("{folders}/nonsense"))
            .await
            .expect(400)
            .codes()
            .0,
        "ErrorInvalidIdMalformed"
    );
    graph.finish();
}

/// A contact with every property that can be written.
fn whole() -> Value {
    let address = |n: u32| json!({"street": format!("{n} Road\r\nFloor 2"), "city": "Århus", "state": "X", "postalCode": "8000", "countryOrRegion": "Danmark"});
    json!({
        "assistantName": "Asst", "birthday": "1974-07-22T11:59:00Z", "businessAddress": address(1), "businessHomePage": "https://x.test",
        "businessPhones": ["+45 1", "+45 2"], "categories": ["Red category"], "children": ["Kid", "Kid 2"], "companyName": "株式会社富士",
        "department": "R&D", "displayName": "Dr. 山田 太郎", "fileAs": "Yamada", "generation": "Jr.", "givenName": "太郎", "homeAddress": address(2),
        "emailAddresses": [{"name": "One", "address": "1@x.test"}, {"name": "Two", "address": "2@x.test"}, {"name": "Three", "address": "3@x.test"}],
        "homePhones": ["+45 3"], "imAddresses": ["sip:x@x.test"], "initials": "T.Y.", "jobTitle": "CFO", "manager": "Boss", "middleName": "M",
        "mobilePhone": "+45 4", "nickName": "Nick", "officeLocation": "B/12", "otherAddress": address(3), "personalNotes": "line\r\n\r\nline",
        "profession": "Judge", "spouseName": "花子", "surname": "山田", "title": "Dr.", "yomiCompanyName": "フジ", "yomiGivenName": "タロウ", "yomiSurname": "ヤマダ",
    })
}

#[tokio::test]
async fn a_contact_keeps_every_property() {
    let graph = Graph::new();
    let contacts = format!("{ALICE}/contacts");
    let made = graph.make(&contacts, whole()).await;
    let at = format!("{contacts}/{}", id(&made));
    let read = graph.get(&at).await.expect(200).json();
    for (name, value) in whole().as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    assert_eq!(read["primaryEmailAddress"]["address"], "1@x.test");
    assert_eq!(read["tertiaryEmailAddress"]["address"], "3@x.test");
    assert_eq!(
        read["@odata.etag"],
        format!("W/\"{}\"", read["changeKey"].as_str().unwrap())
    );

    // What was read, less what the service sets, can be written again and is the same.
    let mut again = read.clone();
    for name in [
        "id",
        "changeKey",
        "parentFolderId",
        "createdDateTime",
        "lastModifiedDateTime",
    ] {
        assert_eq!(
            graph
                .post(&contacts, json!({"givenName": "x", name: read[name]}))
                .await
                .expect(400)
                .codes()
                .0,
            "ErrorInvalidPropertySet",
            "{name}"
        );
        again.as_object_mut().unwrap().remove(name);
    }
    again
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.contains('@'));
    let copy = graph.make(&contacts, again.clone()).await;
    for (name, value) in again.as_object().unwrap() {
        assert_eq!(&copy[name], value, "{name}");
    }

    let changed = graph.patch(&at, json!({"givenName": null, "children": [], "homeAddress": null, "secondaryEmailAddress": null, "jobTitle": "CEO"})).await.expect(200).json();
    assert_eq!(
        (
            &changed["givenName"],
            &changed["children"],
            &changed["homeAddress"]
        ),
        (&Value::Null, &json!([]), &json!({}))
    );
    assert_eq!(changed["emailAddresses"].as_array().unwrap().len(), 2);
    assert_eq!(changed["secondaryEmailAddress"]["address"], "3@x.test");
    assert_ne!(changed["changeKey"], read["changeKey"]);
    assert_eq!(changed["displayName"], read["displayName"]);
    let stale = graph
        .request(Method::PATCH, &at)
        .header("if-match", read["@odata.etag"].as_str().unwrap())
        .json(&json!({"title": "x"}));
    assert_eq!(
        graph.send(stale).await.expect(412).codes().0,
        "ErrorIrresolvableConflict"
    );
    for bad in [
        json!({"gender": "x"}),
        json!({"children": "x"}),
        json!({"birthday": "soon"}),
    ] {
        graph.wrong(Method::PATCH, &at, bad).await.expect(400);
    }
    let four: Vec<Value> = (0..4)
        .map(|n| json!({"address": format!("{n}@x")}))
        .collect();
    graph
        .post(&contacts, json!({"emailAddresses": four}))
        .await
        .expect(400);
    let huge = graph
        .post(&contacts, json!({"personalNotes": "x".repeat(5 << 20)}))
        .await
        .expect(413);
    assert!(huge.bytes.is_empty());
    graph
        .make(&contacts, json!({"personalNotes": "x".repeat(1 << 20)}))
        .await;

    graph.delete(&at).await.expect(204);
    graph.delete(&at).await.expect(404);
    let copy = format!("{contacts}/{}", id(&copy));
    graph
        .post(&format!("{copy}/permanentDelete"), Value::Null)
        .await
        .expect(204);
    assert_eq!(
        graph.get(&copy).await.expect(404).codes().0,
        "ErrorItemNotFound"
    );
    graph.finish();
}

#[tokio::test]
async fn a_contact_has_two_ids_and_missing_names_are_made_up() {
    let graph = Graph::new();
    let made = graph
        .make(
            &format!("{ALICE}/contacts"),
            json!({"givenName": "Ann", "surname": "Lee"}),
        )
        .await;
    assert_eq!(
        (&made["displayName"], &made["fileAs"]),
        (&json!("Ann Lee"), &json!("Lee, Ann"))
    );
    let at = format!("{ALICE}/contacts/{}", id(&made));
    let answer = graph.get_immutable(&at).await.expect(200);
    assert_eq!(
        answer.header("preference-applied"),
        "IdType=\"ImmutableId\""
    );
    let other = id(&answer.json());
    assert!(other.starts_with("AAkALg") && id(&made).starts_with("AAMkA"));
    let same = graph
        .get(&format!("{ALICE}/contacts/{other}"))
        .await
        .expect(200)
        .json();
    assert_eq!(same["id"], made["id"]);
    let scoped = format!("{ALICE}/contactFolders/contacts/contacts/{other}");
    graph.get(&scoped).await.expect(200);
    // It is no message, and in no other folder.
    assert_eq!(
        graph
            .get(&format!("{ALICE}/messages/{other}"))
            .await
            .expect(404)
            .codes()
            .0,
        "ErrorItemNotFound"
    );
    let folder = graph
        .make(
            &format!("{ALICE}/contactFolders"),
            json!({"displayName": "F"}),
        )
        .await;
    graph
        .get(&format!(
            "{ALICE}/contactFolders/{}/contacts/{other}",
            id(&folder)
        ))
        .await
        .expect(404);
    let translated = graph
        .post(&format!("{ALICE}/translateExchangeIds"), json!({"inputIds": [id(&made)], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}))
        .await
        .expect(200)
        .json();
    assert_eq!(translated["value"][0]["targetId"], other);
    graph.finish();
}

#[tokio::test]
async fn lists_page_select_filter_and_order() {
    let graph = Graph::with(|o| o.contacts = 200);
    let (all, _) = graph
        .all(&format!(
            "{ALICE}/contacts?$top=7&$select=displayName,mobilePhone"
        ))
        .await;
    assert_eq!(
        ids(&all).into_iter().collect::<HashSet<_>>().len(),
        all.len()
    );
    assert!(
        all.iter()
            .all(|c| c.as_object().unwrap().keys().all(|k| matches!(
                k.as_str(),
                "id" | "@odata.etag" | "displayName" | "mobilePhone"
            )))
    );
    assert_eq!(
        graph.get(&format!("{ALICE}/contacts")).await.json()["value"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(
        graph
            .get(&format!("{ALICE}/contacts?$select=fax"))
            .await
            .expect(400)
            .codes()
            .0,
        "RequestBroker--ParseUri"
    );
    let (sorted, _) = graph
        .all(&format!(
            "{ALICE}/contacts?$orderby=displayName&$select=displayName&$top=100"
        ))
        .await;
    let names: Vec<String> = sorted
        .iter()
        .map(|c| c["displayName"].as_str().unwrap().to_lowercase())
        .collect();
    assert!(names.is_sorted() && names.len() == all.len());
    let (roes, _) = graph
        .all(&format!(
            "{ALICE}/contacts?$filter=surname eq 'Roe'&$count=true"
        ))
        .await;
    assert!(!roes.is_empty() && roes.iter().all(|c| c["surname"] == "Roe"));
    let (mailed, _) = graph
        .all(&format!(
            "{ALICE}/contacts?$filter=emailAddresses/any(a:a/address eq '{}')",
            roes.iter()
                .find_map(|c| c["emailAddresses"][0]["address"].as_str())
                .unwrap()
        ))
        .await;
    assert_eq!(mailed.len(), 1);

    // A marker that somebody put on it finds it.
    let marker = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs";
    let made = graph.make(&format!("{ALICE}/contacts"), json!({"givenName": "Marked", "singleValueExtendedProperties": [{"id": marker, "value": "u 1"}, {"id": "String 0x3A24", "value": "+1 fax"}],
        "multiValueExtendedProperties": [{"id": "StringArray {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name many", "value": ["a", "b"]}]})).await;
    let find = |value: &str| {
        format!(
            "{ALICE}/contacts?$filter=singleValueExtendedProperties/Any(ep: ep/id eq '{marker}' and ep/value eq '{value}')"
        )
    };
    let found = graph.get(&find("u 1")).await.expect(200).json();
    assert_eq!(
        ids(found["value"].as_array().unwrap()),
        [made["id"].as_str().unwrap()]
    );
    assert!(
        graph.get(&find("u 2")).await.json()["value"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x3A24' or id eq 'String 0x001A'),multiValueExtendedProperties($filter=id eq 'StringArray {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name many')";
    let read = graph
        .get(&format!("{ALICE}/contacts/{}?{expand}", id(&made)))
        .await
        .expect(200)
        .json();
    assert_eq!(
        read["singleValueExtendedProperties"],
        json!([{"id": "String 0x3a24", "value": "+1 fax"}, {"id": "String 0x1a", "value": "IPM.Contact"}])
    );
    assert_eq!(
        read["multiValueExtendedProperties"][0]["value"],
        json!(["a", "b"])
    );
    graph.finish();
}

#[tokio::test]
async fn photos_are_put_read_and_missed() {
    let graph = Graph::new();
    let made = graph
        .make(&format!("{ALICE}/contacts"), json!({"givenName": "A"}))
        .await;
    let photo = format!("{ALICE}/contacts/{}/photo", id(&made));
    assert_eq!(
        graph.get(&photo).await.expect(404).codes().0,
        "ErrorItemNotFound"
    );
    assert_eq!(
        graph
            .get(&format!("{photo}/$value"))
            .await
            .expect(404)
            .codes()
            .0,
        "ImageNotFound"
    );
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x78\0\0\0\x50rest".to_vec();
    let put = |bytes: Vec<u8>, kind: &str| {
        graph
            .request(Method::PUT, &format!("{photo}/$value"))
            .header("content-type", kind)
            .body(bytes)
    };
    graph.send(put(png.clone(), "text/plain")).await.expect(400);
    graph
        .send(put(vec![0; 5 << 20], "image/jpeg"))
        .await
        .expect(413);
    graph.send(put(png.clone(), "image/png")).await.expect(200);
    let shown = graph.get(&photo).await.expect(200).json();
    assert_eq!(
        (&shown["id"], &shown["width"], &shown["height"]),
        (&json!("120X80"), &json!(120), &json!(80))
    );
    assert_eq!(shown["@odata.mediaContentType"], "image/png");
    let value = graph.get(&format!("{photo}/$value")).await.expect(200);
    assert_eq!(
        (value.header("content-type").as_str(), &value.bytes),
        ("image/png", &png)
    );
    let changed = graph
        .get(&format!("{ALICE}/contacts/{}", id(&made)))
        .await
        .json();
    assert_ne!(changed["changeKey"], made["changeKey"]);

    // The same in a batch, in and out.
    let jpeg = [0xff, 0xd8, 0xff, 0xe0, 1, 2, 3];
    let url = format!("{photo}/$value");
    let batch = graph
        .post("/$batch", json!({"requests": [
            {"id": "1", "method": "PUT", "url": url, "headers": {"Content-Type": "image/jpeg"}, "body": STANDARD.encode(jpeg)},
            {"id": "2", "method": "GET", "url": url, "dependsOn": ["1"]},
            {"id": "3", "method": "GET", "url": photo, "dependsOn": ["1"]}]}))
        .await
        .expect(200)
        .json();
    let of = |id: &str| {
        batch["responses"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (of("1")["status"].as_u64(), of("2")["status"].as_u64()),
        (Some(200), Some(200))
    );
    assert_eq!(of("2")["body"], STANDARD.encode(jpeg));
    assert_eq!(of("2")["headers"]["Content-Type"], "image/jpeg");
    assert_eq!(
        of("3")["body"]["width"],
        Value::Null,
        "no size can be told of these bytes"
    );
    graph.delete(&format!("{photo}/$value")).await.expect(204);
    graph.get(&photo).await.expect(404);
    graph.finish();
}

#[tokio::test]
async fn generated_contacts_are_the_same_every_time_and_use_every_property() {
    let graph = Graph::with(|o| (o.contacts, o.seed) = (400, 9));
    let other = Graph::with(|o| (o.contacts, o.seed) = (400, 9));
    let (mut used, mut photos, mut three) = (HashSet::new(), 0, 0);
    for folder in ["contacts".to_owned()].into_iter().chain(
        graph
            .all(&format!("{ALICE}/contactFolders"))
            .await
            .0
            .iter()
            .map(id),
    ) {
        let path = format!("{ALICE}/contactFolders/{folder}/contacts?$top=200");
        let (here, _) = graph.all(&path).await;
        assert_eq!(here, other.all(&path).await.0);
        for contact in &here {
            for (name, value) in contact.as_object().unwrap() {
                let empty = value.is_null()
                    || *value == json!([])
                    || *value == json!({})
                    || *value == json!("");
                if !empty {
                    used.insert(name.clone());
                }
            }
            three += usize::from(contact["tertiaryEmailAddress"].is_object());
        }
        for contact in here.iter().take(40) {
            let answer = graph
                .get(&format!("{ALICE}/contacts/{}/photo/$value", id(contact)))
                .await;
            photos += usize::from(answer.status == 200 && answer.bytes.starts_with(b"\xff\xd8"));
        }
    }
    for (name, _) in whole().as_object().unwrap() {
        assert!(used.contains(name), "{name} is used nowhere");
    }
    assert!(photos > 2 && three > 2);
    other.finish();
    graph.finish();
}

#[tokio::test]
async fn extensions_are_kept_with_the_contact() {
    let graph = Graph::new();
    let made = graph
        .make(&format!("{ALICE}/contacts"), json!({"givenName": "A"}))
        .await;
    let at = format!("{ALICE}/contacts/{}", id(&made));
    let extension = json!({"@odata.type": "microsoft.graph.openTypeExtension", "extensionName": "com.example.crm", "score": 7, "tags": ["a"]});
    let stored = graph
        .make(&format!("{at}/extensions"), extension.clone())
        .await;
    assert_eq!(stored["score"], 7);
    graph
        .post(&format!("{at}/extensions"), extension)
        .await
        .expect(409);
    graph
        .patch(
            &format!("{at}/extensions/com.example.crm"),
            json!({"@odata.type": "microsoft.graph.openTypeExtension", "score": 8, "tags": null}),
        )
        .await
        .expect(200);
    let read = graph
        .get(&format!("{at}/extensions/{}", id(&stored)))
        .await
        .expect(200)
        .json();
    assert_eq!((&read["score"], &read["tags"]), (&json!(8), &Value::Null));
    let whole = graph
        .get(&format!("{at}?$expand=extensions"))
        .await
        .expect(200)
        .json();
    assert_eq!(whole["extensions"][0]["extensionName"], "com.example.crm");
    graph
        .delete(&format!("{at}/extensions/com.example.crm"))
        .await
        .expect(204);
    graph
        .get(&format!("{at}/extensions/com.example.crm"))
        .await
        .expect(404);
    graph.finish();
}

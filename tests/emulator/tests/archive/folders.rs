//! Folders: of every kind, at every depth, and what changed of them.

use serde_json::{Value, json};

use crate::support::{ALICE, Graph, ids};

const SMALL: &[&str] = &["--accounts", "1", "--messages", "60", "--archives", "1"];

#[tokio::test]
async fn folders_are_listed_with_their_kind() {
    let g = Graph::start(SMALL).await;
    let archive = g.archive().await;
    let (all, _) = g.all(&format!("{archive}/folders?$top=4")).await;
    let kind = |name: &str| {
        let found = all.iter().find(|f| f["displayName"] == name);
        found.unwrap_or_else(|| panic!("{name}"))["type"].clone()
    };
    for (name, class) in [
        ("Inbox", "IPF.Note"),
        ("Calendar", "IPF.Appointment"),
        ("Contacts", "IPF.Contact"),
        ("Tasks", "IPF.Task"),
        ("Notes", "IPF.StickyNote"),
    ] {
        assert_eq!(kind(name), class);
    }
    let root = g.ok(&format!("{archive}/folders/msgfolderroot")).await;
    assert!(all.iter().all(|f| f["parentFolderId"] == root["id"]));
    assert_eq!(root["childFolderCount"], all.len());
    assert_eq!(root["wellKnownName"], "msgfolderroot");

    let found = g
        .ok(&format!(
            "{archive}/folders?$filter=type eq 'IPF.Contact'&$count=true&$select=displayName"
        ))
        .await;
    assert_eq!(found["@odata.count"], 1);
    let folder = found["value"][0].as_object().unwrap();
    assert_eq!(folder.keys().collect::<Vec<_>>(), ["displayName", "id"]);
    let (sorted, _) = g
        .all(&format!("{archive}/folders?$orderby=displayName desc"))
        .await;
    let names: Vec<String> = sorted
        .iter()
        .map(|f| f["displayName"].as_str().unwrap().to_lowercase())
        .collect();
    assert!(names.is_sorted_by(|a, b| a >= b), "{names:?}");
    let class = g
        .ok(&format!("{archive}/folders/inbox?$expand=singleValueExtendedProperties($filter=id eq 'String 0x3613')"))
        .await;
    assert_eq!(
        class["singleValueExtendedProperties"][0]["value"],
        "IPF.Note"
    );
    let projects = g.folder(&archive, "msgfolderroot", "Projects").await;
    g.folder(&archive, &projects, "Atlas").await;
    let (dumpster, _) = g
        .all(&format!(
            "{archive}/folders/recoverableitemsroot/childFolders"
        ))
        .await;
    assert!(dumpster.iter().any(|f| f["displayName"] == "Deletions"));

    // A primary mailbox has the folders that mail has, with the same ids, search folders too.
    let primary = g.primary("alice@contoso.com").await;
    let (mine, _) = g.all(&format!("{primary}/folders")).await;
    let (mail, _) = g.all(&format!("{ALICE}/mailFolders")).await;
    assert!(ids(&mail).iter().all(|id| ids(&mine).contains(id)));
    assert!(mine.iter().any(|f| f["displayName"] == "For Follow Up"));
    assert!(mine[0].get("wellKnownName").is_none());
    g.finish();
}

#[tokio::test]
async fn folders_are_made_renamed_and_deleted() {
    let g = Graph::start(SMALL).await;
    let archive = g.archive().await;
    let calendar = json!({"displayName": "Team/2016", "type": "IPF.Appointment"});
    let (status, made) = g
        .post(&format!("{archive}/folders"), calendar.clone())
        .await;
    assert_eq!((status, &made["type"]), (201, &calendar["type"]));
    let id = made["id"].as_str().unwrap();
    let path = format!("{archive}/folders/{id}");
    let (status, child) = g
        .post(
            &format!("{path}/childFolders"),
            json!({"displayName": "x", "type": "IPF.Appointment"}),
        )
        .await;
    assert_eq!((status, &child["parentFolderId"]), (201, &made["id"]));
    let (status, body) = g
        .post(
            &format!("{archive}/folders"),
            json!({"displayName": "team/2016", "type": "IPF.Note"}),
        )
        .await;
    let code = body["error"]["code"].as_str();
    assert_eq!((status, code), (409, Some("ErrorFolderExists")));
    let (status, renamed) = g.patch(&path, json!({"displayName": "Team"})).await;
    assert_eq!((status, &renamed["displayName"]), (200, &json!("Team")));
    assert_eq!(g.delete(&path).await, 204);
    let bin = g
        .ok(&format!("{archive}/folders/deleteditems/childFolders"))
        .await;
    assert_eq!(bin["value"][0]["id"], made["id"]);
    assert_eq!(g.delete(&path).await, 204);
    assert_eq!(g.get(&path).await.0, 404);
    assert_eq!(g.delete(&format!("{archive}/folders/inbox")).await, 400);
    g.finish();
}

#[tokio::test]
async fn a_folder_needs_its_kind() {
    let g = Graph::start(SMALL).await;
    let primary = g.primary("alice@contoso.com").await;
    for body in [
        json!({"displayName": "x"}),
        json!({"displayName": "", "type": "IPF.Note"}),
        json!({"displayName": "x", "type": "Note"}),
        json!({"displayName": "x", "type": "IPF.Note", "isHidden": true}),
    ] {
        assert_eq!(g.post(&format!("{primary}/folders"), body).await.0, 400);
    }
}

#[tokio::test]
async fn changes_of_folders_are_told_where_they_happen() {
    let g = Graph::start(SMALL).await;
    let mailbox = g.primary("alice@contoso.com").await;
    let (top, link) = g.all(&format!("{mailbox}/folders/delta")).await;
    let (listed, _) = g.all(&format!("{mailbox}/folders")).await;
    assert_eq!(top.len(), listed.len());
    let (_, below) = g
        .all(&format!(
            "{mailbox}/folders/inbox/childFolders/delta?$select=displayName"
        ))
        .await;
    let (top, below) = (link.unwrap(), below.unwrap());

    let new = |name: &str| json!({"displayName": name, "type": "IPF.Note"});
    let made = g.post(&format!("{mailbox}/folders"), new("New")).await.1;
    let id = made["id"].as_str().unwrap();
    let (changed, top) = g.all(&top).await;
    assert_eq!(ids(&changed), [id]);
    assert_eq!(g.all(&below).await.0, Vec::<Value>::new());

    // Moved from one to the other, as mail moves it.
    let (status, _) = g
        .post(
            &format!("{ALICE}/mailFolders/{id}/move"),
            json!({"destinationId": "inbox"}),
        )
        .await;
    assert_eq!(status, 201);
    let (left, top) = g.all(&top.unwrap()).await;
    assert_eq!(left[0]["id"], id);
    assert_eq!(left[0]["@removed"]["reason"], "deleted");
    let (came, below) = g.all(&below).await;
    assert_eq!((came[0]["id"].as_str(), came.len()), (Some(id), 1));
    assert_eq!(came[0].get("type"), None);

    assert_eq!(g.delete(&format!("{mailbox}/folders/{id}")).await, 204);
    let (left, below) = g.all(&below.unwrap()).await;
    assert_eq!(left[0]["@removed"]["reason"], "deleted");
    assert_eq!(g.all(&below.unwrap()).await.0.len(), 0);
    assert_eq!(g.all(&top.unwrap()).await.0.len(), 0);
    g.finish();
}

//! SharePoint's own interface: attachments, the recycle bin, people, roles.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::Answer;
use super::{Graph, all, by, round, site, tenant, texts};

const HOST: &str = "https://contoso.sharepoint.com";

/// A token for a host, of an application that proves itself by `proof` (form fields).
async fn token(graph: &Graph, resource: &str, proof: &str) -> String {
    let running = &graph.running;
    let scope = format!("{resource}/.default")
        .replace(':', "%3A")
        .replace('/', "%2F");
    let form = format!(
        "grant_type=client_credentials&client_id={}&scope={scope}&{proof}",
        running.client_id
    );
    let url = format!("{}/{}/oauth2/v2.0/token", running.url, running.tenant);
    let request = graph
        .raw(Method::POST, &url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = graph.send(request).await.expect(200).json();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Proof by an identity of another issuer, which counts as much as a certificate.
fn assertion() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let jwt = format!(
        "{}.{}.{}",
        part(json!({"alg": "RS256", "typ": "JWT"})),
        part(
            json!({"aud": "api://AzureADTokenExchange", "sub": "x", "iss": "y", "nbf": now, "exp": now + 600})
        ),
        URL_SAFE_NO_PAD.encode("signature")
    );
    format!(
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={jwt}"
    )
}

struct Rest<'a> {
    graph: &'a Graph,
    token: String,
    /// URL of the site at the emulator, with `_api`.
    base: String,
}

impl<'a> Rest<'a> {
    async fn of(graph: &'a Graph, path: &str) -> Rest<'a> {
        Rest {
            graph,
            token: token(graph, HOST, &assertion()).await,
            base: format!("{}{path}/_api", graph.running.url),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = self
            .graph
            .raw(method, &format!("{}/{path}", self.base))
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.graph.send(request.body(body.to_vec())).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(
            Method::GET,
            path,
            &[("accept", "application/json;odata=nometadata")],
            b"",
        )
        .await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body.to_string().as_bytes())
            .await
    }
}

#[tokio::test]
async fn only_certificates_open_the_door() {
    let graph = tenant();
    let url = format!("{}/sites/Finance/_api/web", graph.running.url);
    let get = async |token: &str| {
        graph
            .send(graph.raw(Method::GET, &url).bearer_auth(token))
            .await
    };
    let secret = format!("client_secret={}", graph.running.client_secret);
    let by_secret = token(&graph, HOST, &secret).await;
    let refused = get(&by_secret).await.expect(401);
    assert_eq!(
        refused.json()["error_description"],
        "Unsupported app only token."
    );
    assert!(refused.header("x-ms-diagnostics").starts_with("3001000;"));
    // A token is for one host.
    for other in [
        "https://graph.microsoft.com",
        "https://contoso-my.sharepoint.com",
    ] {
        let token = token(&graph, other, &assertion()).await;
        assert!(
            get(&token)
                .await
                .expect(401)
                .header("x-ms-diagnostics")
                .starts_with("3000003;")
        );
    }
    graph.send(graph.raw(Method::GET, &url)).await.expect(401);
    get(graph_emulator::STATIC_TOKEN).await.expect(401);
    let good = token(&graph, HOST, &assertion()).await;
    assert_eq!(get(&good).await.expect(200).json()["Title"], "Finance");
    let at_graph = graph
        .raw(
            Method::GET,
            &format!("{}/v1.0/sites/root", graph.running.url),
        )
        .bearer_auth(&good);
    assert_eq!(
        graph.send(at_graph).await.expect(401).codes().0,
        "InvalidAuthenticationToken"
    );
    let personal = format!("{}/personal/alice_contoso_com/_api/web", graph.running.url);
    let my = token(&graph, "https://contoso-my.sharepoint.com", &assertion()).await;
    graph
        .send(graph.raw(Method::GET, &personal).bearer_auth(&my))
        .await
        .expect(200);
    let locked = format!("{}/sites/locked/_api/web", graph.running.url);
    graph
        .send(graph.raw(Method::GET, &locked).bearer_auth(&good))
        .await
        .expect(423);
    graph.finish();
}

#[tokio::test]
async fn attachments_of_items() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let list = graph
        .get(&format!("{finance}/lists/Assets"))
        .await
        .expect(200)
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let items = all(
        &graph,
        &format!("{finance}/lists/Assets/items?$expand=fields"),
    )
    .await;
    let with = items
        .iter()
        .find(|i| i["fields"]["Attachments"] == true)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = Rest::of(&graph, "/sites/Finance").await;
    let item = format!("web/lists(guid'{list}')/items({with})");
    let told = rest
        .get(&format!(
            "{item}?$select=AttachmentFiles&$expand=AttachmentFiles"
        ))
        .await
        .expect(200)
        .json();
    let files = told["AttachmentFiles"].as_array().unwrap().clone();
    assert_eq!(
        texts(&files, "FileName"),
        ["invoice.txt", "it's 100% #1.bin"]
    );
    assert_eq!(
        rest.get(&format!("{item}/AttachmentFiles"))
            .await
            .expect(200)
            .json()["value"],
        json!(files)
    );
    let odd = "AttachmentFiles('it''s%20100%25%20%231.bin')/$value";
    assert_eq!(
        rest.get(&format!("{item}/{odd}"))
            .await
            .expect(200)
            .bytes
            .len(),
        2_000
    );
    let path = by(&files, "FileName", "invoice.txt")["ServerRelativeUrl"]
        .as_str()
        .unwrap();
    let bytes = rest
        .get(&format!(
            "web/GetFileByServerRelativePath(DecodedUrl='{path}')/$value"
        ))
        .await
        .expect(200)
        .bytes;
    assert!(bytes.starts_with(b"Invoice for item "));
    // What is added, replaced or taken away makes a version of the item.
    let (_, link) = round(
        &graph,
        &format!("{finance}/lists/Assets/items/delta?$expand=fields"),
    )
    .await;
    let made = rest
        .send(
            Method::POST,
            &format!("{item}/AttachmentFiles/add(FileName='new.txt')"),
            &[],
            b"one",
        )
        .await
        .expect(200)
        .json();
    assert_eq!(made["FileName"], "new.txt");
    rest.send(
        Method::POST,
        &format!("{item}/AttachmentFiles/add(FileName='NEW.txt')"),
        &[],
        b"two",
    )
    .await
    .expect(400);
    let value = format!("{item}/AttachmentFiles('new.txt')/$value");
    rest.send(Method::POST, &value, &[("x-http-method", "PUT")], b"two")
        .await
        .expect(204);
    assert_eq!(rest.get(&value).await.expect(200).bytes, b"two");
    assert_eq!(round(&graph, &link).await.0.len(), 1);
    for name in ["new.txt", "invoice.txt", "it''s%20100%25%20%231.bin"] {
        rest.send(
            Method::POST,
            &format!("{item}/AttachmentFiles('{name}')"),
            &[("x-http-method", "DELETE")],
            b"",
        )
        .await
        .expect(204);
    }
    rest.get(&value).await.expect(404);
    let now = graph
        .get(&format!(
            "{finance}/lists/Assets/items/{with}?$expand=fields"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(now["fields"]["Attachments"], false);
    rest.get("web/lists(guid'6d736fd3-859a-4771-9a99-e638e691fb15')/items(1)")
        .await
        .expect(404);
    rest.get(&format!("web/lists/getbytitle('Assets')/items({with})"))
        .await
        .expect(200);
    graph.finish();
}

#[tokio::test]
async fn the_recycle_bin_gives_things_back() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let rest = Rest::of(&graph, "/sites/Finance").await;
    let drive = graph
        .get(&format!("{finance}/drive"))
        .await
        .expect(200)
        .json();
    let drive = format!("/drives/{}", drive["id"].as_str().unwrap());
    let file = graph.file(&drive, "gone/deep/a.txt", b"abc").await;
    let (_, link) = round(&graph, &format!("{drive}/root/delta")).await;
    let folder = graph
        .get(&format!("{drive}/root:/gone"))
        .await
        .expect(200)
        .json();
    graph
        .delete(&format!("{drive}/items/{}", folder["id"].as_str().unwrap()))
        .await
        .expect(204);
    graph
        .delete(&format!("{finance}/lists/Assets/items/1"))
        .await
        .expect(204);
    graph
        .delete(&format!("{finance}/lists/Media"))
        .await
        .expect(204);
    let forever = graph.file(&drive, "forever.txt", b"x").await;
    graph
        .post(
            &format!("{drive}/items/{forever}/permanentDelete"),
            Value::Null,
        )
        .await
        .expect(204);
    let url = format!("{}/beta{finance}/recycleBin/items", graph.running.url);
    let told = all(&graph, &url).await;
    assert_eq!(told.len(), 3);
    let entries = rest
        .get("site/RecycleBin?$filter=(ItemState eq 1)")
        .await
        .expect(200)
        .json()["value"]
        .as_array()
        .unwrap()
        .clone();
    let kinds: Vec<(&str, u64)> = entries
        .iter()
        .map(|e| {
            (
                e["LeafName"].as_str().unwrap(),
                e["ItemType"].as_u64().unwrap(),
            )
        })
        .collect();
    for wanted in [("gone", 5), ("Media", 4)] {
        assert!(kinds.contains(&wanted), "{kinds:?}");
    }
    assert_eq!(
        by(&entries, "LeafName", "gone")["DirName"],
        "sites/Finance/Shared Documents"
    );
    assert_eq!(by(&entries, "LeafName", "gone")["Size"], "3");
    assert!(
        rest.get("site/RecycleBin?$filter=(ItemState eq 2)")
            .await
            .expect(200)
            .json()["value"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let ids: Vec<&Value> = entries.iter().map(|e| &e["Id"]).collect();
    rest.post("site/RecycleBin/RestoreByIds", json!({"ids": ids}))
        .await
        .expect(200);
    // The same ids, the same bytes.
    let back = graph
        .get(&format!("{drive}/items/{file}"))
        .await
        .expect(200)
        .json();
    assert_eq!((&back["name"], &back["size"]), (&json!("a.txt"), &json!(3)));
    assert_eq!(
        graph
            .download(&format!("{drive}/items/{file}/content"))
            .await,
        b"abc"
    );
    let changes = round(&graph, &link).await.0;
    assert!(
        changes
            .iter()
            .any(|i| i["id"] == file.as_str() && i["deleted"].is_null())
    );
    graph
        .get(&format!("{finance}/lists/Assets/items/1"))
        .await
        .expect(200);
    graph
        .get(&format!("{finance}/lists/Media/drive"))
        .await
        .expect(200);
    assert!(all(&graph, &url).await.is_empty());
    // After 93 days it is gone for good.
    graph
        .delete(&format!("{drive}/items/{file}"))
        .await
        .expect(204);
    assert_eq!(all(&graph, &url).await.len(), 1);
    graph
        .control("clock", json!({"advance_seconds": 94 * 86_400}))
        .await;
    assert!(all(&graph, &url).await.is_empty());
    graph.finish();
}

#[tokio::test]
async fn people_become_known_and_roles_are_told() {
    let graph = Graph::with(|o| (o.accounts, o.files, o.sites) = (4, 0, 1));
    let finance = site(&graph, "/sites/Finance").await;
    let rest = Rest::of(&graph, "/sites/Finance").await;
    let people = all(
        &graph,
        &format!("{finance}/lists/User Information List/items?$expand=fields"),
    )
    .await;
    let names: Vec<String> = people
        .iter()
        .filter_map(|p| p["fields"]["UserName"].as_str().map(str::to_owned))
        .collect();
    let users = all(&graph, "/users?$select=userPrincipalName").await;
    let unknown = texts(&users, "userPrincipalName")
        .into_iter()
        .find(|u| !names.contains(u) && !u.starts_with("print@"))
        .unwrap();
    let made = rest
        .post(
            "web/ensureuser",
            json!({"logonName": format!("i:0#.f|membership|{unknown}")}),
        )
        .await
        .expect(200)
        .json();
    let number = &made["Id"];
    let item = graph
        .patch(
            &format!("{finance}/lists/Assets/items/1/fields"),
            json!({"HolderLookupId": number}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(item["HolderLookupId"], number.to_string());
    rest.post(
        "web/ensureuser",
        json!({"logonName": "i:0#.f|membership|nobody@contoso.com"}),
    )
    .await
    .expect(404);
    let roles = rest
        .get("web/roleassignments?$expand=Member,RoleDefinitionBindings")
        .await
        .expect(200)
        .json();
    let levels: Vec<&str> = roles["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["RoleDefinitionBindings"][0]["Name"].as_str().unwrap())
        .collect();
    assert_eq!(levels, ["Full Control", "Read", "Edit"]);
    let list = rest
        .get("web/lists/getbytitle('Announcements')")
        .await
        .expect(200)
        .json();
    assert_eq!(list["HasUniqueRoleAssignments"], true);
    let own = rest
        .get("web/lists/getbytitle('Announcements')/roleassignments")
        .await
        .expect(200)
        .json();
    assert_eq!(own["value"].as_array().unwrap().len(), 1);
    // Which of many items have their own is told by one listing, of a range of them.
    let told = |filter: &str| {
        let path = format!(
            "web/lists/getbytitle('Assets')/items?$select=Id,HasUniqueRoleAssignments&$filter={filter}&$top=5000"
        );
        let rest = &rest;
        async move { rest.get(&path).await }
    };
    let rows = told("Id%20ge%203%20and%20Id%20le%207")
        .await
        .expect(200)
        .json();
    let unique: Vec<(u64, bool)> = rows["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (
                r["Id"].as_u64().unwrap(),
                r["HasUniqueRoleAssignments"] == true,
            )
        })
        .collect();
    assert_eq!(
        unique,
        [(3, false), (4, false), (5, false), (6, false), (7, true)]
    );
    told("HasUniqueRoleAssignments%20eq%20true")
        .await
        .expect(400);
    let read_only = Graph::with(|o| {
        (o.files, o.sites) = (0, 1);
        o.roles = vec!["Sites.Read.All".into()];
    });
    site(&read_only, "/sites/Finance").await;
    let rest = Rest::of(&read_only, "/sites/Finance").await;
    rest.send(
        Method::POST,
        "web/lists/getbytitle('Assets')/items(1)/AttachmentFiles/add(FileName='x.txt')",
        &[],
        b"x",
    )
    .await
    .expect(403);
    rest.post("web/ensureuser", json!({"logonName": "alice@contoso.com"}))
        .await
        .expect(403);
    read_only.finish();
    graph.finish();
}

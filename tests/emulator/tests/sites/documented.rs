//! The exchanges that Microsoft's reference shows: the same calls here have answers of the same shape.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Graph, all, by, site, tenant};

/// Pages of the reference that are about sites, lists and their items.
const PAGES: &[&str] = &["site-", "list-", "listitem-", "listitemversion-"];

#[tokio::test]
async fn answers_have_the_shapes_of_the_reference() {
    let Some(shared) = fixtures::shared() else {
        return fixtures::skip("the documented exchanges are not here");
    };
    let text = std::fs::read_to_string(shared.join("graph/doc-exchanges.jsonl")).unwrap();
    let exchanges: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|e| {
            PAGES
                .iter()
                .any(|p| e["src"].as_str().unwrap().starts_with(p))
        })
        .filter(|e| e["url"].as_str().unwrap().contains("/v1.0/sites"))
        .collect();
    let mut checked = 0;
    for exchange in &exchanges {
        // Each in a tenant of its own: some of them delete what others read.
        let graph = tenant();
        let names = prepare(&graph).await;
        let mut path = exchange["url"]
            .as_str()
            .unwrap()
            .split("/v1.0")
            .nth(1)
            .unwrap()
            .to_owned();
        for (placeholder, name) in &names {
            path = path.replace(placeholder, name);
        }
        let method: Method = exchange["method"].as_str().unwrap().parse().unwrap();
        let body = &exchange["request_body"];
        let request = graph.request(method, &path);
        let request = if body.is_null() {
            request
        } else {
            request.json(body)
        };
        let answer = graph.send(request).await;
        let wanted = exchange["status"].as_u64().unwrap() as u16;
        assert_eq!(
            answer.status,
            wanted,
            "{path}: {}",
            String::from_utf8_lossy(&answer.bytes)
        );
        if !exchange["response_body"].is_null() {
            same_shape(&exchange["response_body"], &answer.json(), &path);
        }
        checked += 1;
        graph.finish();
    }
    assert_eq!(checked, 21, "all that the reference has");
}

/// What the reference's calls are about: a list with their columns, an item, a version, a permission.
async fn prepare(graph: &Graph) -> Vec<(&'static str, String)> {
    let finance = site(graph, "/sites/Finance").await;
    let text = |name: &str| json!({"name": name, "text": {}, "description": name});
    let number = |name: &str| json!({"name": name, "number": {}, "description": name});
    let list = json!({
        "displayName": "Inventory", "list": {"template": "genericList"},
        "columns": [text("Name"), text("Color"), number("Quantity"), number("Weight")],
    });
    let list = graph
        .post(&format!("{finance}/lists"), list)
        .await
        .expect(201)
        .json();
    let items = format!("{finance}/lists/Inventory/items");
    for color in ["Blue", "Red", "Green"] {
        let fields = json!({"fields": {"Name": "Widget", "Color": color, "Quantity": 7}});
        graph.post(&items, fields).await.expect(201);
    }
    graph
        .patch(&format!("{items}/2/fields"), json!({"Quantity": 8}))
        .await
        .expect(200);
    let grant = json!({"roles": ["write"], "grantedToIdentities": [{"application": {"id": "89ea5c94-7736-4e25-95ad-3fa95f62b66e", "displayName": "App"}}]});
    let permission = graph
        .post(&format!("{finance}/permissions"), grant)
        .await
        .expect(201)
        .json();
    let sites = all(graph, "/sites/getAllSites").await;
    let id = |site: &Value| site["id"].as_str().unwrap().to_owned();
    let finance = id(by(&sites, "displayName", "Finance"));
    vec![
        (
            "hostname:/relative-path",
            "contoso.sharepoint.com:/sites/Finance".into(),
        ),
        ("search=query", "search=Finance".into()),
        ("sitesId", finance.clone()),
        ("site-id", finance),
        ("permissionId", id(&permission)),
        ("list-id", id(&list)),
        ("list-title", "Inventory".into()),
        ("item-id", "2".into()),
        ("version-id", "1.0".into()),
    ]
}

/// Everything that is documented is there, and is of the same kind; of lists, the first entry is looked at.
fn same_shape(documented: &Value, here: &Value, at: &str) {
    match (documented, here) {
        (Value::Object(documented), Value::Object(here)) => {
            for (key, value) in documented.iter().filter(|(k, _)| !k.contains('@')) {
                // The reference's user is an application here, which has no id as a user.
                let known = key == "id" && at.ends_with(" user");
                match here.get(key) {
                    Some(found) => same_shape(value, found, &format!("{at} {key}")),
                    None => assert!(known, "{at}: {key} is missing"),
                }
            }
        }
        (Value::Array(documented), Value::Array(here)) => {
            if let Some(first) = documented.first() {
                let found = here
                    .first()
                    .unwrap_or_else(|| panic!("{at}: nothing is there"));
                same_shape(first, found, at);
            }
        }
        (documented, here) => assert_eq!(
            std::mem::discriminant(documented),
            std::mem::discriminant(here),
            "{at}: {documented} is documented, {here} is here"
        ),
    }
}

//! Which sites there are.

use reqwest::Method;
use serde_json::json;

use super::{Graph, all, by, round, site, sites, tenant, texts};

#[tokio::test]
async fn all_sites_of_the_tenant_come_in_pages() {
    let graph = sites(2);
    let every = all(&graph, "/sites/getAllSites?$top=2").await;
    let urls = texts(&every, "webUrl");
    for wanted in [
        "https://contoso.sharepoint.com",
        "https://contoso.sharepoint.com/sites/Finance",
        "https://contoso.sharepoint.com/sites/Engineering",
        "https://contoso.sharepoint.com/sites/locked",
        "https://contoso.sharepoint.com/sites/museum",
        "https://contoso.sharepoint.com/search",
        "https://contoso-my.sharepoint.com/personal/alice_contoso_com",
    ] {
        assert!(urls.iter().any(|u| u == wanted), "{wanted}: {urls:?}");
    }
    assert!(
        !urls.iter().any(|u| u.ends_with("/payroll")),
        "subsites are not among them"
    );
    let page = graph
        .get("/sites/getAllSites?$top=2")
        .await
        .expect(200)
        .json();
    let next = page["@odata.nextLink"].as_str().unwrap();
    assert!(next.contains("/sites/oneDrive.getAllSites?"), "{next}");
    // What there is to look out for.
    let personal = by(
        &every,
        "webUrl",
        "https://contoso-my.sharepoint.com/personal/alice_contoso_com",
    );
    assert_eq!(personal["isPersonalSite"], true);
    let finance = by(&every, "displayName", "Finance");
    assert_eq!(finance["isPersonalSite"], false);
    assert!(finance["root"].is_object() && finance["siteCollection"]["hostname"].is_string());
    let search = by(&every, "webUrl", "https://contoso.sharepoint.com/search");
    assert!(search["displayName"].is_null());
    let museum = by(&every, "displayName", "Museum");
    assert_eq!(
        museum["siteCollection"]["archivalDetails"]["archiveStatus"],
        "fullyArchived"
    );
    graph.finish();
}

#[tokio::test]
async fn a_site_has_many_addresses_and_two_names() {
    let graph = sites(4);
    let by_path = graph
        .get("/sites/contoso.sharepoint.com:/sites/HumanResources")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&by_path["name"], &by_path["displayName"]),
        (&json!("HumanResources"), &json!("Human Resources"))
    );
    let found = all(&graph, "/sites?search=human").await;
    assert_eq!(
        (found.len(), &found[0]["name"]),
        (1, &json!("Human Resources"))
    );
    let id = by_path["id"].as_str().unwrap();
    let parts: Vec<&str> = id.split(',').collect();
    assert_eq!((parts.len(), parts[0]), (3, "contoso.sharepoint.com"));
    for other in [
        format!("/sites/{id}"),
        format!("/sites/{},{}", parts[1], parts[2]),
        format!("/sites/{}", parts[1]),
        "/sites/contoso.sharepoint.com:/sites/humanresources:".into(),
        "/sites/contoso.sharepoint.com%3A%2Fsites%2FHumanResources".into(),
    ] {
        let same = graph.get(&other).await.expect(200).json();
        assert_eq!(same["id"], by_path["id"], "{other}");
    }
    let root = graph.get("/sites/root").await.expect(200).json();
    assert_eq!(root["webUrl"], "https://contoso.sharepoint.com");
    for same in [
        "/sites/contoso.sharepoint.com",
        "/sites/contoso.sharepoint.com:/",
    ] {
        assert_eq!(graph.get(same).await.expect(200).json()["id"], root["id"]);
    }
    let selected = graph
        .get(&format!(
            "/sites/{id}?$select=id,sharepointIds,isPersonalSite"
        ))
        .await
        .expect(200)
        .json();
    assert_eq!(selected["sharepointIds"]["siteId"], parts[1]);
    assert!(selected["webUrl"].is_null() && selected["isPersonalSite"] == false);
    let missing = graph
        .get("/sites/contoso.sharepoint.com:/sites/nope")
        .await
        .expect(404);
    assert_eq!(missing.codes().0, "itemNotFound");
    graph.finish();
}

#[tokio::test]
async fn subsites_are_two_deep() {
    let graph = tenant();
    let finance = site(&graph, "/sites/Finance").await;
    let below = all(&graph, &format!("{finance}/sites")).await;
    assert_eq!(texts(&below, "displayName"), ["Payroll"]);
    let payroll = format!("/sites/{}", below[0]["id"].as_str().unwrap());
    assert!(
        below[0]["root"].is_null(),
        "only the top of a collection has the facet"
    );
    let deeper = all(&graph, &format!("{payroll}/sites")).await;
    assert_eq!(
        texts(&deeper, "webUrl"),
        ["https://contoso.sharepoint.com/sites/Finance/payroll/2025"]
    );
    assert!(
        all(
            &graph,
            &format!("/sites/{}/sites", deeper[0]["id"].as_str().unwrap())
        )
        .await
        .is_empty()
    );
    let collection =
        |id: &serde_json::Value| id.as_str().unwrap().split(',').nth(1).unwrap().to_owned();
    assert_eq!(collection(&below[0]["id"]), collection(&deeper[0]["id"]));
    graph.finish();
}

#[tokio::test]
async fn closed_sites_tell_why() {
    let graph = tenant();
    let every = all(&graph, "/sites/getAllSites").await;
    let path = |name: &str| {
        format!(
            "/sites/{}",
            by(&every, "displayName", name)["id"].as_str().unwrap()
        )
    };
    let locked = path("Locked away");
    for wanted in [
        locked.clone(),
        format!("{locked}/lists"),
        format!("{locked}/drives"),
        format!("{locked}/drive/root/delta"),
    ] {
        let refused = graph.get(&wanted).await.expect(423);
        assert_eq!(
            refused.codes(),
            ("notAllowed".into(), "resourceLocked".into()),
            "{wanted}"
        );
    }
    let archived = path("Museum");
    let told = graph.get(&archived).await.expect(200).json();
    assert_eq!(
        told["siteCollection"]["archivalDetails"]["archiveStatus"],
        "fullyArchived"
    );
    graph.get(&format!("{archived}/lists")).await.expect(423);
    graph.finish();
}

#[tokio::test]
async fn delta_tells_new_and_changed_sites() {
    let graph = tenant();
    let (every, link) = round(&graph, "/sites/delta?$top=3").await;
    assert!(every.len() > 6);
    assert!(
        texts(&every, "webUrl")
            .iter()
            .any(|u| u.ends_with("/payroll"))
    );
    assert!(round(&graph, &link).await.0.is_empty());
    let (none, latest) = round(&graph, "/sites/delta?token=latest").await;
    assert!(none.is_empty());
    // A list that is made changes its site.
    let finance = site(&graph, "/sites/Finance").await;
    graph
        .post(
            &format!("{finance}/lists"),
            json!({"displayName": "Ideas", "list": {"template": "genericList"}}),
        )
        .await
        .expect(201);
    for link in [&link, &latest] {
        assert_eq!(
            texts(&round(&graph, link).await.0, "displayName"),
            ["Finance"]
        );
    }
    let function = graph
        .get("/sites/delta(token='latest')")
        .await
        .expect(200)
        .json();
    assert!(
        function["@odata.deltaLink"]
            .as_str()
            .unwrap()
            .contains("delta(token=")
    );
    graph.control("expire-delta-tokens", json!({})).await;
    let gone = graph.get(&link).await.expect(410);
    assert!(gone.codes().0.eq_ignore_ascii_case("resyncRequired"));
    let (again, _) = round(&graph, &gone.header("location")).await;
    assert_eq!(again.len(), every.len());
    graph.finish();
}

#[tokio::test]
async fn a_tenant_without_sites_has_peoples_own() {
    let graph = Graph::new();
    let every = all(&graph, "/sites/getAllSites").await;
    assert_eq!(every.len(), 2);
    assert!(every.iter().all(|s| s["isPersonalSite"] == true));
    graph.get("/sites/root").await.expect(404);
    // The library of a personal site is the OneDrive.
    let own = format!("/sites/{}", every[0]["id"].as_str().unwrap());
    let drive = graph.get(&format!("{own}/drive")).await.expect(200).json();
    assert_eq!(
        format!("/drives/{}", drive["id"].as_str().unwrap()),
        graph.drive().await
    );
    assert_eq!(drive["driveType"], "business");
    let lists = all(&graph, &format!("{own}/lists")).await;
    assert_eq!(lists[0]["list"]["template"], "mySiteDocumentLibrary");
    graph.finish();
}

#[tokio::test]
async fn permissions_are_needed() {
    let graph = Graph::with(|o| {
        o.sites = 1;
        o.files = 0;
        o.roles = vec!["Files.Read.All".into()];
    });
    let refused = graph.get("/sites/getAllSites").await.expect(403);
    assert_eq!(refused.codes().0, "accessDenied");
    graph.get("/sites/root").await.expect(403);
    // Who may read files may read those of libraries.
    graph.get("/sites/root/drives").await.expect(200);
    graph.get("/sites/root/lists").await.expect(403);
    let write = graph
        .request(Method::POST, "/sites/root/lists")
        .json(&json!({"displayName": "x"}));
    graph.send(write).await.expect(403);
    graph.finish();
}

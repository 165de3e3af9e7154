//! Sign-in, permissions, and what real clients ask before they begin.

use reqwest::Method;
use serde_json::json;

use crate::support::{ALICE, Graph};

#[tokio::test]
async fn secrets_are_checked_and_errors_have_their_numbers() {
    let g = Graph::start(&[
        "--messages",
        "10",
        "--client-secret",
        "sec",
        "--client-id",
        "app",
    ])
    .await;
    let path = format!("/{}/oauth2/v2.0/token", g.emulator.tenant);
    for (form, error, code) in [
        (
            "grant_type=client_credentials&client_id=app&client_secret=bad&scope=x/.default",
            "invalid_client",
            7_000_215,
        ),
        (
            "grant_type=client_credentials&client_id=app&scope=x/.default",
            "invalid_client",
            7_000_218,
        ),
        (
            "grant_type=client_credentials&client_id=other&client_secret=sec&scope=x/.default",
            "unauthorized_client",
            700_016,
        ),
        (
            "grant_type=client_credentials&client_id=app&client_secret=sec&scope=Mail.Read",
            "invalid_scope",
            1_002_012,
        ),
        ("client_id=app", "invalid_request", 900_144),
        (
            "grant_type=password&client_id=app&client_secret=sec&username=nobody@x&password=p",
            "invalid_grant",
            50_034,
        ),
    ] {
        let answer = g.post_form(&path, form.to_owned()).await;
        assert_eq!(
            (answer["error"].as_str(), answer["error_codes"][0].as_u64()),
            (Some(error), Some(code)),
            "{answer}"
        );
    }
    let unknown = g
        .post_form(
            "/nowhere/oauth2/v2.0/token",
            "grant_type=client_credentials&client_id=app".into(),
        )
        .await;
    assert_eq!(unknown["error_codes"][0], 90_002);

    // HTTP Basic, as rclone sends it.
    let basic = g
        .http
        .post(g.url(&path))
        .basic_auth("app", Some("sec"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer: serde_json::Value = basic
        .body("grant_type=client_credentials&scope=.default")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        answer["expires_in"].is_number() && answer["access_token"].is_string(),
        "{answer}"
    );
}

#[tokio::test]
async fn delegated_tokens_know_their_user() {
    let g = Graph::start(&[
        "--messages",
        "10",
        "--client-secret",
        "sec",
        "--client-id",
        "app",
    ])
    .await;
    let code = g
        .post_form(
            "/common/oauth2/v2.0/devicecode",
            "client_id=app&scope=offline_access".into(),
        )
        .await;
    let poll = format!(
        "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=app&device_code={}",
        code["device_code"].as_str().unwrap()
    );
    assert_eq!(
        g.post_form("/common/oauth2/v2.0/token", poll.clone()).await["error"],
        "authorization_pending"
    );
    let first = g.post_form("/common/oauth2/v2.0/token", poll).await;
    let refresh = format!(
        "grant_type=refresh_token&client_id=app&client_secret=sec&refresh_token={}",
        first["refresh_token"].as_str().unwrap()
    );
    let second = g.post_form("/common/oauth2/v2.0/token", refresh).await;
    assert!(second["id_token"].is_string() && second["client_info"].is_string());
    let answer = g
        .http
        .get(g.url("/v1.0/me"))
        .header(
            "authorization",
            format!("bearer {}", second["access_token"].as_str().unwrap()),
        )
        .send()
        .await
        .unwrap();
    let me: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(me["userPrincipalName"], "alice@contoso.com");
    // An application has no `/me`.
    assert_eq!(g.get("/v1.0/me").await.0, 400);
}

#[tokio::test]
async fn tokens_expire_with_the_clock() {
    let g = Graph::start(&["--messages", "10"]).await;
    assert_eq!(g.get("/v1.0/users").await.0, 200);
    g.control(Method::POST, "clock", json!({"advance_seconds": 4000}))
        .await;
    let (status, body) = g.get("/v1.0/users").await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (401, Some("InvalidAuthenticationToken"))
    );
    assert!(body["error"]["innerError"]["request-id"].is_string());
    let bare = g.http.get(g.url("/v1.0/users")).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert!(bare.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn roles_decide() {
    let g = Graph::start(&[
        "--messages",
        "30",
        "--roles",
        "Mail.ReadBasic.All,User.Read.All",
    ])
    .await;
    let page = g
        .ok(&format!("{ALICE}/mailFolders/inbox/messages?$top=1"))
        .await;
    assert!(page["value"][0]["body"].is_null() && page["value"][0]["subject"].is_string());
    let id = page["value"][0]["id"].as_str().unwrap();
    let (status, body) = g.get(&format!("{ALICE}/messages/{id}/$value")).await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (403, Some("ErrorAccessDenied"))
    );
    assert_eq!(g.delete(&format!("{ALICE}/messages/{id}")).await, 403);
    assert_eq!(
        g.get(&format!("{ALICE}/mailboxSettings/userPurpose"))
            .await
            .0,
        403
    );

    let g = Graph::start(&["--messages", "10", "--roles", "Mail.Read"]).await;
    let (status, body) = g.get("/v1.0/users").await;
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (403, Some("Authorization_RequestDenied"))
    );
    assert_eq!(g.get(&format!("{ALICE}/mailFolders")).await.0, 200);
}

#[tokio::test]
async fn users_of_every_kind() {
    let g = Graph::start(&["--messages", "10", "--accounts", "4"]).await;
    let (users, _) = g
        .all(
            "/v1.0/users?$top=3&$select=id,userPrincipalName,userType,accountEnabled,mail",
            &[],
        )
        .await;
    assert_eq!(users.len(), 9);
    let upns: Vec<&str> = users
        .iter()
        .map(|u| u["userPrincipalName"].as_str().unwrap())
        .collect();
    assert!(
        upns.contains(&"alice@contoso.com") && upns.contains(&"info@contoso.com"),
        "{upns:?}"
    );
    let (status, print) = g
        .get("/v1.0/users/print@contoso.com/mailFolders/inbox")
        .await;
    assert_eq!(
        (status, print["error"]["code"].as_str()),
        (404, Some("MailboxNotEnabledForRESTAPI"))
    );
    assert_eq!(
        g.ok("/v1.0/users/info@contoso.com/mailboxSettings/userPurpose")
            .await["value"],
        "shared"
    );
    assert_eq!(
        g.get("/v1.0/users/nobody@contoso.com").await.1["error"]["code"],
        "Request_ResourceNotFound"
    );
    // Two slashes, an encoded name, a key in parentheses, an encoded `$`.
    for path in [
        "/v1.0//users/alice%40contoso.com",
        "/v1.0/users('alice@contoso.com')",
        "/v1.0/users/alice@contoso.com?%24select=displayName",
    ] {
        assert_eq!(g.ok(path).await["displayName"], "Alice Roe", "{path}");
    }

    let (_, link) = g
        .all(
            "/v1.0/users/delta?$select=displayName",
            &[("Prefer", "odata.maxpagesize=2")],
        )
        .await;
    let link = link.unwrap();
    assert_eq!(g.all(&link, &[]).await.0.len(), 0);
    assert_eq!(g.delete("/v1.0/users/bob@contoso.com").await, 204);
    assert_eq!(
        g.patch(ALICE, json!({"displayName": "Alice R."})).await.0,
        204
    );
    let (changed, link) = g.all(&link, &[]).await;
    assert_eq!(changed.len(), 2);
    assert!(changed.iter().any(|u| u["@removed"]["reason"] == "changed"));
    assert!(changed.iter().any(|u| u["displayName"] == "Alice R."));
    g.control(Method::POST, "expire-delta-tokens", json!({}))
        .await;
    assert_eq!(g.get(&link.unwrap()).await.0, 410);
}

#[tokio::test]
async fn what_clients_ask_before_they_begin() {
    let g = Graph::start(&["--messages", "10"]).await;
    assert_eq!(g.http.head(g.url("/")).send().await.unwrap().status(), 200);
    let tenant = &g.emulator.tenant;
    let config = g
        .ok(&format!("/{tenant}/v2.0/.well-known/openid-configuration"))
        .await;
    assert_eq!(
        config["token_endpoint"],
        g.url(&format!("/{tenant}/oauth2/v2.0/token"))
    );
    assert!(g.ok("/common/discovery/instance?api-version=1.1").await["metadata"].is_array());
}

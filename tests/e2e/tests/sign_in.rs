//! Ways to sign in other than a secret, and what to do when a token is taken back. The library
//! against the emulator: a token is good when it opens the list of users.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::Recorded;
use graph_emulator::Options;
use serde_json::{Value, json};
use tenantfs::graph::{Client, ClientConfig, Credential, Endpoints, Patience};

fn emulator() -> Result<Recorded> {
    Recorded::start(Options {
        accounts: 2,
        messages: 10,
        files: 0,
        ..Options::default()
    })
}

fn client(emulator: &Recorded, credential: Credential) -> Result<Client> {
    let endpoints = Endpoints::custom(emulator.url.parse()?, emulator.url.parse()?);
    let mut config = ClientConfig::new(endpoints, emulator.tenant.clone(), credential);
    config.patience = Patience {
        base: Duration::from_millis(10),
        ..Patience::default()
    };
    Ok(Client::new(config)?)
}

async fn users(client: &Client) -> Result<usize> {
    Ok(client.users(None).await?.users.len())
}

async fn control(emulator: &Recorded, what: &str, body: Value) -> Result<()> {
    let url = format!("{}/_emulator/{what}", emulator.url);
    let answer = reqwest::Client::new().post(url).json(&body).send().await?;
    ensure!(answer.status().is_success(), "{what}: {}", answer.status());
    Ok(())
}

/// Requests since the start: how many of this method and route were answered with this status.
async fn requests(emulator: &Recorded, method: &str, route: &str, status: u16) -> Result<u64> {
    let url = format!("{}/_emulator/requests", emulator.url);
    let counts: Value = reqwest::get(url).await?.json().await?;
    let routes = counts["by_route"].as_array().context("no list")?;
    Ok(routes
        .iter()
        .filter(|r| r["method"] == method && r["status"] == status)
        .filter(|r| r["route"].as_str().is_some_and(|r| r.ends_with(route)))
        .filter_map(|r| r["count"].as_u64())
        .sum())
}

fn now() -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_secs())
}

/// What an issuer that Entra trusts writes into the file: only it and Entra can check the signature.
fn federated_token(expires: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": "1"}));
    let claims = part(json!({
        "aud": "api://AzureADTokenExchange",
        "iss": "https://issuer.example/",
        "sub": "system:serviceaccount:backup:tenantfs",
        "nbf": expires - 3600,
        "exp": expires,
    }));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode("signature"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_token_is_read_anew_each_time() -> Result<()> {
    let emulator = emulator()?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("token");
    let credential = Credential::FederatedToken {
        client_id: emulator.client_id.clone(),
        file: file.clone(),
    };
    let client = client(&emulator, credential)?;

    let error = client.sign_in().await.expect_err("there is no file");
    ensure!(error.to_string().contains("token: "), "{error}");

    // One that expired while nobody renewed it.
    std::fs::write(&file, federated_token(now()? - 7200))?;
    let error = client.sign_in().await.expect_err("the token is too old");
    ensure!(error.to_string().contains("AADSTS700024"), "{error}");

    // The issuer's agent writes another, as a text file with a line end.
    std::fs::write(&file, federated_token(now()? + 3600) + "\n")?;
    ensure!(users(&client).await? >= 2);
    ensure!(
        !format!("{client:?}{error:?}").contains("eyJ"),
        "a token is in what is logged"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_asks_the_machine() -> Result<()> {
    let emulator = emulator()?;
    let credential = Credential::ManagedIdentity {
        client_id: Some(emulator.client_id.clone()),
        endpoint: Some(emulator.url.clone()),
    };
    let client = client(&emulator, credential.clone())?;
    // IMDS is busy or not there yet when a machine has just started.
    control(
        &emulator,
        "faults",
        json!([
            {"route": "*/identity/oauth2/token", "count": 1, "fault": {"status": 404, "empty": true}},
            {"route": "*/identity/oauth2/token", "count": 1, "fault": {"status": 429, "retry_after": 0}},
        ]),
    )
    .await?;
    ensure!(users(&client).await? >= 2);
    let route = "/identity/oauth2/token";
    ensure!(requests(&emulator, "GET", route, 200).await? == 1);
    ensure!(requests(&emulator, "POST", "/oauth2/v2.0/token", 200).await? == 0);

    // No identity was assigned to the machine: said at once, not tried again.
    control(
        &emulator,
        "faults",
        json!([{"route": "*/identity/oauth2/token", "count": 0, "fault": {"status": 400, "code": "invalid_request", "message": "Identity not found"}}]),
    )
    .await?;
    let before = requests(&emulator, "GET", route, 400).await?;
    let other = self::client(&emulator, credential)?;
    let error = other.sign_in().await.expect_err("there is no identity");
    ensure!(error.to_string().contains("Identity not found"), "{error}");
    ensure!(requests(&emulator, "GET", route, 400).await? == before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_is_replaced_with_the_claims_asked_for() -> Result<()> {
    let emulator = emulator()?;
    let credential = Credential::Secret {
        client_id: emulator.client_id.clone(),
        secret: emulator.client_secret.clone().into(),
    };
    let client = client(&emulator, credential)?;
    let all = users(&client).await?;
    let token = "/oauth2/v2.0/token";
    ensure!(requests(&emulator, "POST", token, 200).await? == 1);

    // The emulator takes no token any more that was not asked for with the claims of its challenge.
    control(&emulator, "revoke-tokens", json!({})).await?;
    ensure!(users(&client).await? == all);
    ensure!(requests(&emulator, "POST", token, 200).await? == 2);
    // That one is used from now on, until the next event; many requests get one token together.
    ensure!(users(&client).await? == all);
    ensure!(requests(&emulator, "POST", token, 200).await? == 2);
    control(&emulator, "revoke-tokens", json!({})).await?;
    let together = futures::future::join_all((0..8).map(|_| users(&client))).await;
    for users in together {
        ensure!(users? == all);
    }
    ensure!(requests(&emulator, "POST", token, 200).await? == 3);
    Ok(())
}

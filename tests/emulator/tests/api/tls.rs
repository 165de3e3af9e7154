//! TLS on the same listener, and sign-in by certificate.

use std::path::Path;
use std::process::Command;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::Graph;

/// A key and a certificate of its own in `dir`, made by the openssl program.
fn certificate(dir: &Path, name: &str) -> (String, String) {
    let (key, cert) = (
        dir.join(format!("{name}.key")),
        dir.join(format!("{name}.pem")),
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    (key.display().to_string(), cert.display().to_string())
}

#[tokio::test]
async fn one_listener_speaks_tls_and_links_follow_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(dir.path(), "tls");
    use clap::Parser as _;
    let arguments = [
        "graph-emulator",
        "--messages",
        "50",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let emulator =
        graph_emulator::Emulator::start(graph_emulator::Options::parse_from(arguments)).unwrap();
    let address = emulator
        .url
        .strip_prefix("https://")
        .unwrap()
        .parse()
        .unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .danger_accept_invalid_certs(true)
        .resolve("graph.microsoft.com", address)
        .build()
        .unwrap();
    let host = format!("https://graph.microsoft.com:{}", address.port());
    let url = format!("{host}/v1.0/users/alice@contoso.com/messages?$top=1&$select=id");
    let response = http
        .get(url)
        .bearer_auth(graph_emulator::STATIC_TOKEN)
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let page: Value = response.json().await.unwrap();
    assert!(
        page["@odata.nextLink"].as_str().unwrap().starts_with(&host),
        "{page}"
    );
}

#[tokio::test]
async fn certificates_sign_in_once_and_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let (key, cert) = certificate(dir.path(), "app");
    let (other, _) = certificate(dir.path(), "other");
    let g = Graph::start(&[
        "--messages",
        "0",
        "--client-certificate",
        &cert,
        "--client-id",
        "app",
    ])
    .await;
    let der = Command::new("openssl")
        .args(["x509", "-in", &cert, "-outform", "DER"])
        .output()
        .unwrap()
        .stdout;
    let thumbprint = {
        use base64::Engine as _;
        use sha2::Digest as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(der))
    };
    let path = format!("/{}/oauth2/v2.0/token", g.emulator.tenant);
    let audience = g.url(&path);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let sign = |key: &str, algorithm: Algorithm, claims: Value| {
        let mut header = Header::new(algorithm);
        header.x5t_s256 = Some(thumbprint.clone());
        let key = EncodingKey::from_rsa_pem(&std::fs::read(key).unwrap()).unwrap();
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let claims = |jti: &str| json!({"aud": audience, "iss": "app", "sub": "app", "jti": jti, "nbf": now, "exp": now + 300});
    let ask = async |assertion: String| {
        let form = format!(
            "grant_type=client_credentials&client_id=app&scope=x%2F.default&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        );
        g.post_form(&path, form).await
    };
    let good = sign(&key, Algorithm::PS256, claims("1"));
    assert!(ask(good.clone()).await["access_token"].is_string());
    assert_eq!(ask(good).await["error_codes"][0], 50_012);
    assert!(ask(sign(&key, Algorithm::RS256, claims("2"))).await["access_token"].is_string());
    assert_eq!(
        ask(sign(&other, Algorithm::PS256, claims("3"))).await["error_codes"][0],
        700_027
    );
    let mut late = claims("4");
    late["exp"] = json!(now - 1000);
    late["nbf"] = json!(now - 2000);
    assert_eq!(
        ask(sign(&key, Algorithm::PS256, late)).await["error_codes"][0],
        700_024
    );
    let mut elsewhere = claims("5");
    elsewhere["aud"] = json!("https://login.example/x");
    assert_eq!(
        ask(sign(&key, Algorithm::PS256, elsewhere)).await["error_codes"][0],
        50_012
    );
}

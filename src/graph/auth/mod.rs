//! Sign-in: one token at a time, shared by everybody, fetched once.
//!
//! Invariants: a token lives in a `SecretString` and in no log, error or `Debug` output; a refresh
//! is single-flight; a token with less than five minutes left is replaced before it is used.

mod certificate;
mod federated;
mod managed;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cloud::Endpoints;
use super::error::{ErrorClass, GraphError};
use super::retry::Patience;

/// How the application proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret.
    Secret {
        /// Application id.
        client_id: String,
        /// As Entra showed it once.
        secret: SecretString,
    },
    /// A certificate: PEM with the private key (RSA) and the certificate, in any order.
    Certificate {
        /// Application id.
        client_id: String,
        /// The text of the file.
        pem: SecretString,
    },
    /// A token file that somebody else keeps fresh (Kubernetes and other issuers); read each time.
    FederatedToken {
        /// Application id.
        client_id: String,
        /// Where the token is.
        file: PathBuf,
    },
    /// The identity of the virtual machine this runs on, through IMDS.
    ManagedIdentity {
        /// Picks one of several user-assigned identities.
        client_id: Option<String>,
        /// Where IMDS answers; `None` for `http://169.254.169.254`.
        endpoint: Option<String>,
    },
}

const SIGN_IN: &str = "POST /{tenant}/oauth2/v2.0/token";
/// A token is replaced when it has less than this left.
const MARGIN: Duration = Duration::from_secs(300);
/// Bytes of a token answer; real ones are below 8 KiB.
const MAX_ANSWER: usize = 256 * 1024;

struct Token {
    secret: SecretString,
    until: Instant,
    /// Counts up with every refresh, so that "this one was refused" names one token.
    generation: u64,
}

/// A token and which one it is.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub secret: SecretString,
    pub generation: u64,
}

pub(crate) struct TokenSource {
    http: reqwest::Client,
    endpoints: Endpoints,
    tenant: String,
    credential: Credential,
    patience: Patience,
    /// What the tokens are for: `https://graph.microsoft.com`, or a SharePoint host.
    resource: String,
    cached: Mutex<Option<Token>>,
}

impl TokenSource {
    pub fn new(
        http: reqwest::Client,
        endpoints: Endpoints,
        tenant: String,
        credential: Credential,
        patience: Patience,
    ) -> Self {
        Self {
            http,
            resource: endpoints.resource(),
            endpoints,
            tenant,
            credential,
            patience,
            cached: Mutex::new(None),
        }
    }

    /// Tokens of the same identity for another resource.
    pub fn for_resource(&self, resource: String) -> Self {
        Self {
            http: self.http.clone(),
            endpoints: self.endpoints.clone(),
            tenant: self.tenant.clone(),
            credential: self.credential.clone(),
            patience: self.patience.clone(),
            resource,
            cached: Mutex::new(None),
        }
    }

    /// A token that is good for five minutes at least.
    pub async fn bearer(&self) -> Result<Bearer, GraphError> {
        self.fresh(None, None).await
    }

    /// Another token than `refused`, after a 401, with the claims of a challenge if there was one.
    pub async fn another(&self, refused: u64, claims: Option<&str>) -> Result<Bearer, GraphError> {
        self.fresh(Some(refused), claims).await
    }

    async fn fresh(
        &self,
        refused: Option<u64>,
        claims: Option<&str>,
    ) -> Result<Bearer, GraphError> {
        // Whoever holds the lock fetches; the others find the result.
        let mut cached = self.cached.lock().await;
        let mut generation = 0;
        if let Some(token) = cached.as_ref() {
            generation = token.generation;
            let left = token.until.saturating_duration_since(Instant::now());
            if refused != Some(token.generation) && left > MARGIN {
                return Ok(Bearer {
                    secret: token.secret.clone(),
                    generation,
                });
            }
        }
        let (secret, lifetime) = self.fetch(claims).await?;
        // Short-lived tokens (10 minutes are possible) are used for half of their life.
        let lifetime = lifetime.max(Duration::from_secs(30));
        let usable = if lifetime > 2 * MARGIN {
            lifetime
        } else {
            MARGIN + lifetime / 2
        };
        let token = Token {
            secret: secret.clone(),
            until: Instant::now() + usable,
            generation: generation + 1,
        };
        *cached = Some(token);
        Ok(Bearer {
            secret,
            generation: generation + 1,
        })
    }

    async fn fetch(&self, claims: Option<&str>) -> Result<(SecretString, Duration), GraphError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = match &self.credential {
                Credential::ManagedIdentity {
                    client_id,
                    endpoint,
                } => {
                    managed::token(
                        &self.http,
                        endpoint.as_deref(),
                        client_id.as_deref(),
                        &self.resource,
                    )
                    .await
                }
                _ => self.client_credentials(claims).await,
            };
            let error = match outcome {
                Ok(token) => return Ok(token),
                Err(e) => e,
            };
            let limit = match error.class {
                ErrorClass::Network => self.patience.network_attempts,
                ErrorClass::Transient | ErrorClass::Throttled => self.patience.attempts,
                _ => 1,
            };
            if attempt >= limit {
                return Err(error);
            }
            let wait = error
                .retry_after
                .unwrap_or_else(|| self.patience.backoff(attempt));
            tracing::debug!(%error, ?wait, "sign-in failed, trying again");
            tokio::time::sleep(wait.min(self.patience.total)).await;
        }
    }

    async fn client_credentials(
        &self,
        claims: Option<&str>,
    ) -> Result<(SecretString, Duration), GraphError> {
        let url = self.endpoints.token_url(&self.tenant);
        let scope = format!("{}/.default", self.resource);
        let claims = merged_claims(claims);
        let mut form: Vec<(&str, SecretString)> = vec![
            ("grant_type", "client_credentials".into()),
            ("scope", scope.into()),
            ("claims", claims.into()),
        ];
        const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        match &self.credential {
            Credential::Secret { client_id, secret } => {
                form.push(("client_id", client_id.as_str().into()));
                form.push(("client_secret", secret.clone()));
            }
            Credential::Certificate { client_id, pem } => {
                form.push(("client_id", client_id.as_str().into()));
                form.push(("client_assertion_type", ASSERTION.into()));
                form.push((
                    "client_assertion",
                    certificate::assertion(client_id, pem, &url)?,
                ));
            }
            Credential::FederatedToken { client_id, file } => {
                form.push(("client_id", client_id.as_str().into()));
                form.push(("client_assertion_type", ASSERTION.into()));
                form.push(("client_assertion", federated::assertion(file).await?));
            }
            Credential::ManagedIdentity { .. } => {}
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().map(|(k, v)| (*k, v.expose_secret())))
            .finish();
        let request = self
            .http
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        let (status, body, retry_after) = exchange(request, SIGN_IN, &url).await?;
        if status != 200 {
            let mut error = GraphError::from_answer(status, &body, SIGN_IN);
            if transient_sign_in(&error.message) {
                error = error.with_class(ErrorClass::Transient);
            } else if (400..500).contains(&status) && status != 429 && status != 408 {
                error = error.with_class(ErrorClass::Auth);
            }
            return Err(error.with_headers(None, retry_after, None));
        }
        token_of(&body, SIGN_IN)
    }
}

/// One exchange outside of Graph: status, bounded body, `Retry-After`.
async fn exchange(
    request: reqwest::RequestBuilder,
    route: &'static str,
    url: &str,
) -> Result<(u16, Vec<u8>, Option<Duration>), GraphError> {
    let network = |e: reqwest::Error| {
        GraphError::local(
            ErrorClass::Network,
            route,
            format!("{url}: {}", super::transport::causes(&e.without_url())),
        )
    };
    let mut answer = request.send().await.map_err(network)?;
    let status = answer.status().as_u16();
    let retry_after = answer
        .headers()
        .get("retry-after")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| super::retry::retry_after(v, super::transport::unix_now()));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(network)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(GraphError::local(
                ErrorClass::Ours,
                route,
                "the answer is not a token",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body, retry_after))
}

/// Reads a token answer. Entra sends numbers, IMDS sends the same numbers as strings.
fn token_of(body: &[u8], route: &'static str) -> Result<(SecretString, Duration), GraphError> {
    let value: Value = super::json::parse(body).map_err(|_| {
        GraphError::local(
            ErrorClass::Network,
            route,
            "the token answer is cut off or not JSON",
        )
    })?;
    let token = value["access_token"]
        .as_str()
        .filter(|t| !t.is_empty())
        .ok_or_else(|| {
            GraphError::local(ErrorClass::Auth, route, "the answer holds no access_token")
        })?;
    let seconds = match &value["expires_in"] {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    };
    Ok((
        token.to_owned().into(),
        Duration::from_secs(seconds.unwrap_or(3600).min(172_800)),
    ))
}

/// AADSTS codes of service trouble, and of a federation entry that is not everywhere yet.
fn transient_sign_in(message: &str) -> bool {
    [
        "90055", "90033", "90006", "90012", "90024", "90090", "70021",
    ]
    .iter()
    .any(|code| message.contains(&format!("AADSTS{code}:")))
}

/// The claims request of continuous access evaluation: the capability `cp1`, and what a challenge
/// asks for (base64 of JSON, with either alphabet, padded or not).
fn merged_claims(challenge: Option<&str>) -> String {
    let mut claims = json!({"access_token": {"xms_cc": {"values": ["cp1"]}}});
    let asked: Option<Value> = challenge.and_then(|text| {
        let text = text.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .or_else(|_| STANDARD.decode(text))
            .ok()?;
        serde_json::from_slice(&bytes).ok()
    });
    if let Some(asked) = asked.as_ref().and_then(|v| v["access_token"].as_object())
        && let Some(ours) = claims["access_token"].as_object_mut()
    {
        for (name, value) in asked {
            ours.insert(name.clone(), value.clone());
        }
    }
    claims.to_string()
}

/// The claims of a `WWW-Authenticate` challenge, if it is one of continuous access evaluation.
pub(crate) fn challenge(header: &str) -> Option<String> {
    if !header.contains("insufficient_claims") {
        return None;
    }
    let at = header.find("claims=\"").filter(|&at| {
        // Not the one inside `error="insufficient_claims"`.
        at == 0 || !header.as_bytes()[at - 1].is_ascii_alphanumeric()
    })?;
    let rest = &header[at + 8..];
    Some(rest[..rest.find('"')?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_challenge_is_merged_with_our_capability() {
        let asked = STANDARD.encode(r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#);
        let header = format!(
            "Bearer realm=\"\", authorization_uri=\"https://x\", error=\"insufficient_claims\", claims=\"{asked}\""
        );
        let claims = challenge(&header).unwrap();
        let merged: Value = serde_json::from_str(&merged_claims(Some(&claims))).unwrap();
        assert_eq!(merged["access_token"]["nbf"]["value"], "1");
        assert_eq!(merged["access_token"]["xms_cc"]["values"][0], "cp1");
        assert_eq!(challenge("Bearer error=\"invalid_token\""), None);
    }

    #[test]
    fn imds_writes_numbers_as_strings() {
        let body = br#"{"access_token":"a","expires_in":"3599"}"#;
        assert_eq!(
            token_of(body, SIGN_IN).unwrap().1,
            Duration::from_secs(3599)
        );
        let body = br#"{"access_token":"a","expires_in":3599}"#;
        assert_eq!(
            token_of(body, SIGN_IN).unwrap().1,
            Duration::from_secs(3599)
        );
    }

    proptest! {
        #[test]
        fn never_panics(s in ".*") {
            let _ = challenge(&s);
            let _ = challenge(&format!("error=\"insufficient_claims\", claims=\"{s}"));
            let _ = merged_claims(Some(&s));
        }
    }
}

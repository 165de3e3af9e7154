//! Sign-in: the token endpoint, the tokens it gives out, and reading them back.
//!
//! Access tokens are JWTs with the claims clients read (`aud`, `tid`, `oid`, `upn`, `roles`, `exp`), signed
//! with a key of this process. Their lifetime follows the emulator's clock. A refresh token this
//! process never made is taken for the first user's: real clients are configured with invented ones.

mod assertion;
mod endpoints;

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::api::{ApiResponse, Caller};
use crate::options::{Options, Quirk};
use crate::world::World;
use assertion::Certificate;

pub use endpoints::{device_code, discovery, managed_identity, openid_configuration, token};

/// Accepted as it stands, for clients that are given a fixed token.
pub const STATIC_TOKEN: &str = "emulator-token";

/// Every application permission the emulator gives meaning to.
pub const ALL_ROLES: &[&str] = &[
    "User.Read.All",
    "User.ReadWrite.All",
    "Directory.Read.All",
    "Organization.Read.All",
    "Mail.Read",
    "Mail.ReadWrite",
    "Mail.Send",
    "MailboxFolder.Read.All",
    "MailboxFolder.ReadWrite.All",
    "MailboxItem.Read.All",
    "MailboxItem.ReadWrite.All",
    "MailboxItem.Export.All",
    "MailboxItem.ImportExport.All",
    "MailboxSettings.Read",
    "MailboxSettings.ReadWrite",
    "Calendars.Read",
    "Calendars.ReadWrite",
    "Contacts.Read",
    "Contacts.ReadWrite",
    "Files.Read.All",
    "Files.ReadWrite.All",
    "Sites.Read.All",
    "Sites.ReadWrite.All",
    "Sites.Manage.All",
    "Sites.FullControl.All",
    "Group.Read.All",
    "Tasks.Read.All",
    "Tasks.ReadWrite.All",
    "Reports.Read.All",
];

struct App {
    secret: String,
    roles: Vec<String>,
}

/// What an access token is for.
struct Grant<'a> {
    app_id: &'a str,
    /// The host it opens.
    resource: String,
    /// How the application proved who it is, as the claim `appidacr` says it: `1` by a secret, `2` by a
    /// certificate, an identity of another issuer's or a managed one, `0` not at all.
    proof: &'static str,
}

const GRAPH: &str = "https://graph.microsoft.com";

/// The host that a scope (or resource) is about: one of SharePoint's, or else Graph.
fn resource(scope: &str) -> String {
    let mut hosts = scope.split(' ').filter_map(|s| {
        let host = s.strip_prefix("https://")?.split('/').next()?;
        host.to_ascii_lowercase()
            .contains(".sharepoint.")
            .then(|| format!("https://{host}"))
    });
    hosts.next_back().unwrap_or_else(|| GRAPH.to_owned())
}

/// Gives out and reads tokens.
pub struct Issuer {
    pub secret: String,
    apps: HashMap<String, App>,
    certificates: Vec<Certificate>,
    key: Vec<u8>,
    /// `jti` of assertions that were used.
    seen: Mutex<HashSet<String>>,
    /// Polls of each device code.
    devices: Mutex<HashMap<String, u32>>,
    /// What a token must have been asked for with, since the last critical event (continuous
    /// access evaluation): the value of the claim `nbf`.
    demanded: Mutex<Option<String>>,
}

impl Issuer {
    pub fn new(options: &Options) -> anyhow::Result<Issuer> {
        let mut random = [0u8; 24];
        getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
        let secret = options
            .client_secret
            .clone()
            .unwrap_or_else(|| URL_SAFE_NO_PAD.encode(&random[..18]));
        let roles = if options.roles.is_empty() {
            ALL_ROLES.iter().map(|r| (*r).to_owned()).collect()
        } else {
            options.roles.clone()
        };
        let mut apps = HashMap::new();
        apps.insert(
            options.client_id.clone(),
            App {
                secret: secret.clone(),
                roles,
            },
        );
        for app in &options.app {
            let mut parts = app.splitn(3, ':');
            let (Some(id), Some(secret), Some(roles)) = (parts.next(), parts.next(), parts.next())
            else {
                anyhow::bail!("--app {app}: write it as CLIENT_ID:SECRET:ROLE+ROLE");
            };
            let roles = roles
                .split('+')
                .filter(|r| !r.is_empty())
                .map(str::to_owned)
                .collect();
            apps.insert(
                id.to_owned(),
                App {
                    secret: secret.to_owned(),
                    roles,
                },
            );
        }
        let mut issuer = Issuer {
            secret,
            apps,
            certificates: Vec::new(),
            key: random.to_vec(),
            seen: Mutex::default(),
            devices: Mutex::default(),
            demanded: Mutex::default(),
        };
        for path in &options.client_certificate {
            let pem = std::fs::read_to_string(path).map_err(|e| {
                anyhow::anyhow!("cannot read the certificate {}: {e}", path.display())
            })?;
            issuer.certificates.push(
                assertion::certificate(&pem)
                    .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?,
            );
        }
        Ok(issuer)
    }

    /// Something happened after which tokens given out so far are worth nothing.
    pub fn revoke(&self, now: i64) {
        let mut demanded = self.demanded.lock();
        // Two events in one second are two.
        let last = demanded
            .as_deref()
            .and_then(|value| value.parse::<i64>().ok());
        *demanded = Some(last.map_or(now, |last| now.max(last + 1)).to_string());
    }

    /// The refusal of a token from before the last critical event. A client that said it can deal
    /// with it (capability `cp1`) is told what to ask for.
    fn challenge(&self, claims: &Value) -> Option<ApiResponse> {
        let demanded = self.demanded.lock().clone()?;
        if claims["xms_cae_nbf"].as_str() == Some(&demanded) {
            return None;
        }
        let refusal = ApiResponse::error(
            401,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenCreatedWithOutdatedPolicies",
        );
        let capable = claims["xms_cc"]
            .as_array()
            .is_some_and(|values| values.iter().any(|v| v == "cp1"));
        let asked = json!({"access_token": {"nbf": {"essential": true, "value": demanded}}});
        let header = match capable {
            true => format!(
                "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
                 error=\"insufficient_claims\", claims=\"{}\"",
                STANDARD.encode(asked.to_string())
            ),
            false => "Bearer realm=\"\", error=\"invalid_token\"".to_owned(),
        };
        Some(refusal.with_header("www-authenticate", &header))
    }

    /// Who a request comes from, or the 401 it gets.
    pub fn caller(&self, world: &World, headers: &HeaderMap) -> Result<Caller, ApiResponse> {
        let refuse = |message: &str| {
            ApiResponse::error(401, "InvalidAuthenticationToken", message).with_header(
                "www-authenticate",
                "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\"",
            )
        };
        let header = headers.get("authorization").and_then(|v| v.to_str().ok());
        let Some((scheme, token)) = header.and_then(|h| h.trim().split_once(' ')) else {
            return Err(refuse("Access token is empty."));
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refuse("Access token is empty."));
        }
        let token = token.trim();
        if token == STATIC_TOKEN {
            let app_id = world.options.client_id.clone();
            let roles = self
                .apps
                .get(&app_id)
                .map(|a| a.roles.clone())
                .unwrap_or_default();
            return Ok(Caller {
                app_id,
                roles,
                user: None,
            });
        }
        let claims = self.claims(token).ok_or_else(|| {
            refuse("IDX14100: JWT is not well formed, or its signature is not valid.")
        })?;
        if claims["exp"].as_i64().unwrap_or(0) <= world.clock.now() {
            return Err(refuse("Lifetime validation failed, the token is expired."));
        }
        if claims["aud"] != GRAPH {
            return Err(refuse("Access token validation failure. Invalid audience."));
        }
        if let Some(refusal) = self.challenge(&claims) {
            return Err(refusal);
        }
        Ok(of_claims(&claims))
    }

    /// Who a request to a SharePoint host comes from, or the 401 it gets. Applications must have proved
    /// themselves by a certificate.
    pub fn sharepoint_caller(
        &self,
        world: &World,
        headers: &HeaderMap,
        host: &str,
    ) -> Result<Caller, ApiResponse> {
        let refuse = |code: u32, message: &str| {
            ApiResponse::json(401, json!({"error_description": message})).with_header(
                "x-ms-diagnostics",
                &format!("{code};reason=\"{message}\";category=\"invalid_client\""),
            )
        };
        let header = headers.get("authorization").and_then(|v| v.to_str().ok());
        let token = header
            .and_then(|h| h.trim().split_once(' '))
            .map(|(_, token)| token.trim());
        let claims = token.and_then(|token| self.claims(token));
        let Some(claims) = claims else {
            return Err(refuse(
                3_000_006,
                "Invalid JWT token. The token is not valid.",
            ));
        };
        if claims["exp"].as_i64().unwrap_or(0) <= world.clock.now() {
            return Err(refuse(3_000_005, "The token is expired."));
        }
        let audience = claims["aud"].as_str().unwrap_or_default();
        if !audience.eq_ignore_ascii_case(&format!("https://{host}")) {
            return Err(refuse(
                3_000_003,
                &format!("Invalid audience Uri '{audience}'."),
            ));
        }
        if claims["idtyp"] == "app" && claims["appidacr"] != "2" {
            return Err(refuse(3_001_000, "Unsupported app only token."));
        }
        Ok(of_claims(&claims))
    }

    /// What a token of this process says; its time is not looked at.
    fn claims(&self, token: &str) -> Option<Value> {
        let mut rules = Validation::new(Algorithm::HS256);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(&self.key);
        let token = jsonwebtoken::decode::<Value>(token, &key, &rules).ok()?;
        Some(token.claims)
    }
}

/// Who a token is of.
fn of_claims(claims: &Value) -> Caller {
    let mut roles: Vec<String> = claims["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    roles.extend(
        claims["scp"]
            .as_str()
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned),
    );
    Caller {
        app_id: claims["appid"].as_str().unwrap_or_default().to_owned(),
        roles,
        user: claims["upn"]
            .is_string()
            .then(|| claims["oid"].as_str().unwrap_or_default().to_owned()),
    }
}

impl Issuer {
    fn access_token(
        &self,
        world: &World,
        base_url: &str,
        grant: &Grant,
        user: Option<&str>,
        asked: &Value,
    ) -> (String, i64) {
        let app_id = grant.app_id;
        let now = world.clock.now();
        let lifetime = if world.options.has(Quirk::RandomLifetime) {
            world
                .rng(&format!("token {}", world.clock.now_ms()))
                .range(3600, 5400) as i64
        } else {
            world.options.token_lifetime
        };
        let roles = self
            .apps
            .get(app_id)
            .map(|a| a.roles.clone())
            .unwrap_or_default();
        let tenant = &world.options.tenant;
        let mut claims = json!({
            "aud": grant.resource, "appidacr": grant.proof, "iss": format!("{base_url}/{tenant}/v2.0"), "tid": tenant, "appid": app_id,
            "iat": now, "nbf": now, "exp": now + lifetime, "ver": "1.0", "app_displayname": "emulated application",
        });
        let asked = &asked["access_token"];
        if let Some(capabilities) = asked["xms_cc"]["values"].as_array() {
            claims["xms_cc"] = json!(capabilities);
        }
        if let Some(value) = asked["nbf"]["value"].as_str() {
            claims["xms_cae_nbf"] = json!(value);
        }
        match user.and_then(|id| world.user(id)) {
            Some(user) => {
                claims["oid"] = json!(user.id);
                claims["upn"] = json!(user.upn);
                claims["unique_name"] = json!(user.upn);
                claims["name"] = json!(user.display_name);
                claims["idtyp"] = json!("user");
                let scopes: Vec<&str> = roles
                    .iter()
                    .map(|r| r.strip_suffix(".All").unwrap_or(r))
                    .collect();
                claims["scp"] = json!(format!("User.Read {}", scopes.join(" ")));
            }
            None => {
                claims["oid"] = json!(world.rng(&format!("app {app_id}")).guid());
                claims["idtyp"] = json!("app");
                claims["roles"] = json!(roles);
            }
        }
        let token = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &EncodingKey::from_secret(&self.key),
        );
        (token.unwrap_or_default(), lifetime)
    }
}

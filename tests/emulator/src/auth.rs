//! Sign-in: the token endpoint, the tokens it gives out, and reading them back.
//!
//! Access tokens are JWTs with the claims clients read (`aud`, `tid`, `oid`, `upn`, `roles`, `exp`), signed
//! with a key of this process. Their lifetime follows the emulator's clock. A refresh token this
//! process never made is taken for the first user's: real clients are configured with invented ones.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::api::{ApiResponse, Caller, parse_query};
use crate::options::{Options, Quirk};
use crate::world::World;

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
    "Sites.FullControl.All",
    "Group.Read.All",
    "Tasks.Read.All",
    "Reports.Read.All",
];

struct App {
    secret: String,
    roles: Vec<String>,
}

struct Certificate {
    sha1: String,
    sha256: String,
    key: DecodingKey,
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
        };
        for path in &options.client_certificate {
            let pem = std::fs::read_to_string(path).map_err(|e| {
                anyhow::anyhow!("cannot read the certificate {}: {e}", path.display())
            })?;
            issuer
                .certificates
                .push(certificate(&pem).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?);
        }
        Ok(issuer)
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
        let mut rules = Validation::new(Algorithm::HS256);
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.required_spec_claims.clear();
        let claims =
            jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(&self.key), &rules)
                .map_err(|_| {
                    refuse("IDX14100: JWT is not well formed, or its signature is not valid.")
                })?
                .claims;
        if claims["exp"].as_i64().unwrap_or(0) <= world.clock.now() {
            return Err(refuse("Lifetime validation failed, the token is expired."));
        }
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
        Ok(Caller {
            app_id: claims["appid"].as_str().unwrap_or_default().to_owned(),
            roles,
            user: claims["upn"]
                .is_string()
                .then(|| claims["oid"].as_str().unwrap_or_default().to_owned()),
        })
    }

    fn access_token(
        &self,
        world: &World,
        base_url: &str,
        app_id: &str,
        user: Option<&str>,
    ) -> (String, i64) {
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
            "aud": "https://graph.microsoft.com", "iss": format!("{base_url}/{tenant}/v2.0"), "tid": tenant, "appid": app_id,
            "iat": now, "nbf": now, "exp": now + lifetime, "ver": "1.0", "app_displayname": "emulated application",
        });
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

/// Reads a certificate for the assertions it signs: its thumbprints and its key.
fn certificate(pem: &str) -> anyhow::Result<Certificate> {
    let start = pem
        .find("-----BEGIN CERTIFICATE-----")
        .ok_or_else(|| anyhow::anyhow!("holds no certificate"))?;
    let pem = &pem[start..];
    let end = pem
        .find("-----END CERTIFICATE-----")
        .ok_or_else(|| anyhow::anyhow!("the certificate does not end"))?;
    let body: String = pem["-----BEGIN CERTIFICATE-----".len()..end]
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let der = STANDARD
        .decode(body)
        .map_err(|_| anyhow::anyhow!("the certificate is not base64"))?;
    let spki = rsa_key(&der).ok_or_else(|| anyhow::anyhow!("the certificate has no RSA key"))?;
    Ok(Certificate {
        sha1: URL_SAFE_NO_PAD.encode(sha1::Sha1::digest(&der)),
        sha256: URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&der)),
        key: DecodingKey::from_rsa_der(spki),
    })
}

/// The RSAPublicKey inside a certificate: the bit string after the rsaEncryption identifier (RFC 5280).
fn rsa_key(der: &[u8]) -> Option<&[u8]> {
    const OID: &[u8] = &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03,
    ];
    let at = der.windows(OID.len()).position(|w| w == OID)? + OID.len();
    let first = *der.get(at)?;
    let (length, start) = if first < 0x80 {
        (usize::from(first), at + 1)
    } else {
        let n = usize::from(first & 0x7f);
        let length = der
            .get(at + 1..at + 1 + n)?
            .iter()
            .try_fold(0usize, |l, b| {
                l.checked_mul(256)?.checked_add(usize::from(*b))
            })?;
        (length, at + 1 + n)
    };
    // The first byte of a bit string counts the unused bits.
    der.get(start + 1..start.checked_add(length)?)
}

/// A refusal of the token endpoint. `code` is the number after `AADSTS`.
fn refuse(world: &World, status: u16, error: &str, code: u32, message: &str) -> ApiResponse {
    let mut rng = world.rng(&format!("trace {}", world.clock.now_ms()));
    let (trace, correlation) = (rng.guid(), rng.guid());
    let time = crate::clock::rfc3339(world.clock.now()).replace('T', " ");
    ApiResponse::json(
        status,
        json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}"),
            "error_codes": [code], "timestamp": time, "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        }),
    )
}

/// The form of a token request, with the client's credentials wherever they were sent.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8], headers: &HeaderMap) -> Form {
        let mut form = parse_query(&String::from_utf8_lossy(body));
        let basic = headers
            .get("authorization")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, text)| STANDARD.decode(text.trim()).ok())
            .and_then(|raw| String::from_utf8(raw).ok());
        if let Some((id, secret)) = basic.as_deref().and_then(|t| t.split_once(':')) {
            let decode = |s: &str| {
                percent_encoding::percent_decode_str(s)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            form.push(("client_id".into(), decode(id)));
            form.push(("client_secret".into(), decode(secret)));
        }
        Form(form)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }
}

fn known_tenant(world: &World, tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(&world.options.tenant)
        || tenant.eq_ignore_ascii_case(&world.options.domain)
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub fn token(
    world: &World,
    tenant: &str,
    base_url: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> ApiResponse {
    let form = Form::read(body, headers);
    issue(world, tenant, base_url, &form)
        .unwrap_or_else(|refusal| refusal)
        .with_header("cache-control", "no-store, no-cache")
}

fn issue(
    world: &World,
    tenant: &str,
    base_url: &str,
    form: &Form,
) -> Result<ApiResponse, ApiResponse> {
    let issuer = &world.auth;
    let missing = |name: &str| {
        refuse(
            world,
            400,
            "invalid_request",
            900_144,
            &format!("The request body must contain the following parameter: '{name}'."),
        )
    };
    let grant = form
        .get("grant_type")
        .ok_or_else(|| missing("grant_type"))?;
    let common = ["common", "organizations", "consumers"]
        .iter()
        .any(|c| tenant.eq_ignore_ascii_case(c));
    if !common && !known_tenant(world, tenant) {
        return Err(refuse(
            world,
            400,
            "invalid_request",
            90_002,
            &format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
            ),
        ));
    }
    let app_id = form.get("client_id").ok_or_else(|| missing("client_id"))?;
    let Some(app) = issuer.apps.get(app_id) else {
        return Err(refuse(
            world,
            400,
            "unauthorized_client",
            700_016,
            &format!(
                "Application with identifier '{app_id}' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant."
            ),
        ));
    };
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), _) if secret != app.secret => {
            return Err(refuse(
                world,
                401,
                "invalid_client",
                7_000_215,
                &format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{app_id}'."
                ),
            ));
        }
        (Some(_), _) => {}
        (None, Some(assertion)) => check_assertion(world, app_id, tenant, base_url, assertion)?,
        (None, None) if grant == "client_credentials" => {
            return Err(refuse(
                world,
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            ));
        }
        (None, None) => {}
    }
    let user = match grant {
        "client_credentials" => {
            if common {
                return Err(refuse(
                    world,
                    400,
                    "invalid_request",
                    9_001_023,
                    "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.",
                ));
            }
            let scope = form
                .get("scope")
                .or(form.get("resource"))
                .ok_or_else(|| missing("scope"))?;
            if form.get("resource").is_none()
                && (!scope.ends_with(".default") || scope.trim().contains(' '))
            {
                return Err(refuse(
                    world,
                    400,
                    "invalid_scope",
                    1_002_012,
                    &format!(
                        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."
                    ),
                ));
            }
            let (token, lifetime) = issuer.access_token(world, base_url, app_id, None);
            return Ok(ApiResponse::ok(
                json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}),
            ));
        }
        "refresh_token" => {
            let refresh = form
                .get("refresh_token")
                .ok_or_else(|| missing("refresh_token"))?;
            match world.tokens.open::<String>("refresh", refresh) {
                Ok(user) => user,
                Err(_) => world
                    .users()
                    .first()
                    .map(|u| u.id.clone())
                    .unwrap_or_default(),
            }
        }
        "password" => {
            let name = form.get("username").ok_or_else(|| missing("username"))?;
            form.get("password").ok_or_else(|| missing("password"))?;
            let user = world.user(name).ok_or_else(|| {
                refuse(
                    world,
                    400,
                    "invalid_grant",
                    50_034,
                    &format!("The user account {name} does not exist in the directory."),
                )
            })?;
            user.id.clone()
        }
        "urn:ietf:params:oauth:grant-type:device_code" | "device_code" => {
            let code = form
                .get("device_code")
                .or(form.get("code"))
                .ok_or_else(|| missing("device_code"))?;
            let mut devices = issuer.devices.lock();
            let polls = devices.get_mut(code).ok_or_else(|| {
                refuse(
                    world,
                    400,
                    "bad_verification_code",
                    70_018,
                    "Invalid verification code.",
                )
            })?;
            *polls += 1;
            if *polls == 1 {
                return Err(refuse(
                    world,
                    400,
                    "authorization_pending",
                    70_016,
                    "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
                ));
            }
            world
                .users()
                .first()
                .map(|u| u.id.clone())
                .unwrap_or_default()
        }
        other => {
            return Err(refuse(
                world,
                400,
                "unsupported_grant_type",
                70_003,
                &format!("The app requested an unsupported grant type '{other}'."),
            ));
        }
    };
    let Some(who) = world.user(&user) else {
        return Err(refuse(
            world,
            400,
            "invalid_grant",
            50_034,
            "The user account does not exist in the directory.",
        ));
    };
    let (token, lifetime) = issuer.access_token(world, base_url, app_id, Some(&user));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = world.clock.now();
    let id_token = format!(
        "{}.{}.",
        part(&json!({"typ": "JWT", "alg": "none"})),
        part(
            &json!({"aud": app_id, "iss": format!("{base_url}/{}/v2.0", world.options.tenant), "tid": world.options.tenant, "oid": who.id,
            "sub": who.id, "preferred_username": who.upn, "name": who.display_name, "iat": now, "nbf": now, "exp": now + lifetime, "ver": "2.0"})
        )
    );
    Ok(ApiResponse::ok(json!({
        "token_type": "Bearer", "scope": form.get("scope").unwrap_or("https://graph.microsoft.com/.default"), "expires_in": lifetime,
        "ext_expires_in": lifetime, "access_token": token, "refresh_token": world.tokens.seal("refresh", &user), "id_token": id_token,
        "client_info": part(&json!({"uid": who.id, "utid": world.options.tenant})),
    })))
}

/// Checks a client assertion: signed by a certificate of the application, for this endpoint, in its
/// time, used once. One minted by another issuer for token exchange is checked for its time alone.
fn check_assertion(
    world: &World,
    app_id: &str,
    tenant: &str,
    base_url: &str,
    assertion: &str,
) -> Result<(), ApiResponse> {
    let bad = |code: u32, message: &str| refuse(world, 401, "invalid_client", code, message);
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|_| bad(50_027, "JWT token is invalid or malformed."))?;
    let mut rules = Validation::new(header.alg);
    (rules.validate_exp, rules.validate_aud, rules.validate_nbf) = (false, false, false);
    rules.required_spec_claims.clear();
    let peek = jsonwebtoken::dangerous::insecure_decode::<Value>(assertion)
        .map_err(|_| bad(50_027, "JWT token is invalid or malformed."))?
        .claims;
    let federated = peek["aud"].as_str() == Some("api://AzureADTokenExchange");
    if !federated {
        if !matches!(header.alg, Algorithm::PS256 | Algorithm::RS256) {
            return Err(bad(
                50_012,
                "Client assertion has an unsupported signing algorithm.",
            ));
        }
        let certificate = world.auth.certificates.iter().find(|c| {
            header.x5t_s256.as_deref() == Some(&c.sha256) || header.x5t.as_deref() == Some(&c.sha1)
        });
        let Some(certificate) = certificate else {
            return Err(bad(
                700_027,
                "The certificate with identifier used to sign the client assertion is not registered on application.",
            ));
        };
        jsonwebtoken::decode::<Value>(assertion, &certificate.key, &rules)
            .map_err(|_| bad(700_027, "Client assertion failed signature validation."))?;
        let audience = peek["aud"].as_str().unwrap_or_default();
        let path = format!("/{tenant}/oauth2/v2.0/token");
        let fits = audience.eq_ignore_ascii_case(&format!("{base_url}{path}"))
            || audience
                .to_ascii_lowercase()
                .ends_with(&path.to_ascii_lowercase());
        if !fits {
            return Err(bad(
                50_012,
                "Client assertion audience does not match the token endpoint.",
            ));
        }
        if peek["iss"].as_str() != Some(app_id) || peek["sub"].as_str() != Some(app_id) {
            return Err(bad(
                50_012,
                "Client assertion issuer and subject must be the application.",
            ));
        }
    }
    let now = world.clock.now();
    let (exp, nbf) = (
        peek["exp"].as_i64().unwrap_or(0),
        peek["nbf"].as_i64().unwrap_or(0),
    );
    if exp <= now - 300 || nbf > now + 300 || exp - nbf.max(now - 300) > 24 * 3600 {
        return Err(bad(
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    if !federated {
        let jti = peek["jti"]
            .as_str()
            .ok_or_else(|| bad(50_012, "Client assertion has no 'jti'."))?;
        let mut seen = world.auth.seen.lock();
        if seen.len() > 100_000 {
            seen.clear();
        }
        if !seen.insert(jti.to_owned()) {
            return Err(bad(50_012, "Client assertion was used before ('jti')."));
        }
    }
    Ok(())
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`.
pub fn device_code(world: &World, base_url: &str, headers: &HeaderMap, body: &[u8]) -> ApiResponse {
    let form = Form::read(body, headers);
    if form.get("client_id").is_none() {
        return refuse(
            world,
            400,
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'client_id'.",
        );
    }
    let code = world
        .rng(&format!("device {}", world.clock.now_ms()))
        .guid();
    world.auth.devices.lock().insert(code.clone(), 0);
    let page = format!("{base_url}/common/oauth2/deviceauth");
    ApiResponse::ok(json!({
        "device_code": code, "user_code": "EMULATOR1", "verification_uri": page, "expires_in": 900, "interval": 1,
        "message": format!("To sign in, use a web browser to open the page {page} and enter the code EMULATOR1 to authenticate."),
    }))
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub fn openid_configuration(world: &World, tenant: &str, base_url: &str) -> ApiResponse {
    let common = ["common", "organizations", "consumers"]
        .iter()
        .any(|c| tenant.eq_ignore_ascii_case(c));
    if !common && !known_tenant(world, tenant) {
        return refuse(
            world,
            400,
            "invalid_tenant",
            90_002,
            &format!("Tenant '{tenant}' not found."),
        );
    }
    let host = base_url.split("://").nth(1).unwrap_or("localhost");
    ApiResponse::ok(json!({
        "token_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base_url}/{tenant}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"], "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"], "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{base_url}/{tenant}/v2.0"), "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{base_url}/oidc/userinfo"),
        "authorization_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/devicecode"),
        "http_logout_supported": true, "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "oid", "preferred_username", "name"],
        "tenant_region_scope": "EU", "cloud_instance_name": host, "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": host, "rbac_url": "https://pas.windows.net",
    }))
}

/// `GET /common/discovery/instance`.
pub fn discovery(world: &World, base_url: &str) -> ApiResponse {
    let host = base_url.split("://").nth(1).unwrap_or("localhost");
    ApiResponse::ok(json!({
        "tenant_discovery_endpoint": format!("{base_url}/{}/v2.0/.well-known/openid-configuration", world.options.tenant),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}

/// Managed identity (IMDS): numbers come as strings.
pub fn managed_identity(
    world: &World,
    base_url: &str,
    headers: &HeaderMap,
    query: &[(String, String)],
) -> ApiResponse {
    if !headers
        .get("metadata")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        return ApiResponse::json(
            400,
            json!({"error": "bad_request_102", "error_description": "Required metadata header not specified"}),
        );
    }
    let Some((_, resource)) = query.iter().find(|(n, _)| n == "resource") else {
        return ApiResponse::json(
            400,
            json!({"error": "invalid_resource", "error_description": "AADSTS50001: The resource is missing."}),
        );
    };
    let (token, lifetime) =
        world
            .auth
            .access_token(world, base_url, &world.options.client_id, None);
    let now = world.clock.now();
    ApiResponse::ok(json!({
        "access_token": token, "refresh_token": "", "expires_in": lifetime.to_string(), "expires_on": (now + lifetime).to_string(),
        "not_before": now.to_string(), "resource": resource, "token_type": "Bearer",
    }))
}

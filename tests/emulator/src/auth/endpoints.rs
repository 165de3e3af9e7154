//! The routes of the login host.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Grant, assertion};
use crate::api::{ApiResponse, parse_query};
use crate::world::World;

/// A refusal of the token endpoint. `code` is the number after `AADSTS`.
pub fn refuse(world: &World, status: u16, error: &str, code: u32, message: &str) -> ApiResponse {
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
        (None, Some(assertion)) => assertion::check(world, app_id, tenant, base_url, assertion)?,
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
    let what = |scope: &str| Grant {
        app_id,
        resource: super::resource(scope),
        proof: match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(_), _) => "1",
            (None, Some(_)) => "2",
            (None, None) => "0",
        },
    };
    let asked: Value = match form.get("claims").map(serde_json::from_str) {
        None => Value::Null,
        Some(Ok(asked)) => asked,
        Some(Err(_)) => {
            let message = "The claims parameter is not valid JSON.";
            return Err(refuse(world, 400, "invalid_request", 90_027, message));
        }
    };
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
            let (token, lifetime) =
                issuer.access_token(world, base_url, &what(scope), None, &asked);
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
    let scope = form
        .get("scope")
        .or(form.get("resource"))
        .unwrap_or_default();
    let (token, lifetime) = issuer.access_token(world, base_url, &what(scope), Some(&user), &asked);
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
    let grant = Grant {
        app_id: &world.options.client_id,
        resource: super::resource(resource),
        proof: "2",
    };
    let (token, lifetime) = world
        .auth
        .access_token(world, base_url, &grant, None, &Value::Null);
    let now = world.clock.now();
    ApiResponse::ok(json!({
        "access_token": token, "refresh_token": "", "expires_in": lifetime.to_string(), "expires_on": (now + lifetime).to_string(),
        "not_before": now.to_string(), "resource": resource, "token_type": "Bearer",
    }))
}

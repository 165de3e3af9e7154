//! The client: configuration, connections, and everything the requests of a tenant share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::Value;

use super::auth::{Credential, TokenSource};
use super::call::Call;
use super::cloud::Endpoints;
use super::error::{ErrorClass, GraphError};
use super::limiter::{Limiters, Limits};
use super::retry::Patience;
use super::stats::{RouteCount, Stats};

/// How requests introduce themselves; decorated traffic is not the first to be throttled.
pub const USER_AGENT: &str = concat!("NONISV|tenantfs|tenantfs/", env!("CARGO_PKG_VERSION"));

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the services answer.
    pub endpoints: Endpoints,
    /// Tenant id (GUID) or a verified domain.
    pub tenant: String,
    /// How the application proves who it is.
    pub credential: Credential,
    /// PEM file with certificate authorities to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// What of the service's budgets it uses.
    pub limits: Limits,
    /// How long trouble is waited out.
    pub patience: Patience,
}

impl ClientConfig {
    /// Published limits for Microsoft's own clouds, adaptive ones for other endpoints.
    pub fn new(endpoints: Endpoints, tenant: impl Into<String>, credential: Credential) -> Self {
        let limits = if endpoints.published_limits {
            Limits::default()
        } else {
            Limits::adaptive()
        };
        Self {
            endpoints,
            tenant: tenant.into(),
            credential,
            ca: None,
            limits,
            patience: Patience::default(),
        }
    }
}

struct Inner {
    http: reqwest::Client,
    /// Never reuses a connection: for DELETE, whose 204 was seen with stray bytes after it.
    http_once: reqwest::Client,
    config: ClientConfig,
    tokens: Arc<TokenSource>,
    /// Tokens for SharePoint's own interface, by host.
    sharepoint: Mutex<HashMap<String, Arc<TokenSource>>>,
    limiters: Limiters,
    stats: Stats,
}

/// A signed-in (or about to be) client of one tenant with one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("graph", &self.0.config.endpoints.graph.as_str())
            .field("tenant", &self.0.config.tenant)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// When the CA file can't be used.
    pub fn new(config: ClientConfig) -> Result<Self, GraphError> {
        let wrong = |what: String| GraphError::local(ErrorClass::Ours, "connection set-up", what);
        let mut extra = Vec::new();
        if let Some(path) = &config.ca {
            let unusable =
                |e: &dyn std::fmt::Display| wrong(format!("CA file {}: {e}", path.display()));
            let pem = std::fs::read(path).map_err(|e| unusable(&e))?;
            extra = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unusable(&e))?;
            if extra.is_empty() {
                return Err(unusable(&"no certificate in it"));
            }
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(20))
                .read_timeout(Duration::from_secs(100))
                .pool_idle_timeout(Duration::from_secs(50))
                .pool_max_idle_per_host(32)
                .tcp_keepalive(Duration::from_secs(30));
            if extra.is_empty() {
                builder
            } else {
                builder.tls_certs_merge(extra.clone())
            }
        };
        let build =
            |b: reqwest::ClientBuilder| b.build().map_err(|e| wrong(super::transport::causes(&e)));
        let http = build(builder())?;
        let http_once = build(builder().pool_max_idle_per_host(0))?;
        let sign_in = match &config.credential {
            // IMDS is never behind a proxy.
            Credential::ManagedIdentity { .. } => build(builder().no_proxy())?,
            _ => http.clone(),
        };
        let tokens = TokenSource::new(
            sign_in,
            config.endpoints.clone(),
            config.tenant.clone(),
            config.credential.clone(),
            config.patience.clone(),
        );
        let limiters = Limiters::new(config.limits.clone());
        let stats = Stats::default();
        Ok(Self(Arc::new(Inner {
            http,
            http_once,
            config,
            tokens: Arc::new(tokens),
            sharepoint: Mutex::default(),
            limiters,
            stats,
        })))
    }

    /// Signs in now, to find out whether that works.
    ///
    /// # Errors
    /// Class `Auth` with advice when the credential is refused.
    pub async fn sign_in(&self) -> Result<(), GraphError> {
        self.tokens().bearer().await.map(drop)
    }

    /// The application permissions (`roles`) of the current token. Empty when the token does not
    /// tell; access scoped in Exchange does not show here, so a missing role proves nothing.
    ///
    /// # Errors
    /// When sign-in fails.
    pub async fn granted_roles(&self) -> Result<Vec<String>, GraphError> {
        Self::roles(self.tokens()).await
    }

    pub(super) async fn roles(tokens: &TokenSource) -> Result<Vec<String>, GraphError> {
        use base64::Engine;
        use secrecy::ExposeSecret;
        let bearer = tokens.bearer().await?;
        let payload = bearer
            .secret
            .expose_secret()
            .split('.')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let claims: Value = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let roles = claims["roles"].as_array().into_iter().flatten();
        Ok(roles
            .filter_map(|r| r.as_str().map(str::to_owned))
            .collect())
    }

    /// Sends a call whose answer is JSON. A truncated or malformed body is asked for again.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn json(&self, call: &Call) -> Result<Value, GraphError> {
        let is_json = |answer: &super::Answer| {
            super::json::parse::<serde::de::IgnoredAny>(&answer.body)
                .map(drop)
                .map_err(|e| e.to_string())
        };
        let answer = self.send_checked(call, 1, is_json).await?;
        super::json::parse(&answer.body)
            .map_err(|e| GraphError::local(ErrorClass::Network, call.label(), e.to_string()))
    }

    /// Requests sent so far, by method, route and status.
    pub fn stats(&self) -> Vec<RouteCount> {
        self.0.stats.all()
    }

    /// Resource units that requests to drives and sites have cost so far.
    pub fn drive_units(&self) -> u64 {
        self.0.limiters.drive_units()
    }

    /// Counts resource units that were spent before this client was there, by how long ago.
    pub fn drive_units_before(&self, spent: &[(Duration, u64)]) {
        self.0.limiters.drive_units_before(spent);
    }

    /// Resource units that may be spent on what can wait; `None`: as many as there is need for.
    pub fn spare_drive_units(&self) -> Option<u64> {
        self.0.limiters.spare_drive_units()
    }

    /// Starts counting anew.
    pub fn reset_stats(&self) {
        self.0.stats.reset();
    }

    pub(crate) fn count(&self, method: &str, route: &'static str, status: u16) {
        self.0.stats.count(method, route, status, false);
    }

    pub(crate) fn count_batched(&self, method: &str, route: &'static str, status: u16) {
        self.0.stats.count(method, route, status, true);
    }

    pub(crate) fn http(&self, method: &Method) -> &reqwest::Client {
        if *method == Method::DELETE {
            &self.0.http_once
        } else {
            &self.0.http
        }
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.0.config.endpoints
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.0.config.patience
    }

    pub(crate) fn tokens(&self) -> &Arc<TokenSource> {
        &self.0.tokens
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.0.config.credential
    }

    pub(super) fn sharepoint_tokens(&self) -> &Mutex<HashMap<String, Arc<TokenSource>>> {
        &self.0.sharepoint
    }

    pub(crate) fn limiters(&self) -> &Limiters {
        &self.0.limiters
    }
}

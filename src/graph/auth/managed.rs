//! Sign-in by the identity of the machine: the instance metadata service (IMDS) of Azure.

use std::time::Duration;

use secrecy::SecretString;

use super::{exchange, token_of};
use crate::graph::error::{ErrorClass, GraphError};

const ROUTE: &str = "GET /metadata/identity/oauth2/token";
const IMDS: &str = "http://169.254.169.254";

/// Asks IMDS. It takes `resource` where Entra takes `scope`, and it must never be asked through a
/// proxy.
pub(super) async fn token(
    http: &reqwest::Client,
    endpoint: Option<&str>,
    client_id: Option<&str>,
    resource: &str,
) -> Result<(SecretString, Duration), GraphError> {
    let base = endpoint.unwrap_or(IMDS).trim_end_matches('/');
    let query = {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("api-version", "2018-02-01");
        query.append_pair("resource", &format!("{resource}/"));
        if let Some(id) = client_id {
            query.append_pair("client_id", id);
        }
        query.finish()
    };
    let url = format!("{base}/metadata/identity/oauth2/token?{query}");
    let (status, body, retry_after) =
        exchange(http.get(&url).header("metadata", "true"), ROUTE, base).await?;
    match status {
        200 => token_of(&body, ROUTE),
        // Not there yet, being upgraded, or busy: documented as worth another try.
        404 | 410 | 429 | 500..=599 => Err(GraphError::from_answer(status, &body, ROUTE)
            .with_class(ErrorClass::Transient)
            .with_headers(None, retry_after, None)),
        _ => Err(GraphError::from_answer(status, &body, ROUTE).with_class(ErrorClass::Auth)),
    }
}

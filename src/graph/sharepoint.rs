//! SharePoint's own REST interface, for what Graph does not have: attachments of list items.
//!
//! It takes a token for the site's own host, and only of an application that proves itself by a
//! certificate: secrets are refused. So it may be that it can't be used at all ([`Client::sharepoint`]).
//!
//! Invariant: what goes wrong here never counts as a sign-in that failed: everything else works without.

use std::sync::Arc;

use url::Url;

use super::auth::{Credential, TokenSource};
use super::call::{Call, Target};
use super::client::Client;
use super::error::{ErrorClass, GraphError};

/// What a call costs: there is no price, but it is more than Graph's.
pub const UNITS: u64 = 3;

/// Hosts of a tenant: its sites, personal sites, and those of its other geographies.
const MAX_HOSTS: usize = 64;

impl Client {
    /// Whether this identity may use the interface.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn sharepoint(&self) -> Result<(), &'static str> {
        match self.credential() {
            Credential::Certificate { .. } => Ok(()),
            _ => Err("SharePoint gives them to an identity with a certificate only"),
        }
    }

    /// The application permissions that the identity has at the SharePoint host of a site. As
    /// [`Client::granted_roles`].
    ///
    /// # Errors
    /// When there is no token for it.
    pub async fn sharepoint_roles(&self, site: &str) -> Result<Vec<String>, GraphError> {
        let call = Call::get("/_api/web", &[]).sharepoint(site);
        Self::roles(&*self.tokens_for(&call)?).await
    }

    /// The tokens that a call takes.
    pub(super) fn tokens_for(&self, call: &Call) -> Result<Arc<TokenSource>, GraphError> {
        let Target::SharePoint { site, .. } = &call.target else {
            return Ok(Arc::clone(self.tokens()));
        };
        if let Err(why) = self.sharepoint() {
            return Err(GraphError::local(
                ErrorClass::Unsupported,
                call.label(),
                why,
            ));
        }
        let host = host_of(call, site)?;
        let mut known = self.sharepoint_tokens().lock();
        if known.len() >= MAX_HOSTS && !known.contains_key(&host) {
            known.clear();
        }
        let tokens = known.entry(host).or_insert_with_key(|host| {
            Arc::new(self.tokens().for_resource(format!("https://{host}")))
        });
        Ok(Arc::clone(tokens))
    }

    /// The absolute URL of a call to a site.
    pub(super) fn at_sharepoint(
        &self,
        call: &Call,
        site: &str,
        path: &str,
    ) -> Result<Url, GraphError> {
        let host = host_of(call, site)?;
        let below = site.split_once(&host).map_or("", |(_, below)| below);
        let origin = match &self.endpoints().sharepoint {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{host}"),
        };
        Url::parse(&format!("{origin}{below}{path}")).map_err(|_| no_site(call, site))
    }

    /// Sends a call to SharePoint. Without a token, or with one that is refused, it is denied.
    ///
    /// # Errors
    /// As [`Client::send`], but never of the class `Auth`.
    pub async fn send_sharepoint(&self, call: &Call) -> Result<super::Answer, GraphError> {
        self.send(call).await.map_err(|e| match e.class {
            ErrorClass::Auth => e.with_class(ErrorClass::Denied),
            _ => e,
        })
    }
}

/// The host of a site's URL: only one of SharePoint's is asked for anything.
fn host_of(call: &Call, site: &str) -> Result<String, GraphError> {
    let url = Url::parse(site).map_err(|_| no_site(call, site))?;
    let host = url.host_str().unwrap_or_default();
    let service = host.split('.').nth(1).unwrap_or_default();
    let is_sharepoint = matches!(service, "sharepoint" | "sharepoint-mil");
    let plain = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    match is_sharepoint && plain && url.scheme() == "https" && site.contains(host) {
        true => Ok(host.to_owned()),
        false => Err(no_site(call, site)),
    }
}

fn no_site(call: &Call, site: &str) -> GraphError {
    let what = format!("{site} is no address of a SharePoint site: it is not asked");
    GraphError::local(ErrorClass::Ours, call.label(), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sharepoint_is_asked() {
        let call = Call::get("/_api/web", &[]);
        let host = |site: &str| host_of(&call, site).ok();
        let contoso = "contoso.sharepoint.com".to_owned();
        assert_eq!(
            host("https://contoso.sharepoint.com/sites/x"),
            Some(contoso)
        );
        assert!(host("https://contoso-my.sharepoint.us/personal/a").is_some());
        for wrong in [
            "http://contoso.sharepoint.com/sites/x",
            "https://evil.example/sites/x",
            "https://contoso.sharepoint.com@evil.example/",
            "https://contoso.sharepoint.com:8443/",
            "https://evil.example/.sharepoint.com/",
            "contoso.sharepoint.com",
            "",
        ] {
            assert!(host(wrong).is_none(), "{wrong}");
        }
    }
}

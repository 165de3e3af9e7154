//! Where Microsoft's clouds are. Tokens, applications and consent never cross from one to another.

use serde::{Deserialize, Serialize};
use url::Url;

/// The two hosts a tenant is reached through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Sign-in (`https://login.microsoftonline.com`).
    pub login: Url,
    /// Graph, without the version (`https://graph.microsoft.com`).
    pub graph: Url,
    /// Where all SharePoint hosts are reached; `None`: under their own names.
    pub sharepoint: Option<Url>,
    /// True for Microsoft's own clouds: their published limits apply from the start.
    pub published_limits: bool,
}

/// A national cloud, by the names the configuration uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Where nearly all tenants are.
    #[default]
    Global,
    /// United States: GCC High (L4).
    UsGov,
    /// United States: Department of Defense (L5).
    UsDod,
    /// Operated by 21Vianet.
    China,
    /// Bleu.
    France,
    /// Delos.
    Germany,
    /// GovSG.
    Singapore,
}

impl Cloud {
    /// The hosts of this cloud.
    pub fn endpoints(self) -> Endpoints {
        let (login, graph) = match self {
            Self::Global => ("login.microsoftonline.com", "graph.microsoft.com"),
            Self::UsGov => ("login.microsoftonline.us", "graph.microsoft.us"),
            Self::UsDod => ("login.microsoftonline.us", "dod-graph.microsoft.us"),
            Self::China => (
                "login.partner.microsoftonline.cn",
                "microsoftgraph.chinacloudapi.cn",
            ),
            Self::France => ("login.sovcloud-identity.fr", "graph.svc.sovcloud.fr"),
            Self::Germany => ("login.sovcloud-identity.de", "graph.svc.sovcloud.de"),
            Self::Singapore => ("login.sovcloud-identity.sg", "graph.svc.sovcloud.sg"),
        };
        let url = |host: &str| {
            Url::parse(&format!("https://{host}"))
                .unwrap_or_else(|_| unreachable!("{host} is a host"))
        };
        Endpoints {
            login: url(login),
            graph: url(graph),
            sharepoint: None,
            published_limits: true,
        }
    }
}

impl Endpoints {
    /// Hosts of one's own (a test server, a proxy).
    pub fn custom(login: Url, graph: Url) -> Self {
        Self {
            login,
            graph,
            sharepoint: None,
            published_limits: false,
        }
    }

    /// The same, with SharePoint's hosts there too.
    pub fn with_sharepoint(mut self, sharepoint: Url) -> Self {
        self.sharepoint = Some(sharepoint);
        self
    }

    /// `https://host[:port]`, without a trailing slash.
    pub(crate) fn graph_origin(&self) -> String {
        self.graph.as_str().trim_end_matches('/').to_owned()
    }

    /// The scope (or resource) a token is asked for.
    pub(crate) fn resource(&self) -> String {
        self.graph_origin()
    }

    pub(crate) fn token_url(&self, tenant: &str) -> String {
        format!(
            "{}/{tenant}/oauth2/v2.0/token",
            self.login.as_str().trim_end_matches('/')
        )
    }

    /// True if `url` leads to Graph itself, the only place that may see a token.
    pub(crate) fn is_graph(&self, url: &Url) -> bool {
        url.scheme() == self.graph.scheme()
            && url.host() == self.graph.host()
            && url.port_or_known_default() == self.graph.port_or_known_default()
            && url.username().is_empty()
            && url.password().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_graph_itself_sees_a_token() {
        let e = Cloud::Global.endpoints();
        let is = |s: &str| e.is_graph(&Url::parse(s).unwrap());
        assert!(is(
            "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=x"
        ));
        assert!(is("https://GRAPH.microsoft.com:443/v1.0/users"));
        assert!(!is("http://graph.microsoft.com/v1.0/users"));
        assert!(!is("https://graph.microsoft.com.evil.example/v1.0/users"));
        assert!(!is("https://graph.microsoft.com@evil.example/v1.0/users"));
        assert!(!is("https://graph.microsoft.com:8443/v1.0/users"));
    }

    #[test]
    fn every_cloud_has_hosts() {
        for cloud in [
            Cloud::Global,
            Cloud::UsGov,
            Cloud::UsDod,
            Cloud::China,
            Cloud::France,
            Cloud::Germany,
            Cloud::Singapore,
        ] {
            assert_eq!(cloud.endpoints().graph.scheme(), "https");
        }
        assert_eq!(
            Cloud::Global.endpoints().token_url("t"),
            "https://login.microsoftonline.com/t/oauth2/v2.0/token"
        );
    }
}

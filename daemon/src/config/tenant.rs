//! `[tenant]`: which tenant, where its services are, and who signs in to them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Deserialize;
use tenantfs::graph::Cloud;

/// `[tenant]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Tenant GUID or a verified domain.
    pub id: String,
    /// National cloud; `endpoints` overrides it.
    #[serde(default)]
    pub cloud: Cloud,
    /// Login, Graph and SharePoint base URLs of something else than a national cloud.
    pub endpoints: Option<Endpoints>,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The identity that reads. Needs read permissions only.
    pub backup: Identity,
    /// The identity that writes. Without it `restore/` is read-only.
    pub restore: Option<Identity>,
}

impl Tenant {
    /// Makes paths absolute, and checks that each identity has one way to sign in.
    pub(super) fn resolve(&mut self, base: &Path) -> Result<()> {
        self.backup.resolve(base);
        self.backup.proof("tenant.backup")?;
        if let Some(restore) = &mut self.restore {
            restore.resolve(base);
            restore.proof("tenant.restore")?;
        }
        if let Some(ca) = &mut self.ca_file {
            *ca = base.join(&*ca);
        }
        Ok(())
    }
}

/// `endpoints = { login = "URL", graph = "URL", sharepoint = "URL" }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Where tokens come from.
    pub login: String,
    /// Where Microsoft Graph answers; the version is added to it.
    pub graph: String,
    /// Where all SharePoint hosts of the tenant are reached; without it, under their own names.
    pub sharepoint: Option<String>,
}

/// `[tenant.backup]` and `[tenant.restore]`: an application and how it proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Application (client) id of the app registration.
    pub client_id: String,
    /// File with the client secret, readable by its owner only.
    pub client_secret_file: Option<PathBuf>,
    /// PEM file with certificate and private key, readable by its owner only.
    pub certificate_file: Option<PathBuf>,
    /// File with a token of a federated identity provider.
    pub federated_token_file: Option<PathBuf>,
    /// Use the managed identity of the machine.
    #[serde(default)]
    pub managed_identity: bool,
}

/// The one way in which an [`Identity`] proves itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// File with a client secret.
    ClientSecret(PathBuf),
    /// PEM file with a certificate and its private key.
    Certificate(PathBuf),
    /// File with a token of a federated identity provider.
    FederatedToken(PathBuf),
    /// The machine's own identity.
    ManagedIdentity,
}

impl Identity {
    /// The proof that is configured; an error unless there is exactly one.
    pub fn proof(&self, section: &str) -> Result<Proof> {
        let mut proofs = Vec::new();
        proofs.extend(self.client_secret_file.clone().map(Proof::ClientSecret));
        proofs.extend(self.certificate_file.clone().map(Proof::Certificate));
        proofs.extend(self.federated_token_file.clone().map(Proof::FederatedToken));
        if self.managed_identity {
            proofs.push(Proof::ManagedIdentity);
        }
        match proofs.len() {
            1 => Ok(proofs.remove(0)),
            n => bail!(
                "[{section}] has {n} ways to sign in; give exactly one of client_secret_file, \
                 certificate_file, federated_token_file, managed_identity = true"
            ),
        }
    }

    fn resolve(&mut self, base: &Path) {
        for path in [
            &mut self.client_secret_file,
            &mut self.certificate_file,
            &mut self.federated_token_file,
        ]
        .into_iter()
        .flatten()
        {
            *path = base.join(&*path);
        }
    }
}

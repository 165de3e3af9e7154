//! Makes the parts of the library from the configuration.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tenantfs::graph::{Client, ClientConfig, Credential, Endpoints};
use tenantfs::repo::{
    Access, AzureLocation, Location, ObjectLock, Patience, Repository, S3Location,
};
use tenantfs::tree::ItemKey;
use tenantfs::workload::archive::Archive;
use tenantfs::workload::calendar::{Calendar, CalendarOptions};
use tenantfs::workload::contacts::{Contacts, ContactsOptions};
use tenantfs::workload::drive::{Drive, DriveOptions, KeepVersions};
use tenantfs::workload::mail::{Mail, MailOptions};
use tenantfs::workload::settings::Settings;
use tenantfs::workload::sites::{Libraries, LibrariesOptions, Lists, ListsOptions, Pages};
use tenantfs::workload::todo::Todo;
use tenantfs::workload::{Keyer, Workload};

use crate::config::{self, Config, Identity, Proof};
use crate::secret::read_secret;

/// Where the repository is, with what it takes to get in.
pub fn location(config: &config::Repository) -> Result<Location> {
    let Some((service, place)) = config.location.split_once("://") else {
        return Ok(Location::Local(PathBuf::from(&config.location)));
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
    let secret = |file: &Option<PathBuf>, what| {
        let read = |file: &PathBuf| read_secret(file, what);
        file.as_ref().map(read).transpose()
    };
    Ok(match service {
        "s3" => Location::S3(S3Location {
            bucket,
            prefix,
            endpoint: config.endpoint.clone(),
            region: config.region.clone(),
            access_key_id: config.access_key_id.clone(),
            secret_access_key: secret(&config.secret_access_key_file, "secret access key")?,
        }),
        "azure" => Location::Azure(AzureLocation {
            container: bucket,
            prefix,
            endpoint: config.endpoint.clone(),
            account: config.account.clone(),
            account_key: secret(&config.account_key_file, "account key")?,
        }),
        _ => bail!(
            "repository.location {:?} is neither a directory, nor s3://bucket/prefix, nor \
             azure://container/prefix",
            config.location
        ),
    })
}

/// How the repository is used.
pub fn access(config: &config::Repository) -> Access {
    Access {
        patience: Patience {
            request: config.timeout,
            operation: config.give_up_after,
        },
        cache_size: config.cache_size,
        append_only: config.append_only,
        lock: config.lock.map(|period| ObjectLock {
            period,
            mode: config.lock_mode,
        }),
    }
}

/// Makes a folder for what nobody else is to see: what is in it tells names of accounts and items. One that is
/// there stays as it is.
pub fn private_folder(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the folder {}", dir.display()))
}

/// Opens the repository.
pub fn open_repository(config: &Config) -> Result<Repository> {
    open(config, &config.repository, "repository")
}

/// Opens one of the repositories that are configured.
pub fn open(config: &Config, repository: &config::Repository, section: &str) -> Result<Repository> {
    let secret = repository.source(section)?.read()?;
    private_folder(&config.state_dir)?;
    let opened = Repository::open_as(
        &location(repository)?,
        &secret.text,
        &config.state_dir.join("index"),
        &access(repository),
    )?;
    opened.set_parity(repository.parity);
    Ok(opened)
}

/// A Graph client with the identity that reads.
pub fn backup_client(config: &Config) -> Result<Client> {
    let budget = config.protect.unit_budget;
    client(config, &config.tenant.backup, "tenant.backup", budget)
}

/// A Graph client with the identity that writes; `None` when there is none.
pub fn restore_client(config: &Config) -> Result<Option<Client>> {
    config
        .tenant
        .restore
        .as_ref()
        .map(|identity| client(config, identity, "tenant.restore", None))
        .transpose()
}

fn client(
    config: &Config,
    identity: &Identity,
    section: &str,
    unit_budget: Option<u64>,
) -> Result<Client> {
    let credential = credential(identity, section)?;
    let mut client = ClientConfig::new(endpoints(config)?, config.tenant.id.clone(), credential);
    client.ca = config.tenant.ca_file.clone();
    if unit_budget.is_some() {
        client.limits.drive_units_day = unit_budget;
    }
    Ok(Client::new(client)?)
}

fn endpoints(config: &Config) -> Result<Endpoints> {
    if let Some(endpoints) = &config.tenant.endpoints {
        let url = |name: &str, text: &str| {
            text.parse()
                .with_context(|| format!("tenant.endpoints.{name} {text:?} is not a URL"))
        };
        let custom = Endpoints::custom(
            url("login", &endpoints.login)?,
            url("graph", &endpoints.graph)?,
        );
        return Ok(match &endpoints.sharepoint {
            Some(text) => custom.with_sharepoint(url("sharepoint", text)?),
            None => custom,
        });
    }
    Ok(config.tenant.cloud.endpoints())
}

fn credential(identity: &Identity, section: &str) -> Result<Credential> {
    let client_id = identity.client_id.clone();
    Ok(match identity.proof(section)? {
        Proof::ClientSecret(file) => Credential::Secret {
            client_id,
            secret: read_secret(&file, "client secret")?,
        },
        Proof::Certificate(file) => Credential::Certificate {
            client_id,
            pem: read_secret(&file, "certificate")?,
        },
        Proof::FederatedToken(file) => Credential::FederatedToken { client_id, file },
        Proof::ManagedIdentity => Credential::ManagedIdentity {
            client_id: Some(client_id).filter(|id| !id.is_empty()),
            endpoint: None,
        },
    })
}

/// A runtime for the commands that need one. Made after any fork.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// The workloads that the configuration protects, speaking through `client`.
pub fn workloads(
    config: &Config,
    client: &Client,
    repository: &Repository,
) -> Vec<Arc<dyn Workload>> {
    let keys = repository.clone();
    let keyer: Keyer = Arc::new(move |graph_id: &str| ItemKey::of(&keys, graph_id));
    let protected = |name: &str| config.protect.workloads.iter().any(|chosen| chosen == name);
    let mut workloads: Vec<Arc<dyn Workload>> = Vec::new();
    if protected("mail") {
        let options = MailOptions {
            route: config.protect.mail.route,
            recoverable_items: config.protect.recoverable_items,
            ..MailOptions::default()
        };
        workloads.push(Arc::new(Mail::new(client.clone(), keyer.clone(), options)));
    }
    if protected("archive") {
        workloads.push(Arc::new(Archive::new(client.clone(), keyer.clone())));
    }
    if protected("calendar") {
        let options = CalendarOptions::default();
        workloads.push(Arc::new(Calendar::new(
            client.clone(),
            keyer.clone(),
            options,
        )));
    }
    if protected("contacts") {
        let options = ContactsOptions {
            photos: config.protect.contact_photos,
            ..ContactsOptions::default()
        };
        workloads.push(Arc::new(Contacts::new(
            client.clone(),
            keyer.clone(),
            options,
        )));
    }
    if protected("todo") {
        workloads.push(Arc::new(Todo::new(client.clone(), keyer.clone())));
    }
    if protected("settings") {
        workloads.push(Arc::new(Settings::new(client.clone(), keyer.clone())));
    }
    let versions = KeepVersions {
        keep: config.protect.versions,
        of_new_files: config.protect.versions_of_new_files,
    };
    if protected("drive") {
        let options = DriveOptions {
            labels: config.protect.retention_labels,
            restore_permissions: config.restore.permissions,
            versions,
            ..DriveOptions::default()
        };
        workloads.push(Arc::new(Drive::new(client.clone(), keyer.clone(), options)));
    }
    if protected("libraries") {
        let options = LibrariesOptions {
            system: config.protect.system_lists,
            labels: config.protect.retention_labels,
            restore_permissions: config.restore.permissions,
            versions,
            ..LibrariesOptions::default()
        };
        let libraries = Libraries::new(client.clone(), keyer.clone(), options);
        workloads.push(Arc::new(libraries));
    }
    if protected("lists") {
        let options = ListsOptions {
            system: config.protect.system_lists,
            restore_permissions: config.restore.permissions,
        };
        workloads.push(Arc::new(Lists::new(client.clone(), keyer.clone(), options)));
    }
    if protected("pages") {
        workloads.push(Arc::new(Pages::new(client.clone(), keyer)));
    }
    workloads
}

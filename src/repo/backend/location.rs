//! Where a repository is, and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where a repository is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A directory.
    Local(PathBuf),
    /// A bucket of an S3-compatible store.
    S3(S3Location),
    /// A container of Azure Blob Storage.
    Azure(AzureLocation),
}

impl Location {
    /// True for a directory, false for what is reached over a network.
    pub fn is_local(&self) -> bool {
        matches!(self, Location::Local(_))
    }

    /// What tells stores of the same name apart, besides the name.
    pub(super) fn endpoint(&self) -> Option<&str> {
        match self {
            Location::Local(_) => None,
            Location::S3(s3) => s3.endpoint.as_deref(),
            Location::Azure(azure) => azure.endpoint.as_deref().or(azure.account.as_deref()),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Local(path) => path.display().fmt(f),
            Location::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
            Location::Azure(azure) => write!(f, "azure://{}/{}", azure.container, azure.prefix),
        }
    }
}

/// A place in an S3-compatible store.
#[derive(Clone, Debug, Default)]
pub struct S3Location {
    /// Bucket.
    pub bucket: String,
    /// Folder in the bucket; may be empty.
    pub prefix: String,
    /// Endpoint URL; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// Region; `None`: `us-east-1`, or what the environment says.
    pub region: Option<String>,
    /// Access key; `None`: from the environment or the instance.
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    pub secret_access_key: Option<SecretString>,
}

/// A place in Azure Blob Storage.
#[derive(Clone, Debug, Default)]
pub struct AzureLocation {
    /// Container.
    pub container: String,
    /// Folder in the container; may be empty.
    pub prefix: String,
    /// Endpoint URL with the account in it; `None`: `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Storage account; `None`: from the environment.
    pub account: Option<String>,
    /// Key of the account; `None`: from the environment or the managed identity.
    pub account_key: Option<SecretString>,
}

/// How a repository is used; the default is right for a directory and for most stores.
#[derive(Clone, Debug)]
pub struct Access {
    /// How long an object store is waited for.
    pub patience: Patience,
    /// Most bytes of packs of an object store that are kept on the local disk.
    pub cache_size: u64,
    /// This host only adds: it deletes and replaces nothing but its own files in `sessions/` and
    /// `claims/`, and does without where the store refuses that too.
    pub append_only: bool,
    /// What a bucket with Object Lock is to do with every file that is never replaced.
    pub lock: Option<ObjectLock>,
}

/// How long and how firmly a bucket keeps a file (S3 Object Lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// From when it is written, or its lock is renewed.
    pub period: Duration,
    /// Who may delete it before.
    pub mode: LockMode,
}

/// Who may delete a locked file before its time. Later ones are firmer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Who has the permission `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody, the account's owner included.
    #[default]
    Compliance,
}

impl LockMode {
    /// By its name in S3.
    pub(super) fn parse(name: &str) -> Option<Self> {
        [LockMode::Governance, LockMode::Compliance]
            .into_iter()
            .find(|mode| mode.to_string() == name)
    }
}

impl std::fmt::Display for LockMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        })
    }
}

impl Default for Access {
    fn default() -> Self {
        Access {
            patience: Patience::default(),
            cache_size: 4 << 30,
            append_only: false,
            lock: None,
        }
    }
}

/// How long an object store is waited for before an operation fails.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one request, with its answer. Uploads go in parts of 8 MiB, reads in runs of at most 4 MiB.
    pub request: Duration,
    /// For one operation, with all of its retries.
    pub operation: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            request: Duration::from_secs(30),
            operation: Duration::from_secs(120),
        }
    }
}

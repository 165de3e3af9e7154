//! `[repository]` and `[copy]`: where a repository is, what opens it, and how it is used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use tenantfs::repo::{Access, LockMode, Parity, Patience};

use super::units::{parity, period, size, some_period};
use crate::secret::Source;

/// `[repository]` and `[copy]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// A directory, `s3://bucket/prefix` or `azure://container/prefix`.
    pub location: String,
    /// File with the repository's password.
    pub password_file: Option<PathBuf>,
    /// File of random bytes that opens the repository instead of a password.
    pub key_file: Option<PathBuf>,
    /// Program and arguments; the first line it prints is the password.
    pub password_command: Option<Vec<String>>,
    /// Name of a systemd credential (`LoadCredential=`) that holds the password.
    pub password_credential: Option<String>,
    /// Object stores: endpoint URL of the service, when it is not Amazon's or Microsoft's.
    pub endpoint: Option<String>,
    /// S3: region.
    pub region: Option<String>,
    /// S3: access key; without it, what the environment or the instance gives.
    pub access_key_id: Option<String>,
    /// S3: file with the access key's secret, readable by its owner only.
    pub secret_access_key_file: Option<PathBuf>,
    /// Azure: storage account; without it, what the environment gives.
    pub account: Option<String>,
    /// Azure: file with the account's key, readable by its owner only.
    pub account_key_file: Option<PathBuf>,
    /// This host only adds: it never deletes or replaces what is in the repository, and its key for an
    /// object store need not allow it.
    #[serde(default)]
    pub append_only: bool,
    /// S3, in a bucket with Object Lock: everything that is never replaced is locked for such a time from when
    /// it is written (`"30d"`), and what is still of use again when half of that is over. Nothing is locked
    /// unless it is given, but by the bucket's own default retention.
    #[serde(default, deserialize_with = "some_period")]
    pub lock: Option<Duration>,
    /// Who may delete what is locked: `"compliance"`: nobody; `"governance"`: who may bypass it.
    #[serde(default)]
    pub lock_mode: LockMode,
    /// Object stores: how much of the packs is kept on the local disk: `"4GiB"`, or a number of bytes.
    #[serde(default = "default_cache_size", deserialize_with = "size")]
    pub cache_size: u64,
    /// Object stores: longest time for one request.
    #[serde(default = "default_timeout", deserialize_with = "period")]
    pub timeout: Duration,
    /// Object stores: longest time for an operation with all of its retries.
    #[serde(default = "default_give_up_after", deserialize_with = "period")]
    pub give_up_after: Duration,
    /// How much parity packs get, such as `"5%"`: `repair` heals so much damage in each. None unless it is
    /// given.
    #[serde(default, deserialize_with = "parity")]
    pub parity: Parity,
}

impl Repository {
    /// Makes paths absolute, and checks that one thing opens it.
    pub(super) fn resolve(&mut self, section: &str, base: &Path) -> Result<()> {
        if !self.location.contains("://") {
            let location = base.join(&self.location);
            self.location = location
                .into_os_string()
                .into_string()
                .map_err(|path| anyhow::anyhow!("{section}.location {path:?} is not UTF-8"))?;
        }
        for path in [
            &mut self.password_file,
            &mut self.key_file,
            &mut self.secret_access_key_file,
            &mut self.account_key_file,
        ]
        .into_iter()
        .flatten()
        {
            *path = base.join(&*path);
        }
        self.source(section).map(drop)
    }

    /// Where its secret comes from; an error unless there is exactly one place.
    pub fn source(&self, section: &str) -> Result<Source> {
        let mut sources = Vec::new();
        sources.extend(self.password_file.clone().map(Source::PasswordFile));
        sources.extend(self.key_file.clone().map(Source::KeyFile));
        sources.extend(self.password_command.clone().map(Source::Command));
        sources.extend(self.password_credential.clone().map(Source::Credential));
        if sources.len() != 1 {
            bail!(
                "[{section}] has {} ways to open the repository; give exactly one of password_file, \
                 key_file, password_command, password_credential",
                sources.len()
            );
        }
        let source = sources.remove(0);
        match &source {
            Source::Command(words) if words.is_empty() => {
                bail!("[{section}] password_command is empty; give the program and its arguments")
            }
            Source::Credential(name) if name.is_empty() || name.contains('/') => bail!(
                "[{section}] password_credential {name:?} is no name of a credential (see systemd.exec(5), \
                 LoadCredential=)"
            ),
            _ => Ok(source),
        }
    }
}

impl Default for Repository {
    fn default() -> Self {
        Repository {
            location: String::new(),
            password_file: None,
            key_file: None,
            password_command: None,
            password_credential: None,
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key_file: None,
            account: None,
            account_key_file: None,
            append_only: false,
            lock: None,
            lock_mode: LockMode::default(),
            cache_size: default_cache_size(),
            timeout: default_timeout(),
            give_up_after: default_give_up_after(),
            parity: Parity::OFF,
        }
    }
}

fn default_cache_size() -> u64 {
    Access::default().cache_size
}

fn default_timeout() -> Duration {
    Patience::default().request
}

fn default_give_up_after() -> Duration {
    Patience::default().operation
}

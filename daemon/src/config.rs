//! The configuration file: what it may say, what it means, and what is wrong with it.
//!
//! A key that is not known is an error, so that a misspelled setting never silently does nothing.
//! A secret is never in the file itself: the file names the file (or the service) that holds it.
//! Paths are made absolute when the file is read, because a daemon leaves its directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use serde::Deserialize;
use tenantfs::graph::Cloud;
use tenantfs::repo::{LockMode, Parity};
use tenantfs::workload::drive::RestorePermissions;
use tenantfs::workload::mail::Route;

use crate::retention::Retention;
use crate::schedule::{Schedule, parse_period};
use crate::secret::Source;

/// Where the configuration is looked for when `--config` is not given.
pub const SYSTEM_PATH: &str = "/etc/tenantfs/tenantfs.toml";

/// The most versions of a file that can be asked for: libraries keep 500 unless told otherwise.
const MAX_VERSIONS: usize = 50_000;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The tenant and the two identities that read it and write to it.
    pub tenant: Tenant,
    /// Where snapshots are kept.
    pub repository: Repository,
    /// A second repository that `tenantfs copy` copies snapshots to.
    pub copy: Option<Repository>,
    /// What is captured, and when.
    #[serde(default)]
    pub protect: Protect,
    /// Which snapshots stay.
    #[serde(default)]
    pub retention: Retention,
    /// How the mount behaves.
    #[serde(default)]
    pub mount: Mount,
    /// How restores behave.
    #[serde(default)]
    pub restore: Restore,
    /// How the repository is looked after.
    #[serde(default)]
    pub verify: Verify,
    /// Where this host keeps what can be rebuilt: index copies, the restore spool, counters.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
}

/// `[tenant]`
#[derive(Debug, Clone, Deserialize)]
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

/// `endpoints = { login = "URL", graph = "URL", sharepoint = "URL" }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    pub login: String,
    pub graph: String,
    /// Where all SharePoint hosts of the tenant are reached; without it, under their own names.
    pub sharepoint: Option<String>,
}

/// `[tenant.backup]` and `[tenant.restore]`: an application and how it proves who it is.
#[derive(Debug, Clone, Deserialize)]
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
    ClientSecret(PathBuf),
    Certificate(PathBuf),
    FederatedToken(PathBuf),
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

/// `[repository]` and `[copy]`
#[derive(Debug, Clone, Deserialize)]
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
    fn resolve(&mut self, section: &str, base: &Path) -> Result<()> {
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
        Source::of(self, section).map(drop)
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
    tenantfs::repo::Access::default().cache_size
}

fn default_timeout() -> Duration {
    tenantfs::repo::Patience::default().request
}

fn default_give_up_after() -> Duration {
    tenantfs::repo::Patience::default().operation
}

/// `[protect]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protect {
    /// Which accounts, by UPN.
    pub accounts: Globs,
    /// Which site collections, by the last part of their address; subsites go with them.
    pub sites: Globs,
    /// Capture lists and libraries that SharePoint hides (Style Library, Preservation Hold Library) as
    /// well.
    pub system_lists: bool,
    /// Which workloads, by name.
    pub workloads: Vec<String>,
    /// When the daemon captures: `"1h"`, or times of day in UTC, `["02:00", "14:00"]`.
    pub schedule: Schedule,
    /// How often everything is enumerated anew, to find what the service's change tracking missed:
    /// `"7d"`, or `"never"`.
    #[serde(deserialize_with = "sweep")]
    pub sweep: Option<Duration>,
    /// Capture Recoverable Items (what people deleted from Deleted Items) as well.
    pub recoverable_items: bool,
    /// Capture photos of contacts: one request for each contact that is new or changed.
    pub contact_photos: bool,
    /// Of how many older versions that OneDrive and SharePoint keep of a file the content is captured,
    /// newest first, when the file changes. 0: none. Costs a list for each changed file, and a download
    /// for each version that is new.
    pub versions: usize,
    /// The same for files that are captured for the first time, in a first sync for all.
    pub versions_of_new_files: bool,
    /// Most resource units that captures spend on drives and sites in 24 hours; then they go on in a
    /// later cycle, and permissions wait from four fifths of it on. None here: what Microsoft grants a
    /// tenant of up to 1,000 licences.
    pub unit_budget: Option<u64>,
    /// How mail is captured.
    pub mail: ProtectMail,
    /// How many mailboxes and drives are captured at once.
    pub parallel_accounts: usize,
    /// A first sync that takes long makes what it has durable this often.
    #[serde(with = "seconds")]
    pub checkpoint_seconds: Duration,
}

impl Default for Protect {
    fn default() -> Self {
        Self {
            accounts: Globs::default(),
            sites: Globs::default(),
            system_lists: false,
            workloads: crate::app::WORKLOADS.map(str::to_owned).to_vec(),
            schedule: Schedule::default(),
            sweep: Some(Duration::from_secs(7 * 86_400)),
            recoverable_items: false,
            contact_photos: true,
            versions: 0,
            versions_of_new_files: false,
            unit_budget: None,
            mail: ProtectMail::default(),
            parallel_accounts: 8,
            checkpoint_seconds: Duration::from_secs(60),
        }
    }
}

/// `[protect.mail]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtectMail {
    /// `"mime"`: one request for each mail. `"export"`: one for twenty, and restores are exact; needs
    /// `MailboxItem.Export.All`.
    pub route: Route,
}

/// Include and exclude patterns; exclude wins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Globs {
    /// Nothing here means everything.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

impl Globs {
    /// Whether a name is chosen. Patterns are matched without regard to case, as UPNs are.
    pub fn matcher(&self) -> Result<impl Fn(&str) -> bool + Send + Sync + Clone + 'static> {
        let include = glob_set(&self.include)?;
        let exclude = glob_set(&self.exclude)?;
        let everything = self.include.is_empty();
        Ok(move |name: &str| (everything || include.is_match(name)) && !exclude.is_match(name))
    }
}

fn glob_set(patterns: &[String]) -> Result<globset::GlobSet> {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        let glob = globset::GlobBuilder::new(pattern)
            .case_insensitive(true)
            .build()
            .with_context(|| format!("[protect] pattern {pattern:?} is not a glob"))?;
        set.add(glob);
    }
    Ok(set.build()?)
}

/// `[verify]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// The daemon reads the whole repository once in such a time, little by little: `"30d"`; `"0"`: never.
    #[serde(deserialize_with = "period_or_never")]
    pub every: Option<Duration>,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(30 * 86_400)),
        }
    }
}

/// `[mount]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mount {
    /// Where the daemon mounts.
    pub path: Option<PathBuf>,
    /// Let other users in; the kernel checks modes and owners.
    pub allow_other: bool,
    /// Account (UPN) to local user name: who owns its folder.
    pub owners: std::collections::BTreeMap<String, String>,
    /// Answer extended attributes. Makes `ls -l` several times slower.
    pub xattr: bool,
}

/// `[restore]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restore {
    /// What happens when the item is already there.
    pub conflict: Conflict,
    /// When restored files and folders get the permissions and links again that they had.
    pub permissions: RestorePermissions,
}

/// What a restore does with an item that is already there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// Leave it, and say so.
    #[default]
    Skip,
    /// Replace it.
    Overwrite,
    /// Make another beside it.
    KeepBoth,
}

impl Config {
    /// Reads the file at `path`, or the first that exists of the usual places. Also tells which.
    pub fn load(path: Option<&Path>) -> Result<(Self, PathBuf)> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => usual_path()?,
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let path = std::path::absolute(&path)?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let config = Self::parse(&text, base)
            .with_context(|| format!("the configuration {} is not usable", path.display()))?;
        Ok((config, path))
    }

    /// Parses the text of a configuration whose relative paths start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.tenant.backup.resolve(base);
        config.tenant.backup.proof("tenant.backup")?;
        if let Some(restore) = &mut config.tenant.restore {
            restore.resolve(base);
            restore.proof("tenant.restore")?;
        }
        if let Some(ca) = &mut config.tenant.ca_file {
            *ca = base.join(&*ca);
        }
        config.repository.resolve("repository", base)?;
        if let Some(copy) = &mut config.copy {
            copy.resolve("copy", base)?;
        }
        config.state_dir = base.join(&config.state_dir);
        if let Some(path) = &mut config.mount.path {
            *path = base.join(&*path);
        }
        drop(config.protect.accounts.matcher()?);
        drop(config.protect.sites.matcher()?);
        for name in &config.protect.workloads {
            if !crate::app::WORKLOADS.contains(&name.as_str()) {
                bail!(
                    "[protect] workloads: {name:?} is not one of {}",
                    crate::app::WORKLOADS.join(", ")
                );
            }
        }
        if config.protect.versions > MAX_VERSIONS {
            bail!("[protect] versions must be at most {MAX_VERSIONS}");
        }
        if config.protect.versions_of_new_files && config.protect.versions == 0 {
            bail!("[protect] versions_of_new_files needs versions = N: how many of each file");
        }
        if config.protect.unit_budget == Some(0) {
            bail!("[protect] unit_budget must be at least 1");
        }
        if config.protect.parallel_accounts == 0 {
            bail!("[protect] parallel_accounts must be at least 1");
        }
        Ok(config)
    }
}

fn usual_path() -> Result<PathBuf> {
    let mut places = vec![PathBuf::from(SYSTEM_PATH)];
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    places.extend(user.map(|dir| dir.join("tenantfs/tenantfs.toml")));
    if let Some(found) = places.iter().find(|place| place.exists()) {
        return Ok(found.clone());
    }
    let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    bail!(
        "there is no configuration at {}; write one (the README shows how), or name it with --config",
        places.join(" or ")
    )
}

/// Reads a file that holds one secret. Its last line end is not part of it.
pub fn read_secret(path: &Path, what: &str) -> Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the {what} from {}", path.display()))?;
    warn_if_world_readable(path, what);
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        bail!("the {what} file {} is empty", path.display());
    }
    Ok(SecretString::from(secret.to_owned()))
}

pub fn warn_if_world_readable(path: &Path, what: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the {what} file {} can be read by others (mode {:o}); chmod 600 it",
            path.display(),
            mode & 0o777
        );
    }
}

fn default_state_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/tenantfs");
    }
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/var/tmp"))
        .join("tenantfs")
}

fn period<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(input)?;
    parse_period("the time", &text).map_err(serde::de::Error::custom)
}

fn some_period<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    period(input).map(Some)
}

/// A size: a number of bytes, or one with a binary unit, such as `"4GiB"`.
fn size<'de, D: serde::Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }
    let text = match Written::deserialize(input)? {
        Written::Bytes(bytes) => return Ok(bytes),
        Written::Text(text) => text,
    };
    let parsed = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
        .into_iter()
        .find_map(|(unit, bits)| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(1 << bits)
        });
    parsed.ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} is no size; write a number of bytes, or one with KiB, MiB, GiB or TiB"
        ))
    })
}

fn sweep<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(input)?;
    match text.as_str() {
        "never" => Ok(None),
        text => parse_period("sweep", text)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}

fn period_or_never<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(input)?;
    match text.as_str() {
        "0" | "never" => Ok(None),
        text => parse_period("every", text)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}

fn parity<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Parity, D::Error> {
    let text = String::deserialize(input)?;
    let number = text.strip_suffix('%').map(str::trim).map(str::parse::<f64>);
    match number {
        Some(Ok(0.0)) => Some(Parity::OFF),
        Some(Ok(number)) => Parity::percent(number),
        _ => None,
    }
    .ok_or_else(|| serde::de::Error::custom(format!("parity {text:?} is no share such as \"5%\"")))
}

mod seconds {
    use serde::{Deserialize, Deserializer};
    use std::time::Duration;

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let seconds = u64::deserialize(input)?;
        if seconds == 0 {
            return Err(serde::de::Error::custom("must be at least 1 second"));
        }
        Ok(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        [tenant]
        id = "contoso.onmicrosoft.com"
        [tenant.backup]
        client_id = "6b3c"
        client_secret_file = "backup.secret"
        [repository]
        location = "repo"
        password_file = "password"
    "#;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("/etc/tenantfs"))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(MINIMAL).unwrap();
        assert_eq!(config.repository.location, "/etc/tenantfs/repo");
        assert_eq!(
            Source::of(&config.repository, "repository").unwrap(),
            Source::PasswordFile("/etc/tenantfs/password".into())
        );
        assert_eq!(
            config.tenant.backup.proof("tenant.backup").unwrap(),
            Proof::ClientSecret("/etc/tenantfs/backup.secret".into())
        );
    }

    #[test]
    fn an_object_store_is_left_alone() {
        let config = parse(&MINIMAL.replace("\"repo\"", "\"s3://bucket/prefix\"")).unwrap();
        assert_eq!(config.repository.location, "s3://bucket/prefix");
    }

    #[test]
    fn an_object_store_is_waited_for_and_cached_as_told() {
        let config = |text: &str| {
            parse(&MINIMAL.replace("[repository]", &format!("[repository]\n{text}")))
                .map(|config| config.repository)
        };
        let default = config("").unwrap();
        assert_eq!(default.cache_size, 4 << 30);
        assert_eq!(default.timeout, Duration::from_secs(30));
        let told =
            config("cache_size = \"512MiB\"\ntimeout = \"5s\"\ngive_up_after = \"1m\"").unwrap();
        assert_eq!(told.cache_size, 512 << 20);
        assert_eq!(told.timeout, Duration::from_secs(5));
        assert_eq!(told.give_up_after, Duration::from_secs(60));
        assert_eq!(config("cache_size = 0").unwrap().cache_size, 0);
        for wrong in [
            "cache_size = \"4 GB\"",
            "cache_size = \"99999999TiB\"",
            "timeout = 5",
        ] {
            assert!(config(wrong).is_err(), "{wrong}");
        }
        let secret = config("secret_access_key_file = \"s3.secret\"").unwrap();
        assert_eq!(
            secret.secret_access_key_file.as_deref(),
            Some(Path::new("/etc/tenantfs/s3.secret"))
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = parse(&format!("{MINIMAL}\n[protect]\nacounts = {{}}")).unwrap_err();
        assert!(format!("{error:#}").contains("acounts"), "{error:#}");
    }

    #[test]
    fn exactly_one_way_to_sign_in() {
        let none = MINIMAL.replace("client_secret_file = \"backup.secret\"", "");
        assert!(format!("{:#}", parse(&none).unwrap_err()).contains("exactly one"));
        let two = MINIMAL.replace("client_id", "managed_identity = true\nclient_id");
        assert!(parse(&two).is_err());
    }

    #[test]
    fn exactly_one_way_to_open_the_repository() {
        let with = |line: &str| parse(&MINIMAL.replace("password_file = \"password\"", line));
        let source =
            |line: &str| Source::of(&with(line).unwrap().repository, "repository").unwrap();
        assert_eq!(
            source("key_file = \"key\""),
            Source::KeyFile("/etc/tenantfs/key".into())
        );
        assert_eq!(
            source("password_command = [\"pass\", \"show\"]"),
            Source::Command(vec!["pass".into(), "show".into()])
        );
        assert_eq!(
            source("password_credential = \"repo\""),
            Source::Credential("repo".into())
        );
        for wrong in [
            "",
            "password_command = []",
            "password_credential = \"../repo\"",
            "password_file = \"a\"\nkey_file = \"b\"",
        ] {
            let error = format!("{:#}", with(wrong).unwrap_err());
            assert!(error.contains("[repository]"), "{wrong}: {error}");
        }
        let copy = format!("{MINIMAL}\n[copy]\nlocation = \"copy\"\n");
        assert!(format!("{:#}", parse(&copy).unwrap_err()).contains("[copy]"));
    }

    #[test]
    fn an_unknown_workload_names_the_known_ones() {
        let error = parse(&format!("{MINIMAL}\n[protect]\nworkloads = [\"mial\"]")).unwrap_err();
        assert!(
            format!("{error:#}").contains("mail, archive, calendar"),
            "{error:#}"
        );
    }

    #[test]
    fn a_sweep_is_made_every_week_unless_told_otherwise() {
        let sweep =
            |text: &str| parse(&format!("{MINIMAL}\n[protect]\n{text}")).map(|c| c.protect.sweep);
        let days = |n: u64| Some(Duration::from_secs(n * 86_400));
        assert_eq!(sweep("").unwrap(), days(7));
        assert_eq!(sweep("sweep = \"30d\"").unwrap(), days(30));
        assert_eq!(sweep("sweep = \"never\"").unwrap(), None);
        for wrong in ["sweep = \"sometimes\"", "sweep = \"0s\"", "sweep = 7"] {
            assert!(sweep(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_repository_is_read_every_month_and_has_no_parity_unless_told_otherwise() {
        let verify = |text: &str| parse(&format!("{MINIMAL}\n{text}")).map(|c| c.verify.every);
        let days = |n: u64| Some(Duration::from_secs(n * 86_400));
        assert_eq!(verify("").unwrap(), days(30));
        assert_eq!(verify("[verify]\nevery = \"7d\"").unwrap(), days(7));
        assert_eq!(verify("[verify]\nevery = \"0\"").unwrap(), None);
        assert!(verify("[verify]\nevery = \"often\"").is_err());
        let parity = |text: &str| {
            let place = "location = \"repo\"";
            parse(&MINIMAL.replace(place, &format!("{place}\n{text}"))).map(|c| c.repository.parity)
        };
        assert_eq!(parity("").unwrap(), Parity::OFF);
        assert_eq!(parity("parity = \"0%\"").unwrap(), Parity::OFF);
        let five = Parity::percent(5.0).unwrap();
        assert_eq!(parity("parity = \"5%\"").unwrap(), five);
        for wrong in ["parity = \"5\"", "parity = \"101%\"", "parity = 5"] {
            assert!(parity(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_are_captured_when_asked_for() {
        let protect =
            |text: &str| parse(&format!("{MINIMAL}\n[protect]\n{text}")).map(|c| c.protect);
        let default = protect("").unwrap();
        assert_eq!(
            (default.versions, default.versions_of_new_files),
            (0, false)
        );
        assert_eq!(protect("versions = 10").unwrap().versions, 10);
        let all = protect("versions = 10\nversions_of_new_files = true").unwrap();
        assert!(all.versions_of_new_files);
        for wrong in [
            "versions = -1",
            "versions = 50001",
            "versions_of_new_files = true",
        ] {
            assert!(protect(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mail_is_exported_when_asked_for() {
        let route = |text: &str| parse(&format!("{MINIMAL}\n{text}")).map(|c| c.protect.mail.route);
        assert_eq!(route("").unwrap(), Route::Mime);
        assert_eq!(
            route("[protect.mail]\nroute = \"export\"").unwrap(),
            Route::Export
        );
        assert!(route("[protect.mail]\nroute = \"imap\"").is_err());
    }

    #[test]
    fn globs_choose_accounts_without_regard_to_case() {
        let globs = Globs {
            include: vec!["*@contoso.com".into()],
            exclude: vec!["test-*".into()],
        };
        let chosen = globs.matcher().unwrap();
        assert!(chosen("Alice@Contoso.com"));
        assert!(!chosen("test-1@contoso.com"));
        assert!(!chosen("bob@fabrikam.com"));
    }
}

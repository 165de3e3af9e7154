//! Object Lock of an S3 bucket: the store itself keeps a file until a date, whatever a key may do.
//!
//! A file is locked when it was written and before anything points at it. Who dies in between leaves one without a
//! lock; the next renewal finds it.
//!
//! A bucket may lock by itself (its default retention). That stays as it is; the longer of both counts.
//! Locks are never shortened, and never made weaker.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::path::Path as StorePath;
use object_store::signer::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;

use super::super::error::{RepoError, Result};
use super::location::{LockMode, ObjectLock};
use super::signed::Signed;
use super::{AT_A_TIME, Backend, remote};

/// What is locked: all that opens and reads a snapshot. Not what daily work replaces, nor what can be
/// made again.
const LOCKED: [&str; 9] = [
    "config",
    "keys",
    "data",
    "meta",
    "parity",
    "index",
    "dictionaries",
    "snapshots",
    "holds",
];

/// How long the store keeps a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Until when, and how firmly.
    pub retained: Option<(Timestamp, LockMode)>,
    /// Somebody put a legal hold on it.
    pub held: bool,
}

impl Kept {
    /// Whether the store refuses to delete it.
    pub(crate) fn is_locked(&self, now: Timestamp) -> bool {
        self.held || self.retained.is_some_and(|(until, _)| until > now)
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| headers.get(name).map(HeaderValue::to_str).transpose().ok();
        let until = header("x-amz-object-lock-retain-until-date")?;
        let mode = header("x-amz-object-lock-mode")?.and_then(LockMode::parse);
        let hold = header("x-amz-object-lock-legal-hold")?;
        let until: Option<Timestamp> = until.map(str::parse).transpose().ok()?;
        Some(Kept {
            // A mode that is not known is taken for the firmer one: such a lock is not to be weakened.
            retained: until.map(|until| (until, mode.unwrap_or(LockMode::Compliance))),
            held: hold == Some("ON"),
        })
    }
}

/// A bucket that locks.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// What it does with every new file.
    pub default: Option<ObjectLock>,
    /// Writes with checksums, which S3 wants where files are locked.
    store: Arc<dyn ObjectStore>,
}

/// Asks an S3 store for locks.
pub(super) struct Locks {
    signed: Signed,
    builder: AmazonS3Builder,
    /// What every file is to get.
    wanted: Option<ObjectLock>,
    /// What the bucket was found to do, and if nothing, why.
    found: Mutex<Option<Result<Arc<Bucket>, String>>>,
}

impl Locks {
    pub(super) fn new(
        signed: Signed,
        builder: AmazonS3Builder,
        wanted: Option<ObjectLock>,
    ) -> Self {
        Locks {
            signed,
            builder,
            wanted,
            found: Mutex::default(),
        }
    }

    /// What the bucket does about locks; an error text when nothing. Asked once. Where no lock is wanted,
    /// a store that does not answer is taken for one that does not lock, this time.
    async fn bucket(&self) -> Result<Result<Arc<Bucket>, String>> {
        if let Some(found) = &*self.found.lock() {
            return Ok(found.clone());
        }
        let action = || "cannot ask the bucket about Object Lock".to_owned();
        let wanted = self.wanted.is_some();
        let root = StorePath::default();
        let asked = match wanted {
            true => self.signed.ask(Method::GET, &root, "object-lock", "").await,
            false => {
                self.signed
                    .once(Method::GET, &root, "object-lock", "")
                    .await
            }
        };
        let answer = match (asked, wanted) {
            (Ok(answer), _) if !answer.passes() => answer,
            (Ok(answer), false) => return Ok(Err(answer.reason())),
            (Ok(answer), true) => return Err(answer.into_error(action(), "")),
            (Err(error), false) => return Ok(Err(error.into_error(action()).to_string())),
            (Err(error), true) => return Err(error.into_error(action())),
        };
        let enabled =
            answer.is_ok() && remote::field(&answer.body, "ObjectLockEnabled") == Some("Enabled");
        // A key need not be allowed to read this. The store refuses what it cannot do.
        let found = if enabled || (wanted && answer.status == 403) {
            let builder = self.builder.clone();
            let store = builder.with_checksum_algorithm(Checksum::SHA256).build();
            Ok(Arc::new(Bucket {
                default: default_of(&answer.body),
                store: Arc::new(store.map_err(|e| remote::failure(action(), e))?),
            }))
        } else {
            Err(answer.reason())
        };
        *self.found.lock() = Some(found.clone());
        Ok(found)
    }

    /// Locks a file that was just written.
    async fn retain(&self, file: &str, path: &StorePath) -> Result<()> {
        let (Some(wanted), Ok(bucket)) = (self.wanted, self.bucket().await?) else {
            return Ok(());
        };
        let default = bucket.default.unwrap_or(ObjectLock {
            period: Duration::ZERO,
            mode: LockMode::Governance,
        });
        if default.period >= wanted.period && default.mode >= wanted.mode {
            return Ok(());
        }
        let period = default.period.max(wanted.period);
        let mode = default.mode.max(wanted.mode);
        self.lock(file, path, after(Timestamp::now(), period), mode)
            .await
    }

    /// Until when a file is kept.
    async fn kept(&self, file: &str, path: &StorePath) -> Result<Kept> {
        let action = || format!("cannot see until when {file} is locked");
        let answer = self.signed.ask(Method::HEAD, path, "", "").await;
        let answer = answer.map_err(|e| e.into_error(action()))?;
        if !answer.is_ok() {
            return Err(answer.into_error(action(), file));
        }
        Kept::of(&answer.headers).ok_or_else(|| RepoError::StoreFailed {
            action: action(),
            reason: "its answer names a date that is none".into(),
        })
    }

    /// Locks a file again that is locked for less than half the time; true when that was done.
    async fn renew(&self, file: &str, path: &StorePath) -> Result<bool> {
        let Some(wanted) = self.wanted else {
            return Ok(false);
        };
        let (now, kept) = (Timestamp::now(), self.kept(file, path).await?);
        let (until, mode) = kept.retained.unwrap_or((now, LockMode::Governance));
        if until >= after(now, wanted.period / 2) && mode >= wanted.mode {
            return Ok(false);
        }
        let until = until.max(after(now, wanted.period));
        self.lock(file, path, until, mode.max(wanted.mode)).await?;
        Ok(true)
    }

    async fn lock(
        &self,
        file: &str,
        path: &StorePath,
        until: Timestamp,
        mode: LockMode,
    ) -> Result<()> {
        // A part of a second less would be a shorter lock.
        let until = after(until, Duration::from_nanos(999_999_999));
        let action = || format!("cannot lock {file} until {until:.0} (s3:PutObjectRetention)");
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until:.0}</RetainUntilDate></Retention>"
        );
        let answer = self.signed.ask(Method::PUT, path, "retention", &body).await;
        let answer = answer.map_err(|e| e.into_error(action()))?;
        match answer.is_ok() {
            true => Ok(()),
            false => Err(answer.into_error(action(), file)),
        }
    }
}

impl Backend {
    /// Fails when files are to be locked and the store does not do that.
    pub(super) fn check_lock(&self, location: &impl std::fmt::Display) -> Result<()> {
        let Some(locks) = self.locks.clone().filter(|locks| locks.wanted.is_some()) else {
            return Ok(());
        };
        match self.run(async move { locks.bucket().await })? {
            Ok(_) => Ok(()),
            Err(reason) => Err(RepoError::NoObjectLock {
                location: location.to_string(),
                reason,
            }),
        }
    }

    /// The bucket, when it locks files.
    pub(crate) fn locking(&self) -> Result<Option<Arc<Bucket>>> {
        let Some(locks) = self.locks.clone() else {
            return Ok(None);
        };
        Ok(self.run(async move { locks.bucket().await })?.ok())
    }

    /// How files are locked from now on.
    pub(crate) fn lock_wanted(&self) -> Option<ObjectLock> {
        self.locks.as_ref().and_then(|locks| locks.wanted)
    }

    /// What takes files that are written.
    pub(super) fn writing(&self) -> Arc<dyn ObjectStore> {
        match self.locking() {
            Ok(Some(bucket)) => bucket.store.clone(),
            Ok(None) | Err(_) => self.store.clone(),
        }
    }

    /// Locks a file that was just written, if it is one of those and that is wanted.
    pub(super) fn retain(&self, file: &str) -> Result<()> {
        let Some(locks) = self.locks.clone() else {
            return Ok(());
        };
        if locks.wanted.is_none() || !is_lockable(file) {
            return Ok(());
        }
        let (file, path) = (file.to_owned(), self.path(file));
        self.run(async move { locks.retain(&file, &path).await })
    }

    /// Until when the store keeps these files.
    pub(crate) fn kept(&self, files: Vec<String>) -> Vec<Result<Kept>> {
        self.each(files, |locks, file, path| async move {
            locks.kept(&file, &path).await
        })
    }

    /// Locks files again whose locks run out; tells of each whether that was done.
    pub(crate) fn renew(&self, files: Vec<String>) -> Vec<Result<bool>> {
        self.each(files, |locks, file, path| async move {
            locks.renew(&file, &path).await
        })
    }

    /// Asks about several files at the same time, in their order. Nothing where there are no locks.
    fn each<T, F>(
        &self,
        files: Vec<String>,
        ask: impl Fn(Arc<Locks>, String, StorePath) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let Some(locks) = self.locks.clone() else {
            return Vec::new();
        };
        let one = |file: String| {
            let path = self.path(&file);
            ask(locks.clone(), file, path)
        };
        let asked: Vec<F> = files.into_iter().map(one).collect();
        self.run(async move {
            let answers = futures::stream::iter(asked).buffered(AT_A_TIME);
            answers.collect().await
        })
    }
}

/// Whether a file is one that is locked where that is wanted.
pub(crate) fn is_lockable(file: &str) -> bool {
    let folder = file.split('/').next().unwrap_or_default();
    LOCKED.contains(&folder)
}

/// What a bucket does with every new file.
fn default_of(configuration: &str) -> Option<ObjectLock> {
    let rule = remote::field(configuration, "DefaultRetention")?;
    let days = |name, days: u64| {
        let count: u64 = remote::field(rule, name)?.parse().ok()?;
        count.checked_mul(days)?.checked_mul(86_400)
    };
    let seconds = days("Days", 1).or_else(|| days("Years", 365))?;
    Some(ObjectLock {
        period: Duration::from_secs(seconds),
        mode: LockMode::parse(remote::field(rule, "Mode")?)?,
    })
}

fn after(now: Timestamp, period: Duration) -> Timestamp {
    now.checked_add(period).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use object_store::signer::HeaderName;

    use super::*;

    #[test]
    fn what_a_bucket_does_by_itself() {
        let rule = |rule: &str| {
            format!(
                "<C><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{rule}\
                     </DefaultRetention></Rule></C>"
            )
        };
        let of = |days: u64, mode| {
            Some(ObjectLock {
                period: Duration::from_secs(days * 86_400),
                mode,
            })
        };
        let both = [
            (
                "<Mode>GOVERNANCE</Mode><Days>7</Days>",
                of(7, LockMode::Governance),
            ),
            (
                "<Years>2</Years><Mode>COMPLIANCE</Mode>",
                of(730, LockMode::Compliance),
            ),
            (
                "<Mode>COMPLIANCE</Mode><Days>99999999999999999999</Days>",
                None,
            ),
            (
                "<Mode>COMPLIANCE</Mode><Years>999999999999999</Years>",
                None,
            ),
            ("<Days>1</Days>", None),
        ];
        for (written, lock) in both {
            assert_eq!(default_of(&rule(written)), lock, "{written}");
        }
        assert_eq!(
            default_of("<C><ObjectLockEnabled>Enabled</ObjectLockEnabled></C>"),
            None
        );
    }

    #[test]
    fn how_long_a_file_is_kept() {
        let kept = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name = format!("x-amz-object-lock-{name}");
                (
                    HeaderName::try_from(name).unwrap(),
                    HeaderValue::from_static(value),
                )
            });
            Kept::of(&headers.collect())
        };
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().unwrap();
        let locked = |headers: &[_]| kept(headers).map(|kept| kept.is_locked(now));
        assert_eq!(kept(&[]), Some(Kept::default()));
        assert_eq!(locked(&[]), Some(false));
        let until = ("retain-until-date", "2026-11-26T12:00:00.001Z");
        assert_eq!(locked(&[until, ("mode", "GOVERNANCE")]), Some(true));
        assert_eq!(
            locked(&[("retain-until-date", "2026-11-26T12:00:00Z")]),
            Some(false)
        );
        assert_eq!(locked(&[("legal-hold", "ON")]), Some(true));
        assert_eq!(locked(&[("legal-hold", "OFF")]), Some(false));
        assert_eq!(kept(&[("retain-until-date", "soon")]), None);
        let unknown = kept(&[until, ("mode", "NEWER")]).unwrap();
        assert_eq!(unknown.retained.unwrap().1, LockMode::Compliance);
    }
}

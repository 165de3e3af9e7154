//! The face of restore: what the mount and the command line call. Every call blocks, with a deadline.
//!
//! Work runs on the runtime that was handed in; the caller's thread only waits for it. So any thread
//! may call that is not itself a worker of a runtime, and none waits for longer than it said.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::runtime::Handle;
use uuid::Uuid;

use super::errno::{Code, RestoreError};
use super::journal::{Journal, QueueItem};
use super::listing::Listings;
use super::live::{check_target, list, lookup, make};
use super::log::{Event, RestoreLog};
use super::place::{Directory, Places};
use super::policy::Conflict;
use super::push::Pusher;
use super::recognise::Recognise;
use super::recover::adopt;
use super::spool::{Spool, SpoolFile};
use super::target::TargetPath;
use crate::local::LocalState;
use crate::lockfile::LockFile;
use crate::workload::{LiveEntry, Pushed, Workload};

/// A listing or a new folder takes at most this long; a folder of a million messages is a thousand pages.
const CALL: Duration = Duration::from_secs(180);
/// Lines of `restore/.queue`.
const QUEUE_LINES: usize = 10_000;

/// What a service works with.
pub struct ServiceConfig {
    /// What can be restored, in the order it is listed. They use the restore identity.
    pub workloads: Vec<Arc<dyn Workload>>,
    /// Who knows the accounts.
    pub directory: Arc<dyn Directory>,
    /// Why nothing may be written (`None`: it may).
    pub read_only: Option<String>,
    /// Knows what a snapshot knows about bytes. Without it everything is restored as a plain file.
    pub recogniser: Option<Arc<dyn Recognise>>,
    /// Folder for the spool and the log; this service's alone.
    pub local: PathBuf,
    /// Folder where killed commands may have left something to be taken up
    /// ([`super::command::commands_folder`]): for the daemon.
    pub adopt: Option<PathBuf>,
    /// The local state.
    pub state: LocalState,
    /// Where the work runs: multithreaded.
    pub runtime: Handle,
    /// What happens when the target exists and the path does not say.
    pub conflict: Conflict,
    /// Pushes at a time for one mailbox. Exchange allows 4 requests.
    pub per_mailbox: usize,
}

/// What became of a file that was handed over.
#[derive(Debug, Clone)]
pub enum Receipt {
    /// Microsoft 365 has it.
    Confirmed(Pushed),
    /// The bytes are safe here; the push follows. [`Service::wait`] waits for it.
    Queued(Uuid),
}

/// The restore service. Clones share it.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    pusher: Arc<Pusher>,
    spool: Arc<Spool>,
    read_only: Option<String>,
    runtime: Handle,
}

impl Service {
    /// Starts the service: takes up what an earlier one left in the spool, and works on it in the
    /// background. Blocking (reads the spool); not on a worker of a runtime.
    ///
    /// # Errors
    /// When the local folder can't be used.
    pub fn start(config: ServiceConfig) -> Result<Service, RestoreError> {
        let local = |e: &std::io::Error| {
            RestoreError::local(format!("the restore folder {}", config.local.display()), e)
        };
        std::fs::create_dir_all(&config.local).map_err(|e| local(&e))?;
        let lock = lock(&config.local)?;
        if let Some(commands) = &config.adopt {
            let spool = config.local.join("spool");
            let adopted = std::fs::create_dir_all(&spool).and_then(|()| adopt(&spool, commands));
            adopted.map_err(|e| local(&e))?;
        }
        let (spool, tickets) = Spool::open(&config.local.join("spool")).map_err(|e| local(&e))?;
        let log = RestoreLog::open(&config.local);
        let (journal, open) = Journal::open(Arc::clone(&spool), config.state.clone(), tickets)
            .map_err(|e| local(&e))?;
        let pusher = Arc::new(Pusher::new(
            Places::new(Arc::clone(&config.directory), config.workloads.clone()),
            journal,
            Listings::default(),
            log,
            config.recogniser.clone(),
            config.conflict,
            config.per_mailbox,
            config.runtime.clone(),
            lock,
        ));
        // Without an identity that may write nothing can be found out or done; it waits for one.
        if config.read_only.is_none() {
            Arc::clone(&pusher).recover(open);
        }
        Ok(Service {
            inner: Arc::new(Inner {
                pusher,
                spool,
                read_only: config.read_only,
                runtime: config.runtime,
            }),
        })
    }

    /// Whether anything may be written.
    ///
    /// # Errors
    /// EROFS, with the reason.
    pub fn writable(&self) -> Result<(), RestoreError> {
        match &self.inner.read_only {
            Some(reason) => Err(RestoreError::new(Code::ReadOnly, reason.clone())),
            None => Ok(()),
        }
    }

    /// The names of the accounts.
    ///
    /// # Errors
    /// When they were never known and can't be asked for now.
    pub fn accounts(&self) -> Result<Vec<String>, RestoreError> {
        let pusher = Arc::clone(&self.inner.pusher);
        self.wait_for(CALL, async move {
            Ok(pusher
                .places
                .accounts()
                .await?
                .iter()
                .map(|a| a.upn.clone())
                .collect())
        })
    }

    /// What is in a place now: accounts, workloads, or what is live in a folder.
    ///
    /// # Errors
    /// ENOENT for a place that is not there; what the service says.
    pub fn list(&self, target: &TargetPath) -> Result<Arc<Vec<LiveEntry>>, RestoreError> {
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move { list(&pusher, &target).await })
    }

    /// What is at a place now; `None` when nothing is.
    ///
    /// # Errors
    /// ENOENT when the folder it would be in is not there; what the service says.
    pub fn lookup(&self, target: &TargetPath) -> Result<Option<LiveEntry>, RestoreError> {
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move { lookup(&pusher, &target).await })
    }

    /// Makes a folder. What it is a copy of shows by the first item that comes into it.
    ///
    /// # Errors
    /// EEXIST when something of that name is there; ENOENT when its parent is not.
    pub fn mkdir(&self, target: &TargetPath) -> Result<LiveEntry, RestoreError> {
        self.writable()?;
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move {
            let made = make(&pusher, &target).await?;
            pusher.made.add(&target, made.clone());
            Ok(made)
        })
    }

    /// Makes a folder with the access that its original has by this record.
    pub(super) fn mkdir_as(
        &self,
        target: &TargetPath,
        record: serde_json::Value,
    ) -> Result<LiveEntry, RestoreError> {
        self.writable()?;
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move {
            let made = make(&pusher, &target).await?;
            let place = pusher.places.resolve(&target).await?;
            let shared = place.workload.share_folder(&place.account, &made, &record);
            let notes = shared.await.unwrap_or_else(|e| vec![e.to_string()]);
            for note in notes {
                pusher.folder_differs(&target, &note);
            }
            Ok(made)
        })
    }

    /// Programs set the time of a folder when everything is in it: what changed with each item is put
    /// right in one that was made here. Another one is left as it is.
    ///
    /// # Errors
    /// What the service says.
    pub fn finish(&self, target: &TargetPath) -> Result<(), RestoreError> {
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move { pusher.finish_made(&target).await })
    }

    /// Gives a folder that was made what else the record of its original says of it.
    pub(super) fn finish_folder(
        &self,
        target: &TargetPath,
        folder: LiveEntry,
        record: serde_json::Value,
    ) -> Result<Vec<String>, RestoreError> {
        let (pusher, target) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move {
            let place = pusher.places.resolve(&target).await?;
            let finished = place
                .workload
                .finish_folder(&place.account, &folder, &record);
            Ok(finished.await?)
        })
    }

    /// A new private file for what goes to `target`.
    ///
    /// # Errors
    /// EROFS; EEXIST when the policy is skip and something is there; EISDIR when a folder is; ENOENT
    /// when there is no such folder, account or workload.
    pub fn create(&self, target: &TargetPath) -> Result<SpoolFile, RestoreError> {
        self.writable()?;
        let (pusher, at) = (Arc::clone(&self.inner.pusher), target.clone());
        self.wait_for(CALL, async move { check_target(&pusher, &at).await })?;
        self.spool_file(target)
    }

    /// A new private file, with no question asked: what is wrong with the target shows at the push.
    pub(super) fn spool_file(&self, target: &TargetPath) -> Result<SpoolFile, RestoreError> {
        self.inner
            .spool
            .create(target.clone())
            .map_err(|e| RestoreError::local("cannot make a file in the restore spool", &e))
    }

    /// Hands a complete file over: what `close()` does. Returns when Microsoft 365 has confirmed it, or,
    /// with `@queued`, when the bytes are safe here.
    ///
    /// `deadline` is for silence, not for the whole: a large upload may take as long as it moves. When it
    /// passes, the answer is EIO and the push is brought to its end in the background; writing the same
    /// bytes to the same place again joins it.
    ///
    /// # Errors
    /// What the program that wrote the file gets from `close()`. It is in the log too.
    pub fn push(&self, file: SpoolFile, deadline: Duration) -> Result<Receipt, RestoreError> {
        self.writable()?;
        let pusher = Arc::clone(&self.inner.pusher);
        let target = file.target().clone();
        let (send, receive) = mpsc::sync_channel(1);
        self.inner.runtime.spawn(async move {
            // The waiting side may have gone.
            let _ = send.send(pusher.submit(file).await);
        });
        // Hashing and recognising a large file takes its time; the disk does not fall silent.
        let submitted = receive.recv_timeout(deadline.max(Duration::from_secs(60)) * 30);
        match submitted {
            Ok(Ok(pending)) if target.policy().queued => Ok(Receipt::Queued(pending.id)),
            Ok(Ok(pending)) => pending.wait(deadline).map(Receipt::Confirmed),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(RestoreError::new(
                Code::Io,
                format!("{target}: reading the spooled file did not end"),
            )),
        }
    }

    /// Drops a file without a push.
    pub fn discard(&self, file: SpoolFile) {
        drop(file);
    }

    /// What waits, is on its way, or was refused, oldest first; the first 10,000.
    pub fn queue(&self) -> Vec<QueueItem> {
        self.inner.pusher.journal.queue(QUEUE_LINES)
    }

    /// `restore/.queue` as text: a line for each, tab separated.
    pub fn queue_text(&self) -> String {
        self.queue().iter().map(queue_line).collect()
    }

    /// Waits for a queued push: what `fsync` does. One that is over already counts as done.
    ///
    /// # Errors
    /// Its refusal; EIO when it is not done in time.
    pub fn wait(&self, id: Uuid, deadline: Duration) -> Result<(), RestoreError> {
        match self.inner.pusher.pending(id) {
            Some(pending) => pending.wait(deadline).map(drop),
            None => self.inner.pusher.refusal(id).map_or(Ok(()), Err),
        }
    }

    /// The last lines of the log.
    pub fn log_text(&self) -> String {
        self.inner.pusher.log.text()
    }

    /// Adds a refusal that never came to a push to the log, such as one of the mount's own.
    pub fn note(&self, target: &TargetPath, reason: &str) {
        self.inner
            .pusher
            .log
            .add(Event::Failed, &target.to_string(), reason);
    }

    /// Why the last restore to this place failed: `user.tenantfs.error`.
    pub fn last_error(&self, target: &TargetPath) -> Option<String> {
        self.inner.pusher.log.last_error(&target.to_string())
    }

    /// Tries everything again that was refused. Returns how many.
    ///
    /// # Errors
    /// When the spool can't be read.
    pub fn retry_failed(&self) -> Result<usize, RestoreError> {
        self.writable()?;
        self.inner.pusher.retry_failed()
    }

    /// Takes no more from the queue and waits for what is on its way. What is not done then is taken up
    /// by the next start. Returns whether all was done in time.
    pub fn stop(&self, deadline: Duration) -> bool {
        self.inner.pusher.stop(deadline)
    }

    pub(super) fn pusher(&self) -> &Arc<Pusher> {
        &self.inner.pusher
    }

    /// Runs work on the runtime and waits for it, so long.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, RestoreError>> + Send + 'static,
    ) -> Result<T, RestoreError> {
        let (send, receive) = mpsc::sync_channel(1);
        let task = self.inner.runtime.spawn(async move {
            let _ = send.send(work.await);
        });
        receive.recv_timeout(deadline).unwrap_or_else(|_| {
            task.abort();
            Err(RestoreError::temporary(format!(
                "Microsoft 365 did not answer within {} s",
                deadline.as_secs()
            )))
        })
    }
}

fn queue_line(item: &QueueItem) -> String {
    let status = match item.status {
        super::QueueStatus::Waiting => "waiting",
        super::QueueStatus::Pushing => "pushing",
        super::QueueStatus::Retrying => "retrying",
        super::QueueStatus::Failed => "failed",
    };
    let reason: String = item
        .reason
        .iter()
        .flat_map(|r| r.chars())
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!(
        "{}\t{status}\t{}\t{}\t{}\t{reason}\n",
        item.id, item.attempts, item.size, item.target
    )
}

/// One service at a time works on a spool.
fn lock(dir: &Path) -> Result<LockFile, RestoreError> {
    let what = format!("the restore folder {}", dir.display());
    match LockFile::take(&dir.join("lock")) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(RestoreError::new(
            Code::Io,
            format!("{what} is in use by another tenantfs process"),
        )),
        Err(e) => Err(RestoreError::local(what, &e)),
    }
}

/// Opens the local state of a service that has a folder of its own.
///
/// # Errors
/// When another process has it, or the disk fails.
pub fn open_state(dir: &Path) -> Result<LocalState, RestoreError> {
    LocalState::open(dir).map_err(|e| RestoreError::new(Code::Io, e.to_string()))
}

//! `tenantfs daemon`: captures by schedule, keeps the mount up, answers on the control socket.
//!
//! One loop decides everything, so that there is never more than one cycle at a time: it waits for
//! whichever comes first of the schedule, a call on the control socket, a changed configuration
//! and a signal to stop. A cycle runs as a task beside it; a stop asks the cycle to finish at its
//! next page and waits for its checkpoint. Between cycles the scrub reads the repository, one pack at a
//! time; a stop leaves it behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sd_notify::NotifyState;
use serde_json::{Value, json};
use tenantfs::local::LocalState;
use tenantfs::repo::Repository;
use tenantfs::sync::Progress;
use tenantfs_mount::MountHandle;
use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::backup::summary;
use crate::background::Starter;
use crate::cli::values::absolute_path;
use crate::config::Config;
use crate::control::{self, Call, Request};
use crate::cycle::{Asked, Capture};
use crate::exit::Outcome;
use crate::reload::Watch;
use crate::scrub::{self, Scrub};
use crate::upkeep::Upkeep;
use crate::{app, cycle, mounting, signals};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Mount here [default: mount.path of the configuration]
    #[arg(long, value_name = "DIR", value_parser = absolute_path())]
    pub mount: Option<PathBuf>,
    /// Detach from the terminal once everything runs
    #[arg(long)]
    pub background: bool,
}

/// How long the watchdog's question to the mount may take.
const PROBE: Duration = Duration::from_secs(20);

pub fn run(context: &Context, args: &Args, starter: &mut Starter) -> Result<Outcome> {
    let config = &context.config;
    app::private_folder(&config.state_dir)?;
    let repository = app::open_repository(config)?;
    let local = cycle::open_local(config)?;
    let capture = Capture::with_local(config, &repository, local.clone())?;
    let runtime = app::runtime()?;
    let mount = match args.mount.as_ref().or(config.mount.path.as_ref()) {
        Some(dir) => {
            let service = mounting::restore_service(
                config,
                &repository,
                runtime.handle(),
                mounting::Owner::Daemon,
            )?;
            Some(mounting::start(config, &repository, service, dir)?)
        }
        None => None,
    };
    let (sender, calls) = mpsc::channel(16);
    let result = runtime.block_on(async {
        control::listen(&config.state_dir, sender)?;
        let now = Timestamp::now().as_second();
        let mut scrub = Scrub::new(config.verify.every, local.clone(), now);
        scrub.meet(repository.packs(), now);
        let mut daemon = Loop {
            context,
            config: config.clone(),
            repository,
            capture: Arc::new(capture),
            local,
            mount,
            scrub,
            scrubbing: None,
            last_start: None,
            last: Value::Null,
            running: None,
            upkeep: Upkeep::default(),
        };
        starter.ready();
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let result = daemon.run(calls).await;
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        let mount = daemon.mount.take();
        result.map(|()| mount)
    });
    let _ = std::fs::remove_file(control::socket_path(&config.state_dir));
    if let Some(mount) = result? {
        mount.stop()?;
    }
    Ok(Outcome::Done)
}

/// A cycle that is going on.
struct Running {
    progress: Arc<Progress>,
    done: oneshot::Receiver<Result<Value>>,
    /// Who wants to know how it went.
    waiting: Vec<oneshot::Sender<Value>>,
}

struct Loop<'a> {
    context: &'a Context,
    config: Config,
    repository: Repository,
    capture: Arc<Capture>,
    local: Option<LocalState>,
    mount: Option<MountHandle>,
    scrub: Scrub,
    scrubbing: Option<scrub::Running>,
    last_start: Option<Timestamp>,
    /// How the last cycle went.
    last: Value,
    running: Option<Running>,
    upkeep: Upkeep,
}

impl Loop<'_> {
    async fn run(&mut self, mut calls: mpsc::Receiver<Call>) -> Result<()> {
        let stop = signals::stop_token()?;
        let mut hangup = signals::hangup()?;
        let mut changes = Watch::new(&self.context.config_file)?;
        let mut watchdog = tokio::time::interval(Duration::from_secs(30));
        loop {
            let due = self.until_due();
            let scrub_due = self.scrub.until_due(Timestamp::now().as_second());
            let may_scrub = self.running.is_none() && self.scrubbing.is_none();
            tokio::select! {
                () = stop.cancelled() => break,
                result = finished(&mut self.running) => self.end_cycle(result),
                () = tokio::time::sleep(due), if self.running.is_none() => self.start_cycle(Asked::default()),
                done = scrub::finished(&mut self.scrubbing) => {
                    self.scrub.done(done, Timestamp::now().as_second());
                }
                () = tokio::time::sleep(scrub_due.unwrap_or_default()),
                    if may_scrub && scrub_due.is_some() =>
                {
                    self.scrubbing = self.scrub.start(&self.repository);
                }
                Some(call) = calls.recv() => if self.answer(call) { break },
                () = changes.changed() => self.reload(),
                _ = hangup.recv() => self.reload(),
                _ = watchdog.tick() => self.feed_watchdog().await,
            }
        }
        if let Some(running) = &self.running {
            tracing::info!("finishing the running cycle");
            running.progress.cancel();
            let result = finished(&mut self.running).await;
            self.end_cycle(result);
        }
        Ok(())
    }

    fn until_due(&self) -> Duration {
        let now = Timestamp::now();
        let due = self.config.protect.schedule.next(self.last_start, now);
        Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
    }

    fn start_cycle(&mut self, asked: Asked) {
        self.last_start = Some(Timestamp::now());
        let progress = Arc::new(Progress::default());
        let (sender, done) = oneshot::channel();
        let capture = Arc::clone(&self.capture);
        let watched = Arc::clone(&progress);
        tokio::spawn(async move {
            let outcome = capture.run(&asked, watched).await;
            // The loop is gone only when the process ends.
            let _ = sender.send(outcome.map(|outcome| summary(&outcome)));
        });
        tracing::info!("a cycle starts");
        self.running = Some(Running {
            progress,
            done,
            waiting: Vec::new(),
        });
    }

    fn end_cycle(&mut self, result: Result<Value>) {
        let waiting = self.running.take().map(|r| r.waiting).unwrap_or_default();
        self.last = match result {
            Ok(summary) => {
                let (repository, local) = (&self.repository, self.local.as_ref());
                self.upkeep.begin(&self.config.retention, repository, local);
                tracing::info!(
                    snapshot = %summary["snapshot"],
                    counts = %summary["counts"],
                    "the cycle is done"
                );
                summary
            }
            Err(error) => {
                tracing::error!("the cycle failed: {error:#}");
                control::error(&format!("{error:#}"))
            }
        };
        if let Some(mount) = &self.mount
            && let Err(error) = mount.refresh()
        {
            tracing::warn!("the mount cannot show the new snapshot yet: {error}");
        }
        let packs = self.repository.packs();
        self.scrub.meet(packs, Timestamp::now().as_second());
        for sender in waiting {
            let _ = sender.send(self.last.clone());
        }
    }

    /// Answers a call. True when the daemon is to stop.
    fn answer(&mut self, call: Call) -> bool {
        let reply = match call.request {
            Request::Status => self.status(),
            Request::Reload => {
                self.reload();
                json!({ "reloaded": true })
            }
            Request::Stop => {
                let _ = call.answer.send(json!({ "stopping": true }));
                return true;
            }
            Request::Backup { asked } => {
                if self.running.is_some() && asked != Asked::default() {
                    control::error("a cycle is running; try again when it is done")
                } else {
                    if self.running.is_none() {
                        self.start_cycle(asked);
                    }
                    if let Some(running) = &mut self.running {
                        running.waiting.push(call.answer);
                    }
                    return false;
                }
            }
        };
        let _ = call.answer.send(reply);
        false
    }

    fn status(&self) -> Value {
        let next = self
            .config
            .protect
            .schedule
            .next(self.last_start, Timestamp::now());
        json!({
            "state": if self.running.is_some() { "capturing" } else { "waiting" },
            "progress": self.running.as_ref().map(|running| running.progress.now()),
            "next_cycle": self.running.is_none().then(|| next.to_string()),
            "last_cycle": self.last,
            "scrub": self.scrub.status(Timestamp::now().as_second()),
            "mount": self.mount.as_ref().map(|mount| mount.path().display().to_string()),
            "repository": self.repository.location().to_string(),
            "pid": std::process::id(),
        })
    }

    /// Takes up what may change while it runs. A configuration that is not usable changes nothing.
    fn reload(&mut self) {
        let loaded = Config::load(Some(&self.context.config_file)).and_then(|(config, _)| {
            let capture = Capture::with_local(&config, &self.repository, self.local.clone())?;
            Ok((config, capture))
        });
        match loaded {
            Ok((config, capture)) => {
                let later = config.after_restart(&self.context.config);
                if !later.is_empty() {
                    let later = later.join(", ");
                    tracing::warn!("what changed in {later} takes effect at a restart only");
                }
                let now = Timestamp::now().as_second();
                self.scrub.set_every(config.verify.every, now);
                self.repository.set_parity(config.repository.parity);
                self.config = config;
                self.capture = Arc::new(capture);
                tracing::info!("took up the changed configuration");
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
        }
    }

    /// Tells systemd that all is well, if the mount answers.
    async fn feed_watchdog(&self) {
        if let Some(mount) = &self.mount {
            let path = mount.path().join("snapshots");
            let probe = tokio::task::spawn_blocking(move || std::fs::read_dir(path).map(drop));
            match tokio::time::timeout(PROBE, probe).await {
                Ok(Ok(Ok(()))) => {}
                _ => {
                    tracing::error!("the mount does not answer");
                    return;
                }
            }
        }
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

/// Waits for the running cycle; for ever when there is none.
async fn finished(running: &mut Option<Running>) -> Result<Value> {
    match running {
        Some(running) => match (&mut running.done).await {
            Ok(result) => result,
            Err(_) => Err(anyhow!(
                "the cycle was aborted by a fault of tenantfs; its log says more"
            )),
        },
        None => std::future::pending().await,
    }
}

//! Tells when the configuration file was changed.
//!
//! The file's directory is watched, because editors write a new file and rename it over the old
//! one. A burst of events is one change. When inotify lost events, the file counts as changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a burst of events may go on before it counts as over.
const QUIET: Duration = Duration::from_millis(300);

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
    events: mpsc::UnboundedReceiver<()>,
    /// When the burst that goes on counts as over.
    quiet_at: Option<Instant>,
}

impl Watch {
    /// Watches `file`.
    pub fn new(file: &Path) -> Result<Self> {
        let file = std::path::absolute(file)?;
        let dir = file.parent().map_or(PathBuf::from("/"), Path::to_path_buf);
        let (sender, events) = mpsc::unbounded_channel();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let concerns = match event {
                    Ok(event) => {
                        event.need_rescan()
                            || !matches!(event.kind, EventKind::Access(_))
                                && event
                                    .paths
                                    .iter()
                                    .any(|path| path.file_name() == file.file_name())
                    }
                    Err(_) => true,
                };
                if concerns {
                    // The receiver goes away first when the daemon stops.
                    let _ = sender.send(());
                }
            })
            .context("cannot watch for changes of the configuration")?;
        watcher
            .watch(&dir, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch {}", dir.display()))?;
        Ok(Self {
            _watcher: watcher,
            events,
            quiet_at: None,
        })
    }

    /// Waits until the file was changed and has been quiet for a moment. Dropping the future before
    /// that loses nothing: the next call goes on waiting for the same change.
    pub async fn changed(&mut self) {
        loop {
            let more = match self.quiet_at {
                None => self.events.recv().await,
                Some(at) => match tokio::time::timeout_at(at, self.events.recv()).await {
                    Ok(more) => more,
                    Err(_) => {
                        self.quiet_at = None;
                        return;
                    }
                },
            };
            if more.is_none() {
                // The watcher is gone: there will be no event any more.
                return std::future::pending().await;
            }
            self.quiet_at = Some(Instant::now() + QUIET);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rename_over_the_file_is_one_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tenantfs.toml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(&file).unwrap();
        std::fs::write(dir.path().join("new"), "b").unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.changed())
            .await
            .unwrap();
        let more = tokio::time::timeout(Duration::from_millis(600), watch.changed()).await;
        assert!(more.is_err(), "one change was reported twice");
    }

    /// The daemon's loop drops the future whenever something else happens first.
    #[tokio::test]
    async fn a_wait_given_up_early_loses_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tenantfs.toml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(&file).unwrap();
        std::fs::write(&file, "b").unwrap();
        let given_up = Duration::from_millis(50);
        let until = Instant::now() + Duration::from_secs(10);
        while tokio::time::timeout(given_up, watch.changed())
            .await
            .is_err()
        {
            assert!(Instant::now() < until, "the change was lost");
        }
    }
}

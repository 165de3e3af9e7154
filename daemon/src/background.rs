//! Detaching from the terminal, with an honest exit status.
//!
//! `fork` carries over only the thread that calls it, so this must happen before the runtime, sled
//! and the mount exist. The process that was started waits on a pipe: the detached one writes
//! `ready`, or the error that kept it from getting there. A pipe that closes without a word means
//! that the detached process died.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write, pipe};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::app::private_folder;

/// Told once by the detached process how the start went.
#[derive(Debug)]
pub struct Starter(Option<std::io::PipeWriter>);

const READY: &[u8] = b"ready\n";

impl Starter {
    /// Of a process that stays in the foreground: nobody waits.
    pub fn foreground() -> Self {
        Self(None)
    }

    /// Everything runs: the process that was started may exit with 0.
    pub fn ready(&mut self) {
        if let Some(mut pipe) = self.0.take() {
            // Nobody waits any more when this fails, which is not our trouble.
            let _ = pipe.write_all(READY);
        }
    }

    /// The start failed for this reason.
    pub fn failed(&mut self, error: &anyhow::Error) {
        if let Some(mut pipe) = self.0.take() {
            let _ = write!(pipe, "{error:#}");
        }
    }
}

/// Where the caller of [`detach`] finds itself.
#[derive(Debug)]
pub enum Side {
    /// In the detached process: go on, and tell the starter.
    Detached(Starter),
    /// In the process that was started: exit with this.
    Parent(ExitCode),
}

/// Forks into the background. Standard output and error of the detached process go to `log`.
pub fn detach(log: &Path) -> Result<Side> {
    let (mut reader, writer) = pipe().context("cannot make a pipe to wait on")?;
    if let Some(dir) = log.parent() {
        private_folder(dir)?;
    }
    let out = open_log(log)?;
    let err = out.try_clone()?;
    let daemon = daemonize::Daemonize::new()
        .working_directory("/")
        .stdout(out)
        .stderr(err);
    match daemon.execute() {
        daemonize::Outcome::Child(result) => {
            drop(reader);
            result.context("cannot detach from the terminal")?;
            Ok(Side::Detached(Starter(Some(writer))))
        }
        daemonize::Outcome::Parent(result) => {
            drop(writer);
            result.context("cannot fork into the background")?;
            let mut said = Vec::new();
            reader
                .read_to_end(&mut said)
                .context("cannot hear from the background process")?;
            Ok(Side::Parent(report(&said, log)))
        }
    }
}

/// It names accounts and items, so that only its owner may read it.
fn open_log(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))
}

fn report(said: &[u8], log: &Path) -> ExitCode {
    if said == READY {
        return ExitCode::SUCCESS;
    }
    if said.is_empty() {
        eprintln!(
            "tenantfs: the background process died at its start; see {}",
            log.display()
        );
    } else {
        eprintln!("tenantfs: {}", String::from_utf8_lossy(said));
    }
    ExitCode::from(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn log_and_folder_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("lib/tenantfs");
        private_folder(&state).unwrap();
        private_folder(&state).unwrap();
        let log = state.join("tenantfs.log");
        open_log(&log).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&log)), (0o700, 0o600));
    }
}

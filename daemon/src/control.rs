//! The control socket: how other commands talk to the running daemon.
//!
//! A Unix socket in the state directory that only its owner can open. One request a connection:
//! a line of JSON there, a line of JSON back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::cycle::Asked;

/// The longest request that is read, in bytes.
const MAX_REQUEST: u64 = 64 << 10;

/// What can be asked of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What are you doing?
    Status,
    /// Run a cycle now, and answer when it is done.
    Backup { asked: Asked },
    /// Read the configuration again.
    Reload,
    /// Finish and exit.
    Stop,
}

/// A request with the place for its answer.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes; it may be gone.
    pub answer: oneshot::Sender<serde_json::Value>,
}

/// Where the socket of a state directory is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Asks the daemon of `state_dir`. `None` when there is none.
pub fn ask(state_dir: &Path, request: &Request) -> Result<Option<serde_json::Value>> {
    let path = socket_path(state_dir);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(e) if is_nobody_there(&e) => return Ok(None),
        Err(e) => {
            return Err(e)
                .with_context(|| format!("cannot talk to the daemon at {}", path.display()));
        }
    };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .context("the daemon went away")?;
    if answer.is_empty() {
        bail!("the daemon went away before it answered; its log says why");
    }
    Ok(Some(
        serde_json::from_str(&answer).context("the daemon's answer makes no sense")?,
    ))
}

fn is_nobody_there(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused)
}

/// Listens in `state_dir`, and hands each request to `calls`. Ends when the receiver is gone.
pub fn listen(state_dir: &Path, calls: mpsc::Sender<Call>) -> Result<()> {
    let path = socket_path(state_dir);
    if UnixStream::connect(&path).is_ok() {
        bail!(
            "a daemon with this state directory is running already ({})",
            path.display()
        );
    }
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove the old {}", path.display()));
        }
        _ => {}
    }
    // Nobody else may reach it even for a moment.
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(&path);
    rustix::process::umask(before);
    let listener =
        listener.with_context(|| format!("cannot make the control socket {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, calls.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

async fn serve(stream: tokio::net::UnixStream, calls: mpsc::Sender<Call>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_REQUEST));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (answer, result) = oneshot::channel();
            match calls.send(Call { request, answer }).await {
                Ok(()) => result
                    .await
                    .unwrap_or_else(|_| error("the daemon is stopping")),
                Err(_) => error("the daemon is stopping"),
            }
        }
        Err(e) => error(&format!("not a request: {e}")),
    };
    let mut text = reply.to_string();
    text.push('\n');
    // The one who asked may have left.
    let _ = writer.write_all(text.as_bytes()).await;
}

/// An answer that says what went wrong.
pub fn error(reason: &str) -> serde_json::Value {
    serde_json::json!({ "error": reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path(), &Request::Status).unwrap().is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_is_answered_and_a_second_daemon_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut receiver) = mpsc::channel(1);
        listen(dir.path(), sender.clone()).unwrap();
        tokio::spawn(async move {
            while let Some(call) = receiver.recv().await {
                let _ = call
                    .answer
                    .send(serde_json::json!({ "asked": call.request }));
            }
        });
        let path = dir.path().to_owned();
        let answer = tokio::task::spawn_blocking(move || ask(&path, &Request::Status));
        let answer = answer.await.unwrap().unwrap().unwrap();
        assert_eq!(answer["asked"]["ask"], "status");
        assert!(listen(dir.path(), sender).is_err());
        let mode = std::fs::metadata(socket_path(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

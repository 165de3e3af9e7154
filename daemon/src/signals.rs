//! SIGTERM, SIGINT and SIGHUP.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one ends the process at
/// once, for the person who does not want to wait.
pub fn stop_token() -> Result<CancellationToken> {
    let mut term = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        either(&mut term, &mut interrupt).await;
        eprintln!("tenantfs: finishing what is in hand; once more to stop at once");
        told.cancel();
        either(&mut term, &mut interrupt).await;
        std::process::exit(130);
    });
    Ok(token)
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

/// SIGHUP: read the configuration again.
pub fn hangup() -> Result<Signal> {
    listen(SignalKind::hangup())
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot listen for signals")
}

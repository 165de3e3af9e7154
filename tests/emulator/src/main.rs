//! The emulator as a program: one JSON line on stdout when it listens, then it serves until it is killed.

use clap::Parser as _;
use graph_emulator::{Emulator, Options};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let options = Options::parse();
    let running = Emulator::start(options)?;
    println!(
        "{}",
        serde_json::json!({
            "url": running.url, "tenant": running.tenant,
            "client_id": running.client_id, "client_secret": running.client_secret,
        })
    );
    running.wait();
    Ok(())
}

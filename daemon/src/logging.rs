//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` wins; else warnings, and what a long-running command does.
pub fn start(verbose: u8, long_running: bool) {
    let level = match (verbose, long_running) {
        (0, false) => "warn",
        (0, true) => "warn,tenantfs=info,tenantfs_mount=info",
        (1, _) => "info,tenantfs=debug,tenantfs_mount=debug",
        _ => "debug,tenantfs=trace,tenantfs_mount=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

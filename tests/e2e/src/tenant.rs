//! A tenant and a tenantfs that protects it: an emulator, a configuration, a repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use graph_emulator::Options;
use serde_json::Value;

use crate::graph::Graph;
use crate::{Recorded, corpus, program};

/// A repository in a directory.
const DIRECTORY: &str = "location = \"repository\"\n";

/// An emulated tenant with a configured, initialised tenantfs.
pub struct Tenant {
    pub emulator: Recorded,
    pub dir: tempfile::TempDir,
    /// The authority to trust, where the emulator speaks TLS.
    ca: Option<PathBuf>,
    /// Both identities prove themselves by a certificate.
    certificate: bool,
    /// Lines of `[repository]` that say where it is.
    repository: String,
    /// Talks to the tenant as an application would.
    pub graph: Graph,
}

impl Tenant {
    /// Starts an emulator with `options`, writes a configuration, and runs `init`.
    pub fn start(options: Options) -> Result<Self> {
        Self::with_config(options, "")
    }

    /// The same with `extra` at the end of the configuration.
    pub fn with_config(options: Options, extra: &str) -> Result<Self> {
        Self::of(Recorded::start(options)?, None, extra)
    }

    /// The same with a certificate instead of a secret: what SharePoint's own interface takes.
    pub fn with_certificate(mut options: Options, extra: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let subject = ["-subj", "/CN=tenantfs", "-days", "730", "-nodes"];
        let output = Command::new("openssl")
            .current_dir(dir.path())
            .args(["req", "-x509", "-newkey", "rsa:2048"])
            .args(subject)
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .output()
            .context("cannot run openssl")?;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        options.client_certificate.push(dir.path().join("cert.pem"));
        let emulator = Recorded::start(options)?;
        let graph = Graph::sign_in(&emulator, None)?;
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name));
        program::write_private(
            &dir.path().join("identity.pem"),
            &(read("cert.pem")? + &read("key.pem")?),
        )?;
        let tenant = Self {
            emulator,
            dir,
            ca: None,
            certificate: true,
            repository: DIRECTORY.to_owned(),
            graph,
        };
        tenant.init(extra)?;
        Ok(tenant)
    }

    /// A tenantfs for the tenant of this emulator, whose TLS is of the authority `ca`.
    pub fn of(emulator: Recorded, ca: Option<PathBuf>, extra: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let graph = Graph::sign_in(&emulator, ca.as_deref())?;
        let tenant = Self {
            emulator,
            dir,
            ca,
            certificate: false,
            repository: DIRECTORY.to_owned(),
            graph,
        };
        tenant.init(extra)?;
        Ok(tenant)
    }

    /// The same with its repository in an object store: `repository` gives its lines of
    /// `[repository]`, and may put files into the tenant's own folder.
    pub fn in_store(
        options: Options,
        repository: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Self> {
        let emulator = Recorded::start(options)?;
        let dir = tempfile::tempdir()?;
        let tenant = Self {
            graph: Graph::sign_in(&emulator, None)?,
            emulator,
            repository: repository(dir.path())?,
            dir,
            ca: None,
            certificate: false,
        };
        tenant.init("")?;
        Ok(tenant)
    }

    fn init(&self, extra: &str) -> Result<()> {
        self.write_config(extra)?;
        let init = self.run(&["init"])?;
        ensure!(init.status.success(), "init failed: {}", text(&init.stderr));
        Ok(())
    }

    /// Writes the configuration anew, with `extra` at its end.
    pub fn write_config(&self, extra: &str) -> Result<()> {
        let e = &self.emulator;
        program::write_private(&self.path("secret"), &e.client_secret)?;
        program::write_private(&self.path("password"), "correct horse battery staple")?;
        let proof = match self.certificate {
            true => "certificate_file = \"identity.pem\"",
            false => "client_secret_file = \"secret\"",
        };
        let identity = format!("client_id = \"{}\"\n{proof}\n", e.client_id);
        let ca = self
            .ca
            .iter()
            .map(|ca| format!("ca_file = \"{}\"\n", ca.display()))
            .collect::<String>();
        std::fs::write(
            self.config(),
            format!(
                "state_dir = \"state\"\n[tenant]\nid = \"{}\"\n{ca}endpoints = {{ login = \"{url}\", graph = \
                 \"{url}\", sharepoint = \"{url}\" }}\n[tenant.backup]\n{identity}[tenant.restore]\n{identity}[repository]\n\
                 {repository}password_file = \"password\"\n{extra}",
                e.tenant,
                url = e.url,
                repository = self.repository,
            ),
        )?;
        Ok(())
    }

    /// Lines of `[repository]` that say where it is.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A path in the tenant's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("tenantfs.toml")
    }

    /// `tenantfs --config ... ARGS`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program::tenantfs());
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// Runs `tenantfs ARGS` to its end.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args)
            .stdin(Stdio::null())
            .output()
            .context("cannot run tenantfs")
    }

    /// Runs `tenantfs --json ARGS`, which must succeed (or end with `3`, some items failed).
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        json(self.command(args))
    }

    /// One cycle; its summary.
    pub fn backup(&self) -> Result<Value> {
        self.json(&["backup"])
    }

    /// Every byte of the repository is what it must be.
    pub fn verify(&self) -> Result<()> {
        let verified = self.run(&["verify", "--read-data"])?;
        ensure!(
            verified.status.success(),
            "{}{}",
            text(&verified.stdout),
            text(&verified.stderr)
        );
        Ok(())
    }

    /// Fails if Exchange would have sent anything to anyone.
    pub fn nothing_was_sent(&self) -> Result<()> {
        let sent = self.graph.sent()?;
        ensure!(sent.is_empty(), "a restore sent mail: {sent:?}");
        Ok(())
    }

    /// Mounts at `mnt` in the tenant's folder.
    pub fn mount(&self) -> Result<Mounted> {
        Mounted::start(self.command(&["mount"]), &self.path("mnt"))
    }
}

/// Another configuration for the same tenant: another machine, or another repository.
pub struct Beside<'a> {
    pub tenant: &'a Tenant,
    pub file: PathBuf,
}

impl Tenant {
    /// This one's configuration as `NAME.toml` with a state folder of its own, `state-NAME`, and changed.
    pub fn beside(&self, name: &str, change: impl FnOnce(String) -> String) -> Result<Beside<'_>> {
        let config = std::fs::read_to_string(self.config())?;
        let own = format!("state_dir = \"state-{name}\"");
        let config = config.replace("state_dir = \"state\"", &own);
        ensure!(config.contains(&own), "it has no state folder of its own");
        let file = self.path(&format!("{name}.toml"));
        std::fs::write(&file, change(config))?;
        Ok(Beside { tenant: self, file })
    }
}

impl Beside<'_> {
    /// `tenantfs --config ... ARGS`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program::tenantfs());
        command.arg("--config").arg(&self.file).args(args);
        command
    }

    /// Runs `tenantfs --json ARGS`, which must succeed (or end with `3`, some items failed).
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        json(self.command(args))
    }
}

/// Runs a command with `--json`; its report.
fn json(mut command: Command) -> Result<Value> {
    let output = command.arg("--json").stdin(Stdio::null()).output()?;
    ensure!(
        matches!(output.status.code(), Some(0 | 3)),
        "{command:?} failed: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("that is no JSON")
}

/// What a program printed, for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `tenantfs` process with a mount; unmounted when dropped.
pub struct Mounted {
    pub dir: PathBuf,
    pub process: Child,
}

impl Mounted {
    /// Starts `command DIR`, and waits until it is mounted.
    pub fn start(mut command: Command, dir: &Path) -> Result<Self> {
        let process = command.arg(dir).stdin(Stdio::null()).spawn()?;
        let mut mounted = Self {
            dir: dir.to_owned(),
            process,
        };
        mounted.wait()?;
        Ok(mounted)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let snapshots = self.dir.join("snapshots");
            // In this order: a dead mount is in the table until it is taken away, and then the bare folder
            // answers.
            if answers(&snapshots) && is_mounted(&snapshots) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("tenantfs ended before it was mounted: {status}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("nothing was mounted at {}", self.dir.display())
    }

    /// A path below the mount.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// All that it shows of a snapshot: files, records, versions, the report.
    pub fn everything(&self, snapshot: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let root = self.path("snapshots").join(snapshot);
        let mut all = BTreeMap::new();
        for below in ["", ".tenantfs/graph", ".tenantfs/versions"] {
            let root = root.join(below);
            for file in corpus::files(&root) {
                let name = Path::new(below).join(file.strip_prefix(&root)?);
                all.insert(name.to_string_lossy().into_owned(), std::fs::read(&file)?);
            }
        }
        Ok(all)
    }

    /// Kills the process, and leaves the dead mountpoint.
    pub fn kill(mut self) -> Result<PathBuf> {
        self.process.kill()?;
        self.process.wait()?;
        let dir = self.dir.clone();
        std::mem::forget(self);
        Ok(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        program::terminate(&mut self.process);
        // In case it did not get to it.
        for dir in [self.dir.join("snapshots"), self.dir.clone()] {
            let _ = rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

/// Whether somebody serves this mount. One that a killed process left is still in the table and
/// answers from the kernel's cache; a name that nobody asked for before tells.
pub fn answers(dir: &Path) -> bool {
    use std::time::UNIX_EPOCH;
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    let name = format!("is-it-there-{}", now.map_or(0, |now| now.as_nanos()));
    std::fs::metadata(dir.join(name)).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

fn is_mounted(dir: &Path) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return false;
    };
    let dir = dir.to_string_lossy();
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&*dir))
}

//! Garage, a real object store: one node, or a cluster of three that each hold everything.
//!
//! It is a program of its own, which `packaging/test.sh` builds. Everything of a cluster is in a
//! temporary folder and on free ports, and gone when it is dropped.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use object_store::aws::AmazonS3Builder;

use crate::stored::Stored;
use crate::tenant::text;

/// Access key of every cluster.
pub const ACCESS_KEY_ID: &str = "GK0123456789abcdef01234567";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Region that requests are signed for.
pub const REGION: &str = "garage";
/// The bucket there is.
pub const BUCKET: &str = "tenantfs";

/// Longest time that a node takes to come up, or the cluster to agree, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, where it is to be had.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("garage"))
        .find(|program| program.is_file())
}

/// A running cluster.
pub struct Garage {
    program: PathBuf,
    dir: tempfile::TempDir,
    nodes: Vec<Node>,
    /// What they call each other, with where they are.
    ids: Vec<String>,
}

struct Node {
    s3: SocketAddr,
    rpc: SocketAddr,
    process: Option<Child>,
}

impl Garage {
    /// Starts a cluster of `count` nodes, with a bucket and a key. `None`, with a word about it, where
    /// Garage is not installed.
    pub fn start(count: usize) -> Result<Option<Self>> {
        let Some(program) = program() else {
            fixtures::skip("Garage is not here; packaging/test.sh installs it");
            return Ok(None);
        };
        let ports = free_ports(2 * count)?;
        let nodes = ports.chunks(2).map(|pair| Node {
            s3: pair[0],
            rpc: pair[1],
            process: None,
        });
        let mut garage = Self {
            program,
            dir: tempfile::tempdir()?,
            nodes: nodes.collect(),
            ids: Vec::new(),
        };
        for node in 0..count {
            garage.write_config(node, count)?;
            garage.restart(node)?;
        }
        garage.form_cluster()?;
        Ok(Some(garage))
    }

    /// Where a node answers S3 requests.
    pub fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].s3
    }

    /// Kills a node at once, as a power cut does.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts a node again with what it had, and waits until it answers.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file(node, "log"))?;
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(self.file(node, "toml"))
            .arg("server")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.nodes[node].process = Some(process);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if TcpStream::connect(self.nodes[node].s3).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("node {node} of Garage does not come up: {}", self.log(node))
    }

    /// Makes all nodes see each other, sooner than they would by themselves: a cluster of three stands the
    /// loss of one at a time.
    pub fn reunite(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for node in 0..self.nodes.len() {
            while !self.sees_all(node) {
                ensure!(
                    Instant::now() < deadline,
                    "node {node} of Garage does not find the others: {}",
                    self.log(node)
                );
                for other in &self.ids {
                    // That it is not there yet is found out above.
                    let _ = self.admin(node, &["node", "connect", other]);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Ok(())
    }

    fn sees_all(&self, node: usize) -> bool {
        self.admin(node, &["status"]).is_ok_and(|status| {
            status.contains("HEALTHY NODES") && !status.contains("FAILED NODES")
        })
    }

    fn form_cluster(&mut self) -> Result<()> {
        for node in 0..self.nodes.len() {
            let id = self.admin(node, &["node", "id", "-q"])?;
            self.ids.push(id.trim().to_owned());
        }
        let ids = &self.ids;
        for id in &ids[1..] {
            self.admin(0, &["node", "connect", id])?;
        }
        for id in ids {
            let id = id.split('@').next().unwrap_or(id);
            self.admin(0, &["layout", "assign", "-z", "dc1", "-c", "10GB", id])?;
        }
        self.admin(0, &["layout", "apply", "--version", "1"])?;
        let import = ["key", "import", "--yes", ACCESS_KEY_ID, SECRET_ACCESS_KEY];
        self.eventually(&import)?;
        self.eventually(&["bucket", "create", BUCKET])?;
        let allow = ["bucket", "allow", "--read", "--write", "--owner", BUCKET];
        self.eventually(&[&allow[..], &["--key", ACCESS_KEY_ID]].concat())
    }

    /// Tries until the new layout is known everywhere.
    fn eventually(&self, args: &[&str]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.admin(0, args) {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > deadline => return Err(e),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn admin(&self, node: usize, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("-c")
            .arg(self.file(node, "toml"))
            .args(args)
            .output()
            .context("cannot run garage")?;
        ensure!(
            output.status.success(),
            "garage {args:?} failed: {}",
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    fn write_config(&self, node: usize, replicas: usize) -> Result<()> {
        let dir = self.dir.path().display();
        let Node { s3, rpc, .. } = &self.nodes[node];
        let config = format!(
            "metadata_dir = \"{dir}/meta{node}\"\ndata_dir = \"{dir}/data{node}\"\n\
             db_engine = \"sqlite\"\nreplication_factor = {replicas}\n\
             rpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{:064}\"\n\
             [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{s3}\"\nroot_domain = \".s3.local\"\n",
            0
        );
        Ok(std::fs::write(self.file(node, "toml"), config)?)
    }

    fn file(&self, node: usize, kind: &str) -> PathBuf {
        self.dir.path().join(format!("node{node}.{kind}"))
    }

    fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.file(node, "log")).unwrap_or_default()
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            // Nothing of it is needed any more.
            let _ = self.kill(node);
        }
    }
}

/// Lines of `[repository]` for a repository in the bucket below `prefix`, reached at `address`. Writes the
/// key's secret into `dir`.
pub fn repository(dir: &Path, address: SocketAddr, prefix: &str) -> Result<String> {
    let file = dir.join("s3.secret");
    crate::program::write_private(&file, SECRET_ACCESS_KEY)?;
    Ok(format!(
        "location = \"s3://{BUCKET}/{prefix}\"\nendpoint = \"http://{address}\"\n\
         region = \"{REGION}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
         secret_access_key_file = \"{}\"\n",
        file.display()
    ))
}

/// The files of that repository, past any proxy.
pub fn stored(address: SocketAddr, prefix: &str) -> Result<Stored> {
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("http://{address}"))
        .with_allow_http(true)
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY_ID)
        .with_secret_access_key(SECRET_ACCESS_KEY)
        .build()?;
    Ok(Stored::Bucket {
        store: Arc::new(store),
        prefix: prefix.to_owned(),
        runtime: tokio::runtime::Runtime::new()?,
    })
}

/// Ports that nobody listens on now.
pub(crate) fn free_ports(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

//! A repository in Azure Blob Storage, as Azurite emulates it.
//!
//! Azurite comes from npm, which is not everywhere: `npm install azurite` somewhere, its
//! `node_modules/.bin` into the PATH, and `cargo test --workspace --test end_to_end azure:: -- --ignored`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::clients::succeed;
use e2e::{Tenant, program, text};
use graph_emulator::Options;

/// The account that every Azurite has, with its public key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container: what the storage's own tools do beforehand.
const MAKE_CONTAINER: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
port, account, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
path = f"/{account}/tenantfs"
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}{path}\nrestype:container"
mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers = {"x-ms-date": date, "x-ms-version": "2021-08-06",
           "Authorization": f"SharedKey {account}:{base64.b64encode(mac).decode()}"}
url = f"http://127.0.0.1:{port}{path}?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers))
"#;

struct Azurite {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Azurite {
    fn start() -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let dir = tempfile::tempdir()?;
        let mut process = Command::new("azurite-blob")
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
            .args(["--blobPort", &port.to_string(), "-l"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run azurite-blob")?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline || process.try_wait()?.is_some() {
                bail!("Azurite does not come up");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            process,
            port,
            _dir: dir,
        })
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        program::terminate(&mut self.process);
    }
}

#[test]
#[ignore = "needs Azurite on the PATH"]
fn a_repository_in_a_container() -> Result<()> {
    let azurite = Azurite::start()?;
    let port = azurite.port.to_string();
    succeed(Command::new("python3").args(["-c", MAKE_CONTAINER, &port, ACCOUNT, KEY]));
    let options = Options {
        accounts: 1,
        messages: 20,
        files: 5,
        ..Options::default()
    };
    let tenant = Tenant::in_store(options, |dir| {
        program::write_private(&dir.join("azure.key"), KEY)?;
        Ok(format!(
            "location = \"azure://tenantfs/some/folder\"\n\
             endpoint = \"http://127.0.0.1:{port}/{ACCOUNT}\"\naccount = \"{ACCOUNT}\"\n\
             account_key_file = \"azure.key\"\n"
        ))
    })?;
    // More than one part of an upload.
    let upn = tenant.graph.mailboxes()?.remove(0);
    let large: Vec<u8> = (0..10_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let path = format!("/users/{upn}/drive/root:/large.bin:/content");
    tenant.graph.put(&path, large.clone())?;
    let snapshot = tenant.backup()?;
    let snapshot = snapshot["snapshot"].as_str().context("no snapshot")?;
    std::fs::remove_dir_all(tenant.path("state/index"))?;
    let mount = tenant.mount()?;
    let file = mount.path("snapshots").join(snapshot).join(&upn);
    ensure!(std::fs::read(file.join("OneDrive/large.bin"))? == large);
    drop(mount);
    let verified = tenant.run(&["verify", "--read-data"])?;
    ensure!(verified.status.success(), "{}", text(&verified.stdout));
    Ok(())
}

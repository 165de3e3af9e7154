//! Moto, an S3 store in memory that knows Object Lock, which Garage does not.
//!
//! `packaging/test.sh` installs it with the Graph clients. It refuses to delete a locked version. It does not
//! check signatures, lets locks be shortened, and ignores conditions of a PUT: what it accepts proves
//! nothing there. In a bucket with a default retention it wants a header that S3 does without, so that
//! is not tried here.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use reqwest::blocking::{Client, Response};

use crate::garage::{BUCKET, free_ports};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running store with one bucket, which goes with it.
pub struct Moto {
    address: SocketAddr,
    process: Child,
    http: Client,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Version {
    pub key: String,
    pub id: String,
    /// The one that is read by its name alone.
    pub is_latest: bool,
}

impl Moto {
    /// Starts it, with a bucket that has Object Lock. `None`, with a word about it, where it is not
    /// installed.
    pub fn start() -> Result<Option<Self>> {
        let address = free_ports(1)?[0];
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                fixtures::skip("moto_server is not here; packaging/test.sh installs it");
                return Ok(None);
            }
            Err(e) => return Err(e).context("cannot run moto_server"),
        };
        let moto = Self {
            address,
            process,
            http: Client::new(),
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < deadline, "moto_server does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        let request = moto.request(Method::PUT, "");
        let made = request
            .header("x-amz-bucket-object-lock-enabled", "true")
            .send()?;
        ensure!(made.status().is_success(), "no bucket: {}", made.status());
        Ok(Some(moto))
    }

    /// Where it answers S3 requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All versions of all objects, without delete markers.
    pub fn versions(&self) -> Result<Vec<Version>> {
        let mut versions = Vec::new();
        let mut from = String::new();
        loop {
            let listed = self
                .request(Method::GET, &format!("?versions{from}"))
                .send()?
                .text()?;
            for version in listed.split("<Version>").skip(1) {
                let field = |name: &str| {
                    let (_, rest) = version.split_once(&format!("<{name}>"))?;
                    Some(rest.split_once('<')?.0.to_owned())
                };
                versions.push(Version {
                    key: field("Key").context("a version without a key")?,
                    id: field("VersionId").context("a version without an id")?,
                    is_latest: field("IsLatest").as_deref() == Some("true"),
                });
            }
            if !listed.contains("<IsTruncated>true<") {
                return Ok(versions);
            }
            let Some(last) = versions.last() else {
                bail!("a listing without an end");
            };
            from = format!("&key-marker={}&version-id-marker={}", last.key, last.id);
        }
    }

    /// What the store tells of a version besides its content.
    pub fn head(&self, version: &Version) -> Result<Response> {
        let Version { key, id, .. } = version;
        let request = self.request(Method::HEAD, &format!("/{key}?versionId={id}"));
        Ok(request.send()?.error_for_status()?)
    }

    /// Deletes a version for good; the status.
    pub fn delete(&self, version: &Version) -> Result<u16> {
        let Version { key, id, .. } = version;
        let request = self.request(Method::DELETE, &format!("/{key}?versionId={id}"));
        Ok(request.send()?.status().as_u16())
    }

    fn request(&self, method: Method, what: &str) -> reqwest::blocking::RequestBuilder {
        let url = format!("http://{}/{BUCKET}{what}", self.address);
        // Whoever shows any signature is the bucket's owner.
        let signature = "AWS4-HMAC-SHA256 Credential=owner/20261126/us-east-1/s3/aws4_request, \
                         SignedHeaders=host, Signature=any";
        let request = self.http.request(method, url);
        request.header("authorization", signature)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Pre-authenticated URLs: whoever has one may download (or upload) without an access token, until it
//! expires.
//!
//! As the service's do, a download URL carries its expiry in `tempauth`, `v1.<payload>.<enc>.<sig>`, where
//! the payload is base64url of JSON with `exp`. A URL that is changed or encoded again does not verify.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::item::{Index, guid_text};
use super::store::Drive;

/// How long a download URL lives, in seconds.
pub const LIFETIME: i64 = 3600;

/// What a download URL is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Seconds since 1970, as text: the way the service writes it.
    exp: String,
    pub drive: String,
    pub item: String,
    /// Number of an older version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Makes and checks download URLs.
#[derive(Clone, Debug)]
pub struct Signer {
    secret: [u8; 32],
}

impl Signer {
    pub fn new(seed: u64) -> Signer {
        let mut hash = Sha256::new();
        hash.update(b"pre-authenticated urls");
        hash.update(seed.to_le_bytes());
        Signer {
            secret: hash.finalize().into(),
        }
    }

    /// A URL below `host` for the content of a file, valid until `expires`.
    pub fn download_url(
        &self,
        host: &str,
        drive: &Drive,
        index: Index,
        version: Option<u32>,
        expires: i64,
    ) -> String {
        let item = guid_text(drive.item(index).guid);
        let ticket = Ticket {
            exp: expires.to_string(),
            drive: drive.id.clone(),
            item: item.clone(),
            version,
        };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&ticket).unwrap_or_default());
        let signature = self.signature(&payload);
        format!(
            "{host}/_download/{item}?UniqueId={}&Translate=false&tempauth=v1.{payload}.{}.{}&ApiVersion=2.0",
            item.to_ascii_lowercase(),
            &signature[..8],
            &signature[8..],
        )
    }

    /// The ticket in `tempauth`; `None` when it is forged, broken or has expired.
    pub fn open(&self, tempauth: &str, now: i64) -> Option<Ticket> {
        let mut parts = tempauth.splitn(4, '.');
        let (version, payload) = (parts.next()?, parts.next()?);
        let signature = format!("{}{}", parts.next()?, parts.next()?);
        if version != "v1" || signature != self.signature(payload) {
            return None;
        }
        let ticket: Ticket = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (ticket.exp.parse::<i64>().ok()? > now).then_some(ticket)
    }

    /// An unguessable name for an upload session or a copy.
    pub fn handle(&self, kind: &str, number: u64) -> String {
        self.signature(&format!("{kind}/{number}"))
    }

    fn signature(&self, of: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(of.as_bytes());
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..24])
    }
}

/// Where pre-authenticated URLs of a drive lead: to the person's SharePoint host when Graph was asked under
/// its real name, else to the emulator under the name it was asked by.
pub fn host(base_url: &str, drive: &Drive) -> String {
    let graph = [
        "//graph.microsoft.com",
        "//graph.microsoft.us",
        "//dod-graph.microsoft.us",
        "//microsoftgraph.chinacloudapi.cn",
    ];
    if graph.iter().any(|host| base_url.contains(host)) {
        format!("https://{}", drive.home.host)
    } else {
        base_url.to_owned()
    }
}

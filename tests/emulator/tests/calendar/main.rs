//! Calendars as a client meets them: over HTTP, against the checklist of what Exchange does.
//!
//! Every exchange is logged and held against Microsoft's schema at the end of each test, where the
//! checker is to be found.

mod calendars;
mod delta;
mod events;
mod imports;
mod meetings;
mod recurrence;

use std::path::{Path, PathBuf};
use std::process::Command;

use graph_emulator::{Emulator, Options, Quirk, Running, STATIC_TOKEN};
use reqwest::{Client, Method};
use serde_json::{Value, json};

pub const ALICE: &str = "/v1.0/users/alice@contoso.com";
pub const BOB: &str = "/v1.0/users/bob@contoso.com";
pub const IMMUTABLE: (&str, &str) = ("Prefer", "IdType=\"ImmutableId\"");

/// An emulator with two accounts, and a client for it.
pub struct Graph {
    pub running: Running,
    pub http: Client,
    pub token: String,
    log: tempfile::NamedTempFile,
}

impl Graph {
    /// Empty calendars.
    #[allow(clippy::new_without_default)] // Starting a server is nothing to do by default.
    pub fn new() -> Graph {
        Graph::with(|_| {})
    }

    pub fn quirk(quirk: Quirk) -> Graph {
        Graph::with(|o| o.quirk = vec![quirk])
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Graph {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut options = Options {
            messages: 0,
            files: 0,
            accounts: 2,
            log: Some(log.path().to_owned()),
            ..Options::default()
        };
        change(&mut options);
        Graph {
            running: Emulator::start(options).unwrap(),
            http: Client::builder().no_proxy().build().unwrap(),
            token: STATIC_TOKEN.to_owned(),
            log,
        }
    }

    /// Status, headers and JSON of an answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, reqwest::header::HeaderMap, Value) {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.running.url),
        };
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (
            status,
            headers,
            response.json().await.unwrap_or(Value::Null),
        )
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.send(Method::GET, path, &[], None).await;
        (status, body)
    }

    pub async fn ok(&self, path: &str) -> Value {
        self.ok_with(path, &[]).await
    }

    pub async fn ok_with(&self, path: &str, headers: &[(&str, &str)]) -> Value {
        let (status, _, body) = self.send(Method::GET, path, headers, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.send(Method::POST, path, &[], Some(body)).await;
        (status, body)
    }

    pub async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = self.send(Method::PATCH, path, &[], Some(body)).await;
        (status, body)
    }

    pub async fn delete(&self, path: &str) -> u16 {
        self.send(Method::DELETE, path, &[], None).await.0
    }

    /// An event of the first user, made of `body`; the answer.
    pub async fn event(&self, body: Value) -> Value {
        let (status, made) = self.post(&format!("{ALICE}/events"), body).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    /// All pages of a list; for delta also the link on.
    pub async fn all(&self, path: &str, headers: &[(&str, &str)]) -> (Vec<Value>, String) {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.ok_with(&next, headers).await;
            items.extend(page["value"].as_array().unwrap().iter().cloned());
            match page["@odata.nextLink"].as_str() {
                Some(link) => next = link.to_owned(),
                None => {
                    let link = page["@odata.deltaLink"].as_str().unwrap_or_default();
                    return (items, link.to_owned());
                }
            }
        }
    }

    /// The emulator's own routes: no version, no token needed.
    pub async fn control(&self, method: Method, what: &str) -> Value {
        self.send(method, &format!("/_emulator/{what}"), &[], Some(json!({})))
            .await
            .2
    }

    /// Kinds and recipients of what would have been sent so far.
    pub async fn outbox(&self) -> Vec<(String, Vec<String>)> {
        let all = self.control(Method::GET, "outbox").await;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        all["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| {
                (
                    text(&m["kind"]),
                    m["to"].as_array().unwrap().iter().map(text).collect(),
                )
            })
            .collect()
    }

    /// Holds all that was said against the schema.
    pub fn finish(self) {
        self.running.stop();
        let Some(checker) = checker() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "the schema checker is not here"
            );
            eprintln!("skipped: the schema checker is not here");
            return;
        };
        let output = Command::new("python3")
            .arg(checker)
            .arg("--exchange")
            .arg(self.log.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// `tools/graph_schema_check.py`, beside the corpus that `TENANTFS_CORPUS` names or below `shared`.
fn checker() -> Option<PathBuf> {
    let tool = |base: &Path| Some(base.join("tools/graph_schema_check.py")).filter(|p| p.exists());
    if let Some(corpus) = std::env::var_os("TENANTFS_CORPUS")
        && let Some(found) = Path::new(&corpus).parent().and_then(tool)
    {
        return Some(found);
    }
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find_map(|up| tool(&up.join("shared")))
}

/// A `dateTimeTimeZone`.
pub fn at(time: &str, zone: &str) -> Value {
    json!({"dateTime": time, "timeZone": zone})
}

pub fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

/// Starts of events, without the decimals.
pub fn starts(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|e| e["start"]["dateTime"].as_str().unwrap()[..16].to_owned())
        .collect()
}

//! An emulator of its own for each test, and a client without any cleverness.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use graph_emulator::{Emulator, Options, Running};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

pub const IMMUTABLE: (&str, &str) = ("Prefer", "IdType=\"ImmutableId\"");
pub const ALICE: &str = "/v1.0/users/alice@contoso.com";
pub const BOB: &str = "/v1.0/users/bob@contoso.com";

pub struct Graph {
    pub emulator: Running,
    http: Client,
    token: String,
    log: tempfile::NamedTempFile,
}

impl Graph {
    pub async fn start(arguments: &[&str]) -> Graph {
        let log = tempfile::NamedTempFile::new().unwrap();
        let log_path = log.path().to_str().unwrap().to_owned();
        let usual = ["graph-emulator", "--files", "0", "--log", &log_path];
        let options = Options::parse_from(usual.iter().chain(arguments));
        let emulator = Emulator::start(options).unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let mut graph = Graph {
            emulator,
            http,
            token: String::new(),
            log,
        };
        let (id, secret) = (
            graph.emulator.client_id.clone(),
            graph.emulator.client_secret.clone(),
        );
        graph.token = graph.sign_in(&id, &secret).await;
        graph
    }

    async fn sign_in(&self, id: &str, secret: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = self.url(&format!("/{}/oauth2/v2.0/token", self.emulator.tenant));
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Goes on as another application.
    pub async fn become_app(&mut self, id: &str, secret: &str) {
        self.token = self.sign_in(id, secret).await;
    }

    fn url(&self, path: &str) -> String {
        match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.emulator.url),
        }
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        let mut request = self
            .http
            .request(method, self.url(path))
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    /// Status and JSON.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        answer(self.send(method, path, &[], body).await).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    pub async fn ok(&self, path: &str) -> Value {
        self.ok_with(path, &[]).await
    }

    pub async fn ok_with(&self, path: &str, headers: &[(&str, &str)]) -> Value {
        let (status, body) = answer(self.send(Method::GET, path, headers, None).await).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> u16 {
        self.call(Method::DELETE, path, None).await.0
    }

    pub async fn control(&self, what: &str, body: Value) {
        let url = self.url(&format!("/_emulator/{what}"));
        let response = self.http.post(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
    }

    pub async fn outbox(&self) -> Value {
        let url = self.url("/_emulator/outbox");
        let answer: Value = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["value"].clone()
    }

    /// All pages of a list; for delta also the link on.
    pub async fn all(&self, path: &str) -> (Vec<Value>, Option<String>) {
        self.all_with(path, &[]).await
    }

    pub async fn all_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Vec<Value>, Option<String>) {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page = self.ok_with(&next, headers).await;
            items.extend(page["value"].as_array().unwrap().iter().cloned());
            match page["@odata.nextLink"].as_str() {
                Some(link) => next = link.to_owned(),
                None => return (items, page["@odata.deltaLink"].as_str().map(str::to_owned)),
            }
        }
    }

    /// The path of a user's primary mailbox.
    pub async fn primary(&self, user: &str) -> String {
        let settings = self
            .ok(&format!("/v1.0/users/{user}/settings/exchange"))
            .await;
        let id = settings["primaryMailboxId"].as_str().unwrap().to_owned();
        format!("/v1.0/admin/exchange/mailboxes/{id}")
    }

    /// The path of alice's archive.
    pub async fn archive(&self) -> String {
        let settings = self
            .ok("/beta/users/alice@contoso.com/settings/exchange")
            .await;
        let id = settings["inPlaceArchiveMailboxId"].as_str().unwrap();
        format!("/beta/admin/exchange/mailboxes/{id}")
    }

    /// The id of the folder with this name directly below another, or below the root.
    pub async fn folder(&self, mailbox: &str, parent: &str, name: &str) -> String {
        let path = format!("{mailbox}/folders/{parent}/childFolders?$top=100");
        let (all, _) = self.all(&path).await;
        let found = all.iter().find(|f| f["displayName"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {all:?}"))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What one item is exported as.
    pub async fn export(&self, mailbox: &str, id: &str) -> String {
        let (status, answer) = self
            .post(&format!("{mailbox}/exportItems"), json!({"itemIds": [id]}))
            .await;
        assert_eq!(status, 200, "{answer}");
        let data = answer["value"][0]["data"].as_str();
        data.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub async fn session(&self, mailbox: &str) -> String {
        let path = format!("{mailbox}/createImportSession");
        let (status, session) = self.call(Method::POST, &path, None).await;
        assert_eq!(status, 201, "{session}");
        session["importUrl"].as_str().unwrap().to_owned()
    }

    /// A request to an import URL: without a token.
    pub async fn import(&self, url: &str, body: Value) -> (u16, Value) {
        answer(self.http.post(url).json(&body).send().await.unwrap()).await
    }

    pub async fn import_raw(&self, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u16 {
        let mut request = self.http.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Imports a stream into a folder; the new item's id.
    pub async fn put(&self, mailbox: &str, folder: &str, data: &str) -> String {
        let url = self.session(mailbox).await;
        let body = json!({"FolderId": folder, "Mode": "create", "Data": data});
        let (status, made) = self.import(&url, body).await;
        assert_eq!(status, 200, "{made}");
        made["itemId"].as_str().unwrap().to_owned()
    }

    /// Holds all that was said against the schema.
    pub fn finish(self) {
        self.emulator.stop();
        let Some(checker) = checker() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "the schema checker is not here"
            );
            eprintln!("skipped: the schema checker is not here");
            return;
        };
        let log = std::fs::read_to_string(self.log.path()).unwrap();
        let (beta, v1): (Vec<&str>, Vec<&str>) = log
            .lines()
            .partition(|line| url_of(line).contains("/beta/"));
        if !v1.is_empty() {
            assert_eq!(check(&checker, &[], &v1), Vec::<String>::new());
        }
        if !beta.is_empty() {
            let mut reported = check(&checker, &["--beta"], &beta);
            // What beta has and v1.0 has not.
            reported.retain(|line| {
                ![
                    "inPlaceArchiveMailboxId",
                    "parentMailboxUrl",
                    "wellKnownName",
                ]
                .iter()
                .any(|name| line.contains(name))
            });
            assert_eq!(reported, Vec::<String>::new());
        }
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

fn url_of(line: &str) -> String {
    let exchange: Value = serde_json::from_str(line).unwrap();
    exchange["url"].as_str().unwrap_or_default().to_owned()
}

/// What the checker reports of these exchanges, but for its summary.
fn check(checker: &Path, arguments: &[&str], lines: &[&str]) -> Vec<String> {
    let mut log = tempfile::NamedTempFile::new().unwrap();
    writeln!(log, "{}", lines.join("\n")).unwrap();
    let output = Command::new("python3")
        .arg(checker)
        .args(arguments)
        .arg("--exchange")
        .arg(log.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() != Some(2), "{text}");
    if output.status.success() {
        return Vec::new();
    }
    text.lines()
        .filter(|line| {
            line.contains(" GET ")
                || line.contains(" POST ")
                || line.contains(" PATCH ")
                || line.contains(" DELETE ")
        })
        .map(str::to_owned)
        .collect()
}

/// `shared/tools/graph_schema_check.py`, beside the project or where `TENANTFS_CORPUS` is.
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

pub fn ids(items: &[Value]) -> Vec<String> {
    items
        .iter()
        .map(|i| i["id"].as_str().unwrap().to_owned())
        .collect()
}

//! An emulator and a client for it; every exchange is held against Microsoft's schema at the end.

use graph_emulator::{Emulator, Options, Quirk, Running, STATIC_TOKEN};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// An emulator with one or more drives, and a client for it.
pub struct Graph {
    pub running: Running,
    http: Client,
    log: tempfile::NamedTempFile,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| {
            panic!(
                "{}: {e}: {}",
                self.status,
                String::from_utf8_lossy(&self.bytes)
            )
        })
    }

    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|v| v.to_str().ok());
        value
            .unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers))
            .to_owned()
    }

    /// The error code, and the inner one.
    pub fn codes(&self) -> (String, String) {
        let error = self.json()["error"].clone();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (text(&error["code"]), text(&error["innerError"]["code"]))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self
    }
}

impl Graph {
    /// Accounts with empty drives.
    #[allow(clippy::new_without_default)] // Starting a server is nothing to do by default.
    pub fn new() -> Graph {
        Graph::with(|o| o.files = 0)
    }

    pub fn quirk(quirk: Quirk) -> Graph {
        Graph::with(|o| {
            o.files = 0;
            o.quirk = vec![quirk];
        })
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Graph {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut options = Options {
            messages: 0,
            accounts: 2,
            log: Some(log.path().to_owned()),
            ..Options::default()
        };
        change(&mut options);
        let running = Emulator::start(options).unwrap();
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Graph { running, http, log }
    }

    /// A request below `/v1.0` (or to a whole URL of the API), with a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/v1.0{path}", self.running.url)
        };
        self.http.request(method, url).bearer_auth(STATIC_TOKEN)
    }

    /// A request to a pre-authenticated URL: no token.
    pub fn raw(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            status,
            headers,
            bytes: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body))
            .await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> Answer {
        let request = self
            .request(Method::PUT, path)
            .header("content-type", "application/octet-stream");
        self.send(request.body(bytes.into())).await
    }

    /// The path of the first account's drive: `/drives/{id}`.
    pub async fn drive(&self) -> String {
        let drive = self
            .get("/users/alice@contoso.com/drive")
            .await
            .expect(200)
            .json();
        format!("/drives/{}", drive["id"].as_str().unwrap())
    }

    /// Makes a folder below `parent` (an item's path) and returns its id.
    pub async fn folder(&self, parent: &str, name: &str) -> String {
        let made = self
            .post(
                &format!("{parent}/children"),
                json!({"name": name, "folder": {}}),
            )
            .await
            .expect(201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// Writes a file by path and returns its id.
    pub async fn file(&self, drive: &str, path: &str, bytes: &[u8]) -> String {
        let answer = self
            .put(&format!("{drive}/root:/{path}:/content"), bytes)
            .await;
        assert!(
            matches!(answer.status, 200 | 201),
            "{}",
            String::from_utf8_lossy(&answer.bytes)
        );
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// What is written at a download URL or behind `content`.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let location = self.get(path).await.expect(302).header("location");
        self.send(self.raw(Method::GET, &location))
            .await
            .expect(200)
            .bytes
    }

    pub async fn control(&self, path: &str, body: Value) {
        let url = format!("{}/_emulator/{path}", self.running.url);
        let answer = self.send(self.raw(Method::POST, &url).json(&body)).await;
        assert!(answer.status < 300, "{}", answer.status);
    }

    /// Holds all that was said against the schema.
    pub fn finish(self) {
        self.running.stop();
        if let Some(exchanges) = fixtures::schema::check(self.log.path()) {
            assert!(exchanges.graph > 0, "nothing was said");
        }
    }
}

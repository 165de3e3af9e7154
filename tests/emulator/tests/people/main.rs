//! Contacts, tasks, settings and kinds of mailboxes as a client meets them: over HTTP, against the
//! checklist of the Exchange API.
//!
//! Every exchange is logged and held against Microsoft's schema at the end of each test, where the
//! checker is to be found. Requests that are wrong on purpose are made with [`Graph::wrong`] and left
//! out.

mod contacts;
mod delta;
mod import;
mod mailboxes;
mod settings;
mod todo;

use graph_emulator::{Emulator, Options, Quirk, Running, STATIC_TOKEN};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

pub const ALICE: &str = "/users/alice@contoso.com";
pub const IMMUTABLE: (&str, &str) = ("Prefer", "IdType=\"ImmutableId\"");
/// Marks, in the log, a request that is wrong on purpose.
const WRONG: (&str, &str) = ("x-test-request", "wrong");

/// An emulator, and a client for it.
pub struct Graph {
    pub running: Running,
    http: Client,
    token: String,
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
    /// One account without contacts.
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
            accounts: 1,
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
        let token = STATIC_TOKEN.to_owned();
        Graph {
            running,
            http,
            token,
            log,
        }
    }

    /// A request below `/v1.0` (or to a whole URL of the API), with a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/v1.0{path}", self.running.url)
        };
        self.http.request(method, url).bearer_auth(&self.token)
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

    /// A request that the schema does not have, without a body if that is null.
    pub async fn wrong(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.request(method, path).header(WRONG.0, WRONG.1);
        self.send(match body {
            Value::Null => request,
            body => request.json(&body),
        })
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

    pub async fn get_immutable(&self, path: &str) -> Answer {
        let request = self
            .request(Method::GET, path)
            .header(IMMUTABLE.0, IMMUTABLE.1);
        self.send(request).await
    }

    /// All pages of a list or a delta round: what is in them, and the deltaLink.
    pub async fn all(&self, path: &str) -> (Vec<Value>, Option<String>) {
        let (mut items, mut next) = (Vec::new(), path.to_owned());
        for _ in 0..10_000 {
            let page = self.get(&next).await.expect(200).json();
            items.extend(page["value"].as_array().unwrap().iter().cloned());
            match page["@odata.nextLink"].as_str() {
                Some(link) => next = link.to_owned(),
                None => return (items, page["@odata.deltaLink"].as_str().map(str::to_owned)),
            }
        }
        panic!("the list does not end");
    }

    /// Makes something and returns it.
    pub async fn make(&self, path: &str, body: Value) -> Value {
        self.post(path, body).await.expect(201).json()
    }

    /// An answer of the emulator about itself.
    pub async fn told(&self, what: &str) -> Value {
        let url = format!("{}/_emulator/{what}", self.running.url);
        self.send(self.raw(Method::GET, &url))
            .await
            .expect(200)
            .json()
    }

    /// Goes on as an application that has these permissions only.
    pub async fn as_app(&mut self, id: &str, secret: &str) {
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = format!(
            "{}/{}/oauth2/v2.0/token",
            self.running.url, self.running.tenant
        );
        let request = self
            .raw(Method::POST, &url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = self.send(request).await.expect(200).json();
        self.token = answer["access_token"].as_str().unwrap().to_owned();
    }

    pub async fn control(&self, path: &str, body: Value) {
        let url = format!("{}/_emulator/{path}", self.running.url);
        let answer = self.send(self.raw(Method::POST, &url).json(&body)).await;
        assert!(answer.status < 300, "{}", answer.status);
    }

    /// Holds all that was said against the schema, but for what cannot fit it.
    pub fn finish(self) {
        self.running.stop();
        let said = std::fs::read_to_string(self.log.path()).unwrap();
        let fitting: String = said
            .lines()
            .filter(|line| fits(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        std::fs::write(self.log.path(), fitting).unwrap();
        if let Some(exchanges) = fixtures::schema::check(self.log.path()) {
            assert!(exchanges.graph > 0, "nothing was said");
        }
    }
}

/// Whether an exchange can fit the schema. A request that is wrong on purpose cannot, and is refused
/// with an error all the same; nor can what is too large, which the service refuses without a word.
fn fits(line: &str) -> bool {
    let exchange: Value = serde_json::from_str(line).unwrap();
    let answer = &exchange["response_body"];
    if exchange["request_headers"][WRONG.0] == WRONG.1 {
        let status = exchange["status"].as_u64().unwrap();
        assert!((400..500).contains(&status), "{line}");
        assert!(answer["error"]["code"].is_string(), "{line}");
        return false;
    }
    exchange["status"] != 413 || !answer.is_null()
}

/// The ids of items.
pub fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|i| i["id"].as_str().unwrap()).collect()
}

/// The id of what was made.
pub fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}

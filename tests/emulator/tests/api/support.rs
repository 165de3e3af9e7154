//! An emulator of its own for each test, and a client without any cleverness.

use graph_emulator::{Emulator, Options, Running};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

pub const IMMUTABLE: (&str, &str) = ("Prefer", "IdType=\"ImmutableId\"");

pub struct Graph {
    pub emulator: Running,
    pub http: Client,
    pub token: String,
}

impl Graph {
    pub async fn start(arguments: &[&str]) -> Graph {
        use clap::Parser as _;
        let options = Options::parse_from(["graph-emulator"].iter().chain(arguments));
        let emulator = Emulator::start(options).unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        let mut graph = Graph {
            emulator,
            http,
            token: String::new(),
        };
        graph.token = graph.sign_in().await;
        graph
    }

    pub async fn sign_in(&self) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            self.emulator.client_id, self.emulator.client_secret
        );
        let answer = self
            .post_form(
                &format!("/{}/oauth2/v2.0/token", self.emulator.tenant),
                form,
            )
            .await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn post_form(&self, path: &str, form: String) -> Value {
        let request = self
            .http
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.emulator.url)
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

    /// Status and JSON of a GET.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let response = self.send(Method::GET, path, headers, None).await;
        (
            response.status().as_u16(),
            response.json().await.unwrap_or(Value::Null),
        )
    }

    pub async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.send(Method::POST, path, &[], Some(body)).await;
        (
            response.status().as_u16(),
            response.json().await.unwrap_or(Value::Null),
        )
    }

    pub async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.send(Method::PATCH, path, &[], Some(body)).await;
        (
            response.status().as_u16(),
            response.json().await.unwrap_or(Value::Null),
        )
    }

    pub async fn delete(&self, path: &str) -> u16 {
        self.send(Method::DELETE, path, &[], None)
            .await
            .status()
            .as_u16()
    }

    pub async fn control(&self, method: Method, what: &str, body: Value) -> Value {
        let request = self
            .http
            .request(method, self.url(&format!("/_emulator/{what}")))
            .json(&body);
        request
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap_or(Value::Null)
    }

    pub async fn faults(&self, rules: Value) {
        let answer = self.control(Method::POST, "faults", rules).await;
        assert_eq!(answer, Value::Null, "{answer}");
    }

    /// All pages of a list; for delta also the link on.
    pub async fn all(&self, path: &str, headers: &[(&str, &str)]) -> (Vec<Value>, Option<String>) {
        let mut items = Vec::new();
        let mut next = path.to_owned();
        loop {
            let (status, page) = self.get_with(&next, headers).await;
            assert_eq!(status, 200, "{next}: {page}");
            items.extend(page["value"].as_array().unwrap().iter().cloned());
            match page["@odata.nextLink"].as_str() {
                Some(link) => next = link.to_owned(),
                None => return (items, page["@odata.deltaLink"].as_str().map(str::to_owned)),
            }
        }
    }

    /// A non-draft message in a folder of the first user; its id.
    pub async fn message(&self, folder: &str, subject: &str) -> String {
        let (status, body) = self
            .post(
                &format!("/v1.0/users/alice@contoso.com/mailFolders/{folder}/messages"),
                json!({"subject": subject, "body": {"contentType": "text", "content": "x"},
                    "singleValueExtendedProperties": [{"id": "Integer 0x0E07", "value": "4"},
                        {"id": "SystemTime 0x0E06", "value": "2020-01-02T03:04:05Z"}, {"id": "SystemTime 0x0039", "value": "2020-01-02T03:04:00Z"}]}),
            )
            .await;
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }
}

pub const ALICE: &str = "/v1.0/users/alice@contoso.com";

pub fn ids(items: &[Value]) -> Vec<String> {
    items
        .iter()
        .map(|i| i["id"].as_str().unwrap().to_owned())
        .collect()
}

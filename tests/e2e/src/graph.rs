//! Talks to the emulated tenant as some application would; shares nothing with tenantfs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use graph_emulator::Running;
use reqwest::Method;
use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

/// A path, or a part of one, as a URL has it.
pub fn encoded(path: &str) -> String {
    let encoded = path.bytes().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// A signed-in application.
pub struct Graph {
    http: Client,
    url: String,
    token: String,
}

impl Graph {
    /// Signs in with the emulator's own application, trusting `ca` beside the system's authorities.
    pub fn sign_in(emulator: &Running, ca: Option<&Path>) -> Result<Self> {
        // Redirects are followed by hand: a pre-authenticated URL must not see the token.
        let mut http = Client::builder()
            .timeout(std::time::Duration::from_secs(120))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(ca) = ca {
            let pem = std::fs::read(ca)?;
            http = http.tls_certs_merge([reqwest::Certificate::from_pem(&pem)?]);
        }
        let http = http.build()?;
        let form = format!(
            "client_id={}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            emulator.client_id, emulator.client_secret
        );
        let token: Value = http
            .post(format!(
                "{}/{}/oauth2/v2.0/token",
                emulator.url, emulator.tenant
            ))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()?
            .json()?;
        let token = token["access_token"]
            .as_str()
            .context("no token")?
            .to_owned();
        Ok(Self {
            http,
            url: emulator.url.clone(),
            token,
        })
    }

    /// Sends a request; `path` is below `/v1.0` or a whole URL.
    pub fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/v1.0{path}", self.url)
        };
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.token)
            .header("prefer", "IdType=\"ImmutableId\"");
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request.send()?)
    }

    fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, path, body)?;
        let status = answer.status();
        let text = answer.text()?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        if text.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_str(&text)?)
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::POST, path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::PATCH, path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Result<Value> {
        self.json(Method::DELETE, path, None)
    }

    /// Uploads bytes by a simple PUT.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<Value> {
        let answer = self.put_as(path, "application/octet-stream", bytes)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Uploads bytes of a kind; what was answered.
    pub fn put_as(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Result<String> {
        let answer = self
            .http
            .put(format!("{}/v1.0{path}", self.url))
            .bearer_auth(&self.token)
            .header("content-type", content_type)
            .body(bytes)
            .send()?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.text()?)
    }

    /// The bytes behind a path, or behind the pre-authenticated URL that it redirects to.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut answer = self.send(Method::GET, path, None)?;
        if answer.status().is_redirection() {
            let location = answer.headers()["location"].to_str()?.to_owned();
            answer = self.http.get(location).send()?;
        }
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.bytes()?.to_vec())
    }

    /// All pages of a collection.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let mut page = self.get(&path)?;
            if let Some(values) = page["value"].as_array_mut() {
                all.append(values);
            }
            next = page["@odata.nextLink"].as_str().map(str::to_owned);
        }
        Ok(all)
    }

    /// UPNs of the users who have a mailbox.
    pub fn mailboxes(&self) -> Result<Vec<String>> {
        let users = self.list("/users")?;
        let upns = users
            .iter()
            .filter_map(|user| user["userPrincipalName"].as_str());
        Ok(upns
            .filter(|upn| self.get(&format!("/users/{upn}/mailFolders/inbox")).is_ok())
            .map(str::to_owned)
            .collect())
    }

    /// Lets a mail arrive, not a draft; returns it.
    pub fn receive(&self, upn: &str, folder: &str, subject: &str) -> Result<Value> {
        self.post(
            &format!("/users/{upn}/mailFolders/{folder}/messages"),
            &json!({
                "subject": subject,
                "body": { "contentType": "text", "content": format!("About {subject}.") },
                "from": { "emailAddress": { "name": "Jane Roe", "address": "jane.roe@fabrikam.com" } },
                "toRecipients": [ { "emailAddress": { "address": upn } } ],
                "internetMessageId": format!("<{subject}@fabrikam.com>").replace(' ', "."),
                "singleValueExtendedProperties": [
                    { "id": "Integer 0x0E07", "value": "4" },
                    { "id": "SystemTime 0x0039", "value": "2026-03-01T09:00:00Z" },
                    { "id": "SystemTime 0x0E06", "value": "2026-03-01T09:00:05Z" },
                ],
            }),
        )
    }

    // The emulator's own controls.

    /// Requests since the last reset: `(total, by_route)`.
    pub fn requests(&self) -> Result<Value> {
        Ok(self
            .http
            .get(format!("{}/_emulator/requests", self.url))
            .send()?
            .json()?)
    }

    /// Begins counting requests anew.
    pub fn reset_requests(&self) -> Result<()> {
        self.http
            .delete(format!("{}/_emulator/requests", self.url))
            .send()?;
        Ok(())
    }

    /// Sends a control request.
    pub fn control(&self, name: &str, body: &Value) -> Result<()> {
        let url = format!("{}/_emulator/{name}", self.url);
        let answer = self.http.post(url).json(body).send()?;
        ensure!(answer.status().is_success(), "{name}: {}", answer.status());
        Ok(())
    }

    /// Mails that Exchange would have sent out.
    pub fn outbox(&self) -> Result<Value> {
        Ok(self
            .http
            .get(format!("{}/_emulator/outbox", self.url))
            .send()?
            .json()?)
    }

    /// The same, one by one.
    pub fn sent(&self) -> Result<Vec<Value>> {
        let outbox = self.outbox()?;
        let sent = outbox.as_array().or(outbox["value"].as_array());
        Ok(sent.context("no outbox")?.clone())
    }
}

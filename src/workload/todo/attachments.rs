//! The files of a task: reading them, and putting them back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use super::Todo;
use super::task::{FILES, LIST};
use crate::format::ics::todo::File;
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{Account, ItemError};

const ALL: &str = "/users/{user}/todo/lists/{list}/tasks/{task}/attachments";
const ONE: &str = "/users/{user}/todo/lists/{list}/tasks/{task}/attachments/{attachment}";
const SESSION: &str =
    "/users/{user}/todo/lists/{list}/tasks/{task}/attachments/createUploadSession";
const CONTENT: &str =
    "/users/{user}/todo/lists/{list}/tasks/{task}/attachmentSessions/{session}/content";

/// Bytes up to which a file goes into one request.
const INLINE: usize = 2_900_000;
/// The largest file that To Do takes.
const MAX_FILE: usize = 25_000_000;
/// Bytes of one piece of an upload session.
const PIECE: usize = 3_932_160;
/// Bytes of all files of a task that are captured.
const MAX_ALL: usize = 256 << 20;
/// Files of one task.
const MAX_FILES: usize = 1_000;
/// Attempts at a piece whose answer got lost.
const ATTEMPTS: u32 = 4;

impl Todo {
    /// All files that can be had. The record says what they are, and why one is missing.
    pub(super) async fn files_of(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Vec<File>, ItemError> {
        if record["hasAttachments"] != json!(true) {
            if let Some(record) = record.as_object_mut() {
                record.remove(FILES);
            }
            return Ok(Vec::new());
        }
        let (Some(list), Some(task)) = (record[LIST].as_str(), record["id"].as_str()) else {
            return Err(ItemError {
                class: ErrorClass::Ours,
                reason: "the record does not say which task it is".to_owned(),
            });
        };
        let call = Call::get(ALL, &[&account.id, list, task]);
        let listed = self
            .client
            .pages(Self::of(account, call), MAX_FILES)
            .await?;
        let (mut files, mut told, mut total) = (Vec::new(), Vec::new(), 0);
        for entry in listed {
            let name = entry["name"].as_str().unwrap_or("attachment");
            let id = entry["id"].as_str().unwrap_or_default();
            match self.file(account, [list, task, id], &entry).await {
                Ok(file) => {
                    total += file.bytes.len();
                    if total > MAX_ALL {
                        return Err(ItemError {
                            class: ErrorClass::TooLarge,
                            reason: format!("its files have more than {MAX_ALL} bytes"),
                        });
                    }
                    told.push(facts(&file));
                    files.push(file);
                }
                Err(e) if e.class.is_temporary() || e.class == ErrorClass::Auth => {
                    return Err(e.into());
                }
                Err(e) => told.push(json!({ "name": name, "missing": e.to_string() })),
            }
        }
        record[FILES] = Value::Array(told);
        Ok(files)
    }

    async fn file(
        &self,
        account: &Account,
        [list, task, id]: [&str; 3],
        listed: &Value,
    ) -> Result<File, GraphError> {
        let call = Call::get(ONE, &[&account.id, list, task, id])
            .bounds(64 << 20, Duration::from_secs(600));
        let json = self.client.json(&Self::of(account, call)).await?;
        let content = json["contentBytes"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(content).map_err(|e| {
            GraphError::local(ErrorClass::Corrupt, format!("GET {ONE}"), e.to_string())
        })?;
        let text = |name: &str| {
            let told = json[name].as_str().or_else(|| listed[name].as_str());
            told.map(str::to_owned)
        };
        Ok(File {
            name: text("name").unwrap_or_else(|| "attachment".to_owned()),
            content_type: text("contentType"),
            bytes,
        })
    }

    /// How many files a task has.
    pub(super) async fn attached(
        &self,
        account: &Account,
        list: &str,
        task: &str,
    ) -> Result<usize, GraphError> {
        let call = Call::get(ALL, &[&account.id, list, task]).patient_404(5);
        let all = self
            .client
            .pages(Self::of(account, call), MAX_FILES)
            .await?;
        Ok(all.len())
    }

    pub(super) async fn attach(
        &self,
        account: &Account,
        list: &str,
        task: &str,
        file: &File,
    ) -> Result<(), GraphError> {
        if file.bytes.len() > MAX_FILE {
            return Err(GraphError::local(
                ErrorClass::TooLarge,
                format!("POST {ALL}"),
                format!("{}: a file of a task may have {MAX_FILE} bytes", file.name),
            ));
        }
        let ids = [account.id.as_str(), list, task];
        if file.bytes.len() > INLINE {
            return self.attach_large(account, &ids, file).await;
        }
        let body = json!({
            "@odata.type": "#microsoft.graph.taskFileAttachment",
            "name": file.name,
            "contentType": file.content_type(),
            "contentBytes": STANDARD.encode(&file.bytes),
        });
        let call = Call::post(ALL, &ids, body).patient_404(6);
        self.client.json(&Self::of(account, call)).await.map(drop)
    }

    /// Through an upload session. Unlike those of mail, its pieces are requests to Graph itself.
    async fn attach_large(
        &self,
        account: &Account,
        ids: &[&str],
        file: &File,
    ) -> Result<(), GraphError> {
        let total = file.bytes.len();
        let item = json!({ "attachmentInfo": {
            "attachmentType": "file",
            "name": file.name,
            "size": total,
            "contentType": file.content_type(),
        }});
        // A session that nothing was sent to leaves nothing behind: ask as often as needed.
        let call = Call::post(SESSION, ids, item).patient_404(6).repeatable();
        let session = self.client.json(&Self::of(account, call)).await?;
        let url = session["uploadUrl"].as_str().unwrap_or_default();
        if !self.client.is_own_link(url) {
            return Err(GraphError::local(
                ErrorClass::Ours,
                format!("POST {SESSION}"),
                "the upload session leads away from Graph: nothing is sent there",
            ));
        }
        let url = format!("{}/content", url.trim_end_matches('/'));
        let bytes = Bytes::copy_from_slice(&file.bytes);
        let mut at = 0;
        while at < total {
            let end = total.min(at + PIECE);
            let range = format!("bytes {at}-{}/{total}", end - 1);
            let mut attempt = 0;
            loop {
                attempt += 1;
                let mut call = Call::link(CONTENT, &url)
                    .body(bytes.slice(at..end), "application/octet-stream")
                    .header("content-range", range.clone())
                    .once();
                call.method = Method::PUT;
                match self.client.send(&Self::of(account, call)).await {
                    Ok(_) => break,
                    // The piece is there already: its first answer got lost.
                    Err(e) if attempt > 1 && e.status == Some(416) => break,
                    Err(e) if e.class.is_temporary() && attempt < ATTEMPTS => {
                        tokio::time::sleep(self.client.patience().backoff(attempt)).await;
                    }
                    Err(e) => return Err(e),
                }
            }
            at = end;
        }
        Ok(())
    }
}

/// A file as the record tells it.
fn facts(file: &File) -> Value {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(&file.bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": file.name, "contentType": file.content_type, "size": file.bytes.len(), "sha256": hash,
    })
}

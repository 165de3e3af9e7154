//! The log of exchanges: one JSON object a line, in the shape the schema checker reads.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

#[derive(Default)]
pub struct Log(Option<Mutex<Option<File>>>);

impl Log {
    pub fn to(path: Option<&Path>) -> anyhow::Result<Log> {
        let Some(path) = path else {
            return Ok(Log(None));
        };
        let file = File::create(path)
            .map_err(|e| anyhow::anyhow!("cannot write the log {}: {e}", path.display()))?;
        Ok(Log(Some(Mutex::new(Some(file)))))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub fn write(&self, exchange: &Value) {
        let Some(file) = &self.0 else { return };
        let line = format!("{exchange}\n");
        if let Some(file) = file.lock().as_mut()
            && let Err(error) = file.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "the log of exchanges cannot be written");
        }
    }

    /// Waits for the line that is being written, and takes no more: who reads the log after a stop
    /// finds whole lines.
    pub fn close(&self) {
        if let Some(file) = &self.0 {
            *file.lock() = None;
        }
    }
}

/// A body for the log: JSON as it is, anything else by its length.
pub fn body(bytes: &[u8], content_type: Option<&str>) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    let json = content_type.is_none_or(|t| t.contains("json"));
    if json && let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    json!({"$binary": bytes.len()})
}

/// Headers for the log; what lets somebody in is left out.
pub fn headers(headers: &HeaderMap) -> Value {
    let mut out = Map::new();
    for (name, value) in headers {
        if matches!(name.as_str(), "authorization" | "cookie") {
            continue;
        }
        out.insert(
            name.as_str().to_owned(),
            json!(String::from_utf8_lossy(value.as_bytes())),
        );
    }
    Value::Object(out)
}

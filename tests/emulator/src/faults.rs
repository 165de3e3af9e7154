//! Faults by script: what goes wrong, on which requests, and how often.
//!
//! A script is a JSON list of rules (`--faults FILE`, or `POST /_emulator/faults`). Each rule picks
//! requests by method and route, passes over the first `skip` of them, and then spoils `count`. The
//! first rule that picks a request decides. [`HELP`] tells the schema.

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{ApiResponse, Body};

/// The schema of a script, for `--help`.
pub const HELP: &str = r#"Script of faults (--faults FILE, or POST /_emulator/faults): a JSON list of rules, or {"rules": [...]}.
  {
    "method": "GET",            any method when left out
    "route": "/v1.0/users/{id}/messages/{id}/$value",
                                a route as /_emulator/requests shows it, or a path as it is sent;
                                * stands for anything; any route when left out
    "query": "$skiptoken=",     only when the query holds this, as it is sent
    "skip": 0, "count": 1,      passes over so many requests, then spoils so many (count 0: all)
    "every": 1,                 of those, only every n-th
    "fault": one of
      {"status": 503, "retry_after": 2, "code": "x", "message": "y", "empty": true, "after": true, "location": "URL"}
                                this answer; "empty" without body; "after": the request is
                                carried out first; "location": with this header
      "reset"                   the connection is closed without an answer
      "go_away"                 answered, and the connection takes no more requests: GOAWAY in HTTP/2,
                                "Connection: close" in HTTP/1.1
      {"truncate": 100}         closed after so many bytes of the body
      {"slow": 1000}            so many bytes of the body a second
      {"delay_ms": 500}         answered late
      "corrupt"                 one bit of the body is flipped
      "wrong_hash"              a drive item tells a hash that is not that of its bytes
      "expired_url"             the pre-authenticated URL that is given out has expired
      "expired_token"           401 InvalidAuthenticationToken
      {"item": "x", "code": "y"}
                                exportItems answers 200, with this error for the item that has this
                                id or this text in its subject (ErrorCorruptData when left out)
      {"poison": "text"}        500 for every answer that holds this text (an item that breaks pages)
  }"#;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Named {
    Reset,
    GoAway,
    Corrupt,
    WrongHash,
    ExpiredUrl,
    ExpiredToken,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fault {
    Named(Named),
    Truncate {
        truncate: u64,
    },
    Slow {
        slow: u64,
    },
    Delay {
        delay_ms: u64,
    },
    Poison {
        poison: String,
    },
    Item {
        item: String,
        #[serde(default = "corrupt_data")]
        code: String,
    },
    Status {
        status: u16,
        #[serde(default)]
        retry_after: Option<Value>,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        empty: bool,
        #[serde(default)]
        after: bool,
        #[serde(default)]
        location: Option<String>,
    },
}

fn corrupt_data() -> String {
    "ErrorCorruptData".to_owned()
}

fn one() -> u64 {
    1
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[serde(default)]
    pub method: Option<String>,
    #[serde(default)]
    pub route: Option<String>,
    #[serde(default)]
    pub query: Option<String>,
    #[serde(default)]
    pub skip: u64,
    #[serde(default = "one")]
    pub count: u64,
    #[serde(default = "one")]
    pub every: u64,
    pub fault: Fault,
    /// Requests this rule has picked so far.
    #[serde(default, skip_deserializing)]
    pub seen: u64,
    /// Of those it spoils, how many are dealt with: what they do is done, if they do anything.
    #[serde(default, skip_deserializing)]
    pub done: u64,
}

/// The rules in force.
#[derive(Default)]
pub struct Script(Mutex<Vec<Rule>>);

impl Script {
    /// Reads a script.
    pub fn parse(text: &[u8]) -> Result<Vec<Rule>, String> {
        let value: Value = serde_json::from_slice(text).map_err(|e| format!("not JSON: {e}"))?;
        let list = match value {
            Value::Object(mut object) => object.remove("rules").ok_or("an object needs 'rules'")?,
            list => list,
        };
        serde_json::from_value(list).map_err(|e| format!("not a list of rules: {e}"))
    }

    pub fn replace(&self, rules: Vec<Rule>) {
        *self.0.lock() = rules;
    }

    /// The rules with what they have seen, for `GET /_emulator/faults`.
    pub fn report(&self) -> Value {
        serde_json::to_value(&*self.0.lock()).unwrap_or_default()
    }

    /// A request that got this fault is dealt with; its answer is still to come.
    pub fn done_with(&self, fault: &Fault) {
        let mut rules = self.0.lock();
        if let Some(rule) = rules.iter_mut().find(|rule| rule.fault == *fault) {
            rule.done += 1;
        }
    }

    /// The fault this request gets, if any.
    pub fn pick(&self, method: &str, route: &str, path: &str, query: &str) -> Option<Fault> {
        for rule in self.0.lock().iter_mut() {
            let method_fits = rule
                .method
                .as_deref()
                .is_none_or(|m| m.eq_ignore_ascii_case(method));
            let route_fits = rule
                .route
                .as_deref()
                .is_none_or(|pattern| fits(pattern, route) || fits(pattern, path));
            let query_fits = rule.query.as_deref().is_none_or(|q| query.contains(q));
            if !method_fits || !route_fits || !query_fits {
                continue;
            }
            rule.seen += 1;
            let Some(nth) = rule.seen.checked_sub(rule.skip + 1) else {
                continue;
            };
            let every = rule.every.max(1);
            if nth % every == 0 && (rule.count == 0 || nth / every < rule.count) {
                return Some(rule.fault.clone());
            }
        }
        None
    }
}

/// Matches with `*` for any run of characters, without regard to case.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Fault {
    /// The answer of a fault that is just an answer.
    pub fn answer(&self) -> Option<ApiResponse> {
        match self {
            Fault::Status {
                status,
                retry_after,
                code,
                message,
                empty,
                location,
                ..
            } => {
                let mut response = if *empty {
                    ApiResponse::empty(*status)
                } else {
                    let code = code.as_deref().unwrap_or(match status {
                        401 => "InvalidAuthenticationToken",
                        403 => "ErrorAccessDenied",
                        404 => "ErrorItemNotFound",
                        410 => "SyncStateNotFound",
                        429 => "TooManyRequests",
                        503 => "ServiceUnavailable",
                        _ => "InternalServerError",
                    });
                    ApiResponse::error(
                        *status,
                        code,
                        message.as_deref().unwrap_or("Scripted fault."),
                    )
                };
                match retry_after {
                    Some(Value::String(text)) => {
                        response = response.with_header("retry-after", text)
                    }
                    Some(number) => {
                        response = response.with_header("retry-after", &number.to_string())
                    }
                    None => {}
                }
                if let Some(location) = location {
                    response = response.with_header("location", location);
                }
                Some(response)
            }
            Fault::Named(Named::ExpiredToken) => Some(ApiResponse::error(
                401,
                "InvalidAuthenticationToken",
                "Lifetime validation failed, the token is expired.",
            )),
            _ => None,
        }
    }

    /// True when nothing is said at all: there is no exchange to log.
    pub fn is_silent(&self) -> bool {
        matches!(
            self,
            Fault::Named(Named::Reset) | Fault::Status { empty: true, .. }
        )
    }

    /// Spoils an answer that was made already.
    pub fn spoil(&self, response: ApiResponse) -> ApiResponse {
        match self {
            Fault::Status { after: true, .. } => self.answer().unwrap_or(response),
            Fault::Poison { poison } => match &response.body {
                Body::Json(value) if value.to_string().contains(poison) => ApiResponse::error(
                    500,
                    "InternalServerError",
                    "Error while processing response.",
                ),
                Body::Bytes(bytes, _) if contains(bytes, poison.as_bytes()) => ApiResponse::error(
                    500,
                    "InternalServerError",
                    "Error while processing response.",
                ),
                _ => response,
            },
            Fault::Named(Named::Corrupt) => corrupt(response),
            _ => response,
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|w| w == needle)
}

/// Flips one bit in the middle of a binary body.
fn corrupt(mut response: ApiResponse) -> ApiResponse {
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
    };
    response.body = match response.body {
        Body::Bytes(bytes, kind) => {
            let mut bytes = bytes.to_vec();
            flip(&mut bytes);
            Body::Bytes(Bytes::from(bytes), kind)
        }
        Body::Chunks {
            length,
            content_type,
            pieces,
        } => {
            let mut first = true;
            let pieces = pieces.map(move |piece| {
                if !std::mem::take(&mut first) {
                    return piece;
                }
                let mut bytes = piece.to_vec();
                flip(&mut bytes);
                Bytes::from(bytes)
            });
            Body::Chunks {
                length,
                content_type,
                pieces: Box::new(pieces),
            }
        }
        other => other,
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_routes_and_paths() {
        assert!(fits(
            "/v1.0/users/{id}/messages/*",
            "/v1.0/users/{id}/messages/{id}/$value"
        ));
        assert!(fits(
            "*/delta",
            "/v1.0/users/{id}/mailFolders/{id}/messages/delta"
        ));
        assert!(!fits("*/delta", "/v1.0/users/delta/x"));
        assert!(fits("/a*b*c", "/axbxc") && !fits("/a*b*c", "/axc"));
        assert!(fits("*", "") && !fits("", "x"));
    }

    #[test]
    fn rules_skip_and_count() {
        let script = Script::default();
        let rules = Script::parse(br#"[{"route": "*/delta", "skip": 1, "count": 2, "fault": {"status": 503, "retry_after": 1}},
            {"fault": "reset"}]"#)
        .unwrap();
        script.replace(rules);
        let kinds: Vec<bool> = (0..4)
            .map(|_| {
                matches!(
                    script.pick("GET", "/x/delta", "/x", ""),
                    Some(Fault::Status { .. })
                )
            })
            .collect();
        assert_eq!(kinds, [false, true, true, false]);
        let rules = Script::parse(br#"[{"query": "$skiptoken=", "fault": "reset"}]"#).unwrap();
        script.replace(rules);
        assert_eq!(script.pick("GET", "/x", "/x", "$top=5"), None);
        let reset = Fault::Named(Named::Reset);
        let picked = script.pick("GET", "/x", "/x", "$skiptoken=a");
        assert_eq!(picked, Some(reset));
        assert!(Script::parse(br#"[{"fault": {"statu": 1}}]"#).is_err());
        assert!(Script::parse(br#"[{"rout": "x", "fault": "reset"}]"#).is_err());
    }
}

//! What may be written to a message, and when.

use serde_json::{Value, json};

use crate::api::{ApiRequest, ApiResponse};
use crate::odata::Object;

/// Changeable at any time; the others of a message only while it is a draft, or never.
pub const ALWAYS: &[&str] = &[
    "categories",
    "flag",
    "importance",
    "inferenceClassification",
    "isRead",
    "isReadReceiptRequested",
    "isDeliveryReceiptRequested",
    "toRecipients",
    "ccRecipients",
    "bccRecipients",
];
pub const DRAFT: &[&str] = &[
    "subject",
    "body",
    "internetMessageId",
    "replyTo",
    "from",
    "sender",
];
/// Set by the service; told at creation, they are passed over.
pub const SERVICE: &[&str] = &[
    "id",
    "createdDateTime",
    "lastModifiedDateTime",
    "changeKey",
    "receivedDateTime",
    "sentDateTime",
    "hasAttachments",
    "bodyPreview",
    "parentFolderId",
    "conversationId",
    "conversationIndex",
    "isDraft",
    "webLink",
    "uniqueBody",
];

/// In all fields together.
const MAX_RECIPIENTS: usize = 500;

pub fn unknown_property(name: &str, kind: &str) -> ApiResponse {
    ApiResponse::error(
        400,
        "RequestBodyRead",
        &format!(
            "The property '{name}' does not exist on type '{kind}'. Make sure to only use property names that are defined by the type."
        ),
    )
}

pub fn invalid(message: &str) -> ApiResponse {
    ApiResponse::error(400, "ErrorInvalidRequest", message)
}

/// Refuses values a message cannot have.
pub fn check(object: &Object) -> Result<(), ApiResponse> {
    for (name, value) in object {
        let fits = match name.as_str() {
            "subject" | "internetMessageId" | "conversationIndex" => {
                value.is_string() || value.is_null()
            }
            "isRead" | "isReadReceiptRequested" => value.is_boolean(),
            "isDeliveryReceiptRequested" => value.is_boolean() || value.is_null(),
            "toRecipients" | "ccRecipients" | "bccRecipients" | "replyTo" => value
                .as_array()
                .is_some_and(|list| list.iter().all(|r| r["emailAddress"].is_object())),
            "from" | "sender" => value.is_null() || value["emailAddress"].is_object(),
            "body" => {
                value["content"].is_string()
                    && ["text", "html"].iter().any(|t| {
                        value["contentType"]
                            .as_str()
                            .is_some_and(|v| v.eq_ignore_ascii_case(t))
                    })
            }
            "categories" => value
                .as_array()
                .is_some_and(|list| list.iter().all(Value::is_string)),
            "importance" => value.as_str().is_some_and(|v| {
                ["low", "normal", "high"]
                    .iter()
                    .any(|k| k.eq_ignore_ascii_case(v))
            }),
            "inferenceClassification" => value.as_str().is_some_and(|v| {
                ["focused", "other"]
                    .iter()
                    .any(|k| k.eq_ignore_ascii_case(v))
            }),
            "flag" => value["flagStatus"].as_str().is_none_or(|v| {
                ["notFlagged", "complete", "flagged"]
                    .iter()
                    .any(|k| k.eq_ignore_ascii_case(v))
            }),
            _ => true,
        };
        if !fits {
            return Err(ApiResponse::error(
                400,
                "RequestBodyRead",
                &format!("The value of property '{name}' is not valid."),
            ));
        }
    }
    let count = |name: &str| object.get(name)?.as_array().map(Vec::len);
    let recipients = ["toRecipients", "ccRecipients", "bccRecipients"];
    if recipients.into_iter().filter_map(count).sum::<usize>() > MAX_RECIPIENTS {
        return Err(ApiResponse::error(
            400,
            "ErrorInvalidRecipients",
            "The message has too many recipients.",
        ));
    }
    if let Some(list) = object.get("replyTo").and_then(Value::as_array) {
        let good = |a: &str| a.contains('@') || a.starts_with("/o=");
        if list
            .iter()
            .any(|r| !r["emailAddress"]["address"].as_str().is_some_and(good))
        {
            return Err(ApiResponse::error(
                400,
                "ErrorInvalidReplyTo",
                "The ReplyTo address is not valid.",
            ));
        }
    }
    if let Some(headers) = object
        .get("internetMessageHeaders")
        .filter(|h| !h.is_null())
    {
        let list = headers
            .as_array()
            .filter(|l| (1..=5).contains(&l.len()))
            .ok_or_else(|| {
                ApiResponse::error(
                    400,
                    "InvalidInternetMessageHeaderCollection",
                    "Maximum number of headers in one message should be less than or equal to 5.",
                )
            })?;
        if let Some(bad) = list.iter().find(|h| {
            !h["name"]
                .as_str()
                .is_some_and(|n| n.to_ascii_lowercase().starts_with("x-"))
        }) {
            return Err(ApiResponse::error(
                400,
                "InvalidInternetMessageHeader",
                &format!(
                    "The internet message header name '{}' should start with 'x-' or 'X-'.",
                    bad["name"].as_str().unwrap_or_default()
                ),
            ));
        }
    }
    Ok(())
}

pub fn object_of(request: &ApiRequest) -> Result<Object, ApiResponse> {
    match request.json()? {
        Value::Object(object) => Ok(object),
        _ => Err(ApiResponse::error(
            400,
            "UnableToDeserializePostBody",
            "were unable to deserialize",
        )),
    }
}

pub fn lower_body(mut body: Value) -> Value {
    let kind = body["contentType"]
        .as_str()
        .unwrap_or("text")
        .to_ascii_lowercase();
    body["contentType"] = json!(kind);
    body
}

/// Enum values are read in any letter case and shown in the model's own.
pub fn lower_enum(name: &str, value: Value) -> Value {
    match (name, value.as_str()) {
        ("importance" | "inferenceClassification", Some(text)) => json!(text.to_ascii_lowercase()),
        _ => value,
    }
}

//! Mailbox settings of a user, and the organization.

use http::Method;
use serde_json::{Value, json};

use super::routes::denied;
use super::{User, no_mailbox};
use crate::api::{ApiRequest, ApiResponse};
use crate::odata::{self, Select};
use crate::world::World;

pub fn settings(user: &User) -> Result<Value, ApiResponse> {
    let Some(purpose) = user.mailbox else {
        return Err(no_mailbox());
    };
    Ok(json!({
        "archiveFolder": null, "timeZone": "UTC", "dateFormat": "yyyy-MM-dd", "timeFormat": "HH:mm",
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly", "userPurpose": purpose.as_str(),
        "automaticRepliesSetting": {"status": "disabled", "externalAudience": "none", "internalReplyMessage": "", "externalReplyMessage": "",
            "scheduledStartDateTime": {"dateTime": "2026-11-02T00:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2026-11-03T00:00:00.0000000", "timeZone": "UTC"}},
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": {"daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"], "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000", "timeZone": {"name": "UTC"}},
    }))
}

pub fn mailbox_settings(
    request: &ApiRequest,
    user: &User,
    rest: &[&str],
) -> Result<ApiResponse, ApiResponse> {
    if !request
        .caller
        .has_any(&["MailboxSettings.Read", "MailboxSettings.ReadWrite"])
    {
        return Err(crate::mail::denied());
    }
    if request.method != Method::GET {
        return Err(ApiResponse::method_not_allowed());
    }
    let all = settings(user)?;
    let context =
        |what: &str| request.context(&format!("users('{}')/mailboxSettings{what}", user.id));
    if let Some(name) = rest.first() {
        let value = all
            .as_object()
            .and_then(|o| o.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v.clone())
            .ok_or_else(|| ApiResponse::no_such_segment(name))?;
        let mut body = match value {
            Value::Object(object) => Value::Object(object),
            value => json!({"value": value}),
        };
        body["@odata.context"] = json!(context(&format!("/{name}")));
        return Ok(ApiResponse::ok(body));
    }
    let known: Vec<&str> = all
        .as_object()
        .map(|o| o.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let select = Select::of(request, "microsoft.graph.mailboxSettings", &known)?;
    let mut object = all.as_object().cloned().unwrap_or_default();
    select.apply(&mut object);
    object.insert("@odata.context".into(), json!(context("")));
    Ok(ApiResponse::ok(Value::Object(object)))
}

pub fn organization(world: &World, request: &ApiRequest) -> Result<ApiResponse, ApiResponse> {
    if !request.caller.has_any(&[
        "Organization.Read.All",
        "Directory.Read.All",
        "User.Read.All",
    ]) {
        return Err(denied());
    }
    let domain = &world.options.domain;
    let value = vec![json!({
        "id": world.options.tenant, "displayName": "Contoso", "countryLetterCode": "DK", "createdDateTime": "2024-01-02T03:04:05Z",
        "verifiedDomains": [{"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": true, "isInitial": false, "name": domain, "type": "Managed"}],
    })];
    Ok(ApiResponse::ok(odata::page(
        request.context("organization"),
        None,
        value,
        None,
    )))
}

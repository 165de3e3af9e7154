//! From a path to its handler, and to its template.
//!
//! A template is the path with everything that is not the name of a resource replaced:
//! `/v1.0/users/{id}/mailFolders/{id}/messages/delta`. Requests are counted and faults are scripted by it.

use crate::api::{ApiRequest, ApiResponse};
use crate::world::World;
use crate::{calendar, contacts, drive, exchange_admin, mail, reports, sites, todo, users};

/// Answers one API request. What is around it (quotas, faults, counting) is the server's.
pub fn handle(world: &World, request: &ApiRequest) -> ApiResponse {
    if request.segment(0).eq_ignore_ascii_case("me") {
        let Some(user) = &request.caller.user else {
            return ApiResponse::error(
                400,
                "BadRequest",
                "/me request is only valid with delegated authentication flow.",
            );
        };
        let mut own = request.clone();
        own.path.splice(0..1, ["users".to_owned(), user.clone()]);
        return handle(world, &own);
    }
    mail::handle(world, request)
        .or_else(|| calendar::handle(world, request))
        .or_else(|| contacts::handle(world, request))
        .or_else(|| todo::handle(world, request))
        .or_else(|| exchange_admin::handle(world, request))
        .or_else(|| sites::handle(world, request))
        .or_else(|| drive::handle(world, request))
        .or_else(|| reports::handle(world, request))
        .or_else(|| users::handle(world, request))
        .unwrap_or_else(|| {
            ApiResponse::no_such_segment(request.path.last().map_or("", String::as_str))
        })
}

/// Names that stand for themselves in a template, as the documentation spells them.
const NAMES: &[&str] = &[
    "$batch",
    "$count",
    "$metadata",
    "$ref",
    "$value",
    "accept",
    "addCopy",
    "admin",
    "attachmentSessions",
    "attachments",
    "automaticRepliesSetting",
    "bundles",
    "calendar",
    "calendarGroups",
    "calendarPermissions",
    "calendars",
    "calendarView",
    "canvasLayout",
    "cancel",
    "checklistItems",
    "childFolders",
    "children",
    "columns",
    "contacts",
    "contactFolders",
    "content",
    "contentTypes",
    "copy",
    "createImportSession",
    "createLink",
    "createUploadSession",
    "decline",
    "delta",
    "delta()",
    "deviceManagement",
    "directory",
    "dismissReminder",
    "drive",
    "drives",
    "driveItem",
    "events",
    "exchange",
    "exportItems",
    "extensions",
    "fields",
    "folders",
    "getAllSites",
    "getAllSites()",
    "horizontalSections",
    "followed",
    "following",
    "forward",
    "groups",
    "inferenceClassification",
    "instances",
    "invite",
    "items",
    "linkedResources",
    "listItem",
    "lists",
    "mailboxes",
    "mailboxSettings",
    "mailFolders",
    "masterCategories",
    "me",
    "members",
    "messageRules",
    "messages",
    "move",
    "oneDrive.getAllSites",
    "operations",
    "organization",
    "outlook",
    "overrides",
    "pages",
    "permanentDelete",
    "permissions",
    "photo",
    "photos",
    "publish",
    "recent",
    "recycleBin",
    "reports",
    "restoreVersion",
    "retentionLabel",
    "root",
    "search",
    "send",
    "sendMail",
    "settings",
    "sharedWithMe",
    "shares",
    "sitePage",
    "sites",
    "snoozeReminder",
    "special",
    "subscriptions",
    "subsites",
    "supportedTimeZones",
    "tasks",
    "teams",
    "tentativelyAccept",
    "thumbnails",
    "todo",
    "translateExchangeIds",
    "unfollow",
    "userPurpose",
    "users",
    "versions",
    "webparts",
    "workingHours",
];

/// Template of a path below `version` (`v1.0`, `beta`).
pub fn template(version: &str, path: &[String]) -> String {
    let mut out = format!("/{version}");
    let mut at = 0;
    while let Some(segment) = path.get(at) {
        out.push('/');
        let colon = segment.ends_with(':') && segment.len() > 1;
        let stem = segment.trim_end_matches(':');
        let stem = stem.strip_prefix("microsoft.graph.").unwrap_or(stem);
        match NAMES.iter().find(|n| n.eq_ignore_ascii_case(stem)) {
            // A drive folder may well be called "drives": names in paths are swallowed below.
            Some(name) => out.push_str(name),
            None => match stem.split_once('(') {
                Some((function, _))
                    if !function.is_empty()
                        && function.chars().all(|c| c.is_ascii_alphanumeric()) =>
                {
                    out.push_str(function);
                    out.push_str("()");
                }
                _ => out.push_str("{id}"),
            },
        }
        at += 1;
        if colon {
            // `root:/a/b:/content`: everything up to the segment that ends with a colon is one path.
            out.push(':');
            let end = path[at..].iter().position(|s| s.ends_with(':'));
            if at < path.len() {
                out.push_str("/{path}");
            }
            match end {
                Some(end) => {
                    at += end + 1;
                    if at < path.len() {
                        out.push(':');
                    }
                }
                None => at = path.len(),
            }
        }
    }
    out
}

/// Template of a path outside the API: `/{tenant}/oauth2/v2.0/token`, `/_download/{id}`.
pub fn raw_template(path: &[String]) -> String {
    if sites::rest::is_rest(path) {
        return sites::rest::template(path);
    }
    let lower: Vec<String> = path.iter().map(|s| s.to_ascii_lowercase()).collect();
    match lower.first().map(String::as_str) {
        Some(known @ ("_download" | "_monitor" | "_report")) => format!("/{known}/{{id}}"),
        Some("_upload") if lower.get(1).is_some_and(|s| s == "mail" || s == "calendar") => {
            format!("/_upload/{}/{{id}}", lower[1])
        }
        Some("_upload") => "/_upload/{id}".to_owned(),
        Some("api") if lower.last().is_some_and(|s| s == "importitem") => {
            format!("/api/{}/Mailboxes/{{id}}/importItem", lower[1])
        }
        None => "/".to_owned(),
        Some("metadata") => format!("/{}", lower.join("/")),
        Some(_) => match lower
            .iter()
            .position(|s| matches!(s.as_str(), "oauth2" | "v2.0" | "discovery" | "adminconsent"))
        {
            Some(at) => format!("/{{tenant}}/{}", path[at..].join("/")),
            None => format!("/{}", path.join("/")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn of(target: &str) -> String {
        let r = ApiRequest::parse(Method::GET, target).unwrap();
        template(r.version.as_str(), &r.path)
    }

    #[test]
    fn templates_hold_no_ids() {
        assert_eq!(
            of("/v1.0/users/a%40b.c/mailfolders/AAMk=/messages/delta?$skiptoken=x"),
            "/v1.0/users/{id}/mailFolders/{id}/messages/delta"
        );
        assert_eq!(
            of("/v1.0/users/x/messages/y/$value"),
            "/v1.0/users/{id}/messages/{id}/$value"
        );
        assert_eq!(
            of("/v1.0/drives/b!1/root:/a/users/b:/content"),
            "/v1.0/drives/{id}/root:/{path}:/content"
        );
        assert_eq!(
            of("/v1.0/drives/b!1/root:/a/b"),
            "/v1.0/drives/{id}/root:/{path}"
        );
        assert_eq!(
            of("/v1.0/drives/b!1/items/01AB:/c.txt:/createUploadSession"),
            "/v1.0/drives/{id}/items/{id}:/{path}:/createUploadSession"
        );
        assert_eq!(
            of("/beta/users/x/mailFolders/inbox"),
            "/beta/users/{id}/mailFolders/{id}"
        );
        assert_eq!(
            of("/v1.0/drives/b!1/root/delta(token='latest')"),
            "/v1.0/drives/{id}/root/delta()"
        );
        let raw = |p: &[&str]| raw_template(&p.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            raw(&["tid", "oauth2", "v2.0", "token"]),
            "/{tenant}/oauth2/v2.0/token"
        );
        assert_eq!(raw(&["_download", "x", "y"]), "/_download/{id}");
    }
}

//! Usage reports: `/reports/getMailboxUsageDetail(period='D7')`, a CSV behind a redirect.
//!
//! The address of the CSV takes no token and lives for minutes. The file begins with a byte order mark,
//! as the service's does.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::api::{ApiRequest, ApiResponse, RawRequest};
use crate::clock::rfc3339;
use crate::users::{User, denied};
use crate::world::World;

const NEEDED: &[&str] = &["Reports.Read.All"];
const PERIODS: &[u32] = &[7, 30, 90, 180];
/// Seconds the address of a report lives.
const LIFETIME: i64 = 300;
const COLUMNS: &str = "Report Refresh Date,User Principal Name,Display Name,Is Deleted,Deleted Date,Created Date,Last Activity Date,Item Count,Storage Used (Byte),Issue Warning Quota (Byte),Prohibit Send Quota (Byte),Prohibit Send/Receive Quota (Byte),Deleted Item Count,Deleted Item Size (Byte),Deleted Item Quota (Byte),Has Archive,Report Period";
/// About what a message takes.
const MESSAGE: u64 = 24_000;

#[derive(Serialize, Deserialize)]
struct Ticket {
    days: u32,
    expires: i64,
}

/// Answers what is below `/reports`; `None` for anything else.
pub fn handle(world: &World, request: &ApiRequest) -> Option<ApiResponse> {
    let path = request.path_ref();
    let ["reports" | "Reports", name] = path[..] else {
        return None;
    };
    let lower = name.to_ascii_lowercase();
    let days = lower
        .strip_prefix("getmailboxusagedetail(period='d")?
        .strip_suffix("')")?;
    Some(match days.parse().ok().filter(|d| PERIODS.contains(d)) {
        _ if request.method != Method::GET => ApiResponse::method_not_allowed(),
        _ if !request.caller.has_any(NEEDED) => denied(),
        None => ApiResponse::error(400, "BadRequest", "The period is D7, D30, D90 or D180."),
        Some(days) => {
            let expires = world.clock.now() + LIFETIME;
            let ticket = world.tokens.seal("report", &Ticket { days, expires });
            ApiResponse::redirect(&format!("{}/_report/{ticket}", request.base_url))
        }
    })
}

/// A request to an address below `/_report/`.
pub fn handle_raw(world: &World, request: &RawRequest) -> ApiResponse {
    let ticket = request.path.get(1).map(String::as_str).unwrap_or_default();
    match world.tokens.open::<Ticket>("report", ticket) {
        Ok(ticket) if ticket.expires > world.clock.now() => {
            let text = csv(world, ticket.days);
            ApiResponse::bytes(200, text, "application/octet-stream").with_header(
                "content-disposition",
                "attachment; filename=\"MailboxUsageDetail.csv\"",
            )
        }
        _ => ApiResponse::error(
            403,
            "AccessDenied",
            "The address of the report has expired.",
        ),
    }
}

fn csv(world: &World, days: u32) -> String {
    let day = |seconds: i64| rfc3339(seconds)[..10].to_owned();
    // Reports are some two days late.
    let refreshed = day(world.clock.now() - 2 * 86_400);
    let mut out = format!("\u{feff}{COLUMNS}\r\n");
    let users = world.users();
    for user in users.iter().filter(|u| u.mailbox.is_some()) {
        let (items, deleted) = counts(world, user);
        let archive = match world.archives.get(&user.id) {
            Some(_) => "True",
            None => "False",
        };
        let name = user.display_name.replace('"', "\"\"");
        out.push_str(&format!(
            "{refreshed},{},\"{name}\",False,,2024-01-02,{refreshed},{items},{},105226698752,106300440576,107374182400,{deleted},{},32212254720,{archive},{days}\r\n",
            user.upn,
            items * MESSAGE,
            deleted * MESSAGE,
        ));
    }
    out
}

/// Messages in a mailbox, and those of them in Recoverable Items.
fn counts(world: &World, user: &User) -> (u64, u64) {
    let Some(mailbox) = world.mail.get(&user.id) else {
        return (0, 0);
    };
    let mailbox = mailbox.lock();
    let dumpster = mailbox.well_known("recoverableitemsroot");
    let live = mailbox.folders.iter().filter(|f| !f.deleted);
    live.fold((0, 0), |(items, deleted), folder| {
        let count = folder.count() as u64;
        match mailbox.is_below(folder.no, dumpster) {
            true => (items, deleted + count),
            false => (items + count, deleted),
        }
    })
}

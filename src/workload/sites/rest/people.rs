//! People and groups by their numbers in a site collection. A site only knows who was there before; whoever is
//! in the directory becomes known by being asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Web;
use crate::graph::{Call, ErrorClass, GraphError, odata_quote};

const ENSURE: &str = "/_api/web/ensureuser";
const GROUP: &str = "/_api/web/sitegroups/getbyname('{name}')";

/// `PrincipalType` of a group of the site collection.
const SITE_GROUP: u64 = 8;
/// For so long an answer is believed, and so many are.
const FRESH: Duration = Duration::from_secs(600);
const MAX: usize = 100_000;

/// Numbers that were asked for.
#[derive(Default)]
pub(in crate::workload::sites) struct People {
    /// By site and login name; `None`: nobody is called so.
    known: Mutex<HashMap<(String, String), (Instant, Option<u64>)>>,
}

/// The login name of somebody of the directory.
pub(in crate::workload::sites) fn login_of(email: &str) -> String {
    format!("i:0#.f|membership|{}", email.to_lowercase())
}

impl People {
    /// The number of somebody who is called so, or of a group of the directory.
    pub async fn number(&self, web: &Web<'_>, login: &str) -> Result<Option<u64>, GraphError> {
        let call = Call::post(ENSURE, &[], json!({ "logonName": login })).repeatable();
        self.ask(web, login, call).await
    }

    /// The number of who has a role, as the record tells it.
    pub async fn principal(
        &self,
        web: &Web<'_>,
        assignment: &Value,
    ) -> Result<Option<u64>, GraphError> {
        let text = |property: &str| assignment[property].as_str().unwrap_or_default();
        if assignment["principalType"] != SITE_GROUP {
            return self.number(web, text("loginName")).await;
        }
        let name = text("title");
        let call = Call::get(GROUP, &[&odata_quote(name)]).query("$select", "Id");
        self.ask(web, name, call).await
    }

    async fn ask(&self, web: &Web<'_>, name: &str, call: Call) -> Result<Option<u64>, GraphError> {
        if name.is_empty() {
            return Ok(None);
        }
        let key = (web.address.to_owned(), name.to_lowercase());
        if let Some((at, number)) = self.known.lock().get(&key)
            && at.elapsed() < FRESH
        {
            return Ok(*number);
        }
        let number = match web.ask(call).await {
            Ok(told) => told["Id"].as_u64(),
            Err(e) if e.class.is_temporary() || e.class == ErrorClass::Denied => return Err(e),
            // Whatever it says, there is nobody of that name.
            Err(e) => {
                tracing::debug!(%e, "somebody is not known to a site");
                None
            }
        };
        let mut known = self.known.lock();
        if known.len() >= MAX {
            known.clear();
        }
        known.insert(key, (Instant::now(), number));
        Ok(number)
    }
}

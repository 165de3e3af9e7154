//! Reads all settings of a mailbox, and renders them.

use serde_json::{Value, json};

use super::files::{CATEGORIES, FILES, File, OVERRIDES, RULES, SETTINGS, pretty};
use super::{Settings, now};
use crate::graph::{Call, ErrorClass, GraphError};
use crate::workload::{
    Account, Alive, Change, Content, Cursor, FeedError, ItemError, LiveEntry, Page, SINCE,
};

/// Entries of one list; more is not a mailbox.
const MAX_ENTRIES: usize = 10_000;

/// The answers that all files are made from, by route.
type Answers = Vec<(&'static str, Result<Value, GraphError>)>;

impl Settings {
    pub(super) async fn all_page(&self, account: &Account) -> Result<Page, FeedError> {
        let answers = self.read(account).await?;
        let refused = answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().err());
        let mut refused: Vec<&GraphError> = refused.collect();
        // One of them is an item that fails; all of them, or a service in trouble, is the feed.
        refused.sort_by_key(|e| !(e.class.is_temporary() || e.class == ErrorClass::Auth));
        if let Some(e) = refused.first()
            && (e.class.is_temporary()
                || e.class == ErrorClass::Auth
                || refused.len() == answers.len())
        {
            return Err(FeedError::Failed((*e).clone()));
        }
        let changes = FILES.iter().map(|file| {
            let id = id_of(account, *file);
            match answer_for(&answers, *file) {
                Ok(value) => Change::Item {
                    record: record(&id, *file, value),
                    id,
                    parent: None,
                },
                Err(e) => Change::Skipped {
                    id,
                    parent: None,
                    name: file.name().to_owned(),
                    class: e.class,
                    reason: e.to_string(),
                },
            }
        });
        Ok(Page {
            changes: changes.collect(),
            cursor: Cursor::Done("all".to_owned()),
            full: true,
        })
    }

    /// Everything, in one batch.
    async fn read(&self, account: &Account) -> Result<Answers, GraphError> {
        let routes = [SETTINGS, CATEGORIES, RULES, OVERRIDES];
        let calls: Vec<Call> = routes
            .iter()
            .map(|route| self.call(account, route))
            .collect();
        let parts = self.client.batch(Self::scope(account), &calls).await?;
        let mut answers = Vec::with_capacity(routes.len());
        for ((route, call), part) in routes.into_iter().zip(calls).zip(parts) {
            let answer = match part {
                Ok(part) if route == SETTINGS => Ok(part.body),
                // More than one page: seldom enough to ask again.
                Ok(part) if part.body["@odata.nextLink"].is_string() => self.entries(call).await,
                Ok(mut part) => Ok(part.body["value"].take()),
                Err(e) => Err(e),
            };
            answers.push((route, answer));
        }
        Ok(answers)
    }

    fn call(&self, account: &Account, route: &'static str) -> Call {
        let call = Call::get(route, &[&account.id]).patient_404(1);
        let call = match route {
            SETTINGS => call,
            _ => call.query("$top", "500"),
        };
        Self::of(account, call)
    }

    async fn entries(&self, call: Call) -> Result<Value, GraphError> {
        let all = self.client.pages(call, MAX_ENTRIES).await?;
        Ok(Value::Array(all))
    }

    /// What one file says now.
    pub(super) async fn live(&self, account: &Account, file: File) -> Result<Value, GraphError> {
        let call = self.call(account, file.route());
        let answer = match file.is_list() {
            true => self.entries(call).await?,
            false => self.client.json(&call).await?,
        };
        Ok(file.value(&answer))
    }

    pub(super) async fn look_up(
        &self,
        account: &Account,
        ids: &[String],
    ) -> Result<Vec<Alive>, GraphError> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let file = FILES.into_iter().find(|file| id_of(account, *file) == *id);
            found.push(match file {
                None => Alive::Gone,
                Some(file) => match self.live(account, file).await {
                    Ok(value) => Alive::Here {
                        parent: None,
                        record: record(id, file, value),
                    },
                    Err(e) if e.class == ErrorClass::NotFound => Alive::Gone,
                    Err(e) => Alive::Unknown(e.into()),
                },
            });
        }
        Ok(found)
    }

    /// The file. Rules are completed with the paths of the folders that they move mail to.
    pub(super) async fn render(
        &self,
        account: &Account,
        record: &mut Value,
    ) -> Result<Content, ItemError> {
        let name = record["name"].as_str().unwrap_or_default();
        if File::named(name) == Some(File::Rules) {
            let folders = self.folders_of(account, &record["value"]).await?;
            record["folders"] = Value::Object(folders);
        }
        record[SINCE] = json!(now());
        Ok(Content::File(content(record).into()))
    }

    /// Only what a restore could but replace: into lists it merges, so these are never in its way.
    pub(super) async fn list_live(
        &self,
        account: &Account,
        path: &[String],
    ) -> Result<Vec<LiveEntry>, GraphError> {
        if !path.is_empty() {
            let what = format!("there is no folder {}", path.join("/"));
            return Err(GraphError::local(ErrorClass::NotFound, "settings", what));
        }
        let answer = self.client.json(&self.call(account, SETTINGS)).await?;
        let files = FILES.into_iter().filter(|file| !file.is_list());
        Ok(files
            .map(|file| self.entry(account, file, file.value(&answer)))
            .collect())
    }

    pub(super) fn entry(&self, account: &Account, file: File, value: Value) -> LiveEntry {
        let id = id_of(account, file);
        let record = record(&id, file, value);
        LiveEntry {
            name: file.name().to_owned(),
            is_dir: false,
            size: content(&record).len() as u64,
            mtime: now(),
            id,
            record,
        }
    }
}

/// The bytes of a file.
fn content(record: &Value) -> Vec<u8> {
    match record.get("folders") {
        Some(folders) => pretty(&json!({ "rules": record["value"], "folders": folders })),
        None => pretty(&record["value"]),
    }
}

/// Settings have no ids: one for each file of an account.
fn id_of(account: &Account, file: File) -> String {
    format!("{}/settings/{}", account.id, file.name())
}

fn record(id: &str, file: File, value: Value) -> Value {
    json!({ "id": id, "name": file.name(), "value": value })
}

fn answer_for(answers: &Answers, file: File) -> Result<Value, GraphError> {
    let answer = answers.iter().find(|(route, _)| *route == file.route());
    match answer {
        Some((_, Ok(answer))) => Ok(file.value(answer)),
        Some((_, Err(e))) => Err(e.clone()),
        None => Ok(Value::Null),
    }
}

//! What only SharePoint's own interface can write into an item: hyperlinks; and who made and changed it, and
//! when, which without that is the restore, now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Web;
use super::moment::Form;
use super::people::{People, login_of};
use crate::graph::{Call, ErrorClass, GraphError};

const ITEM: &str = "/_api/web/lists(guid'{list}')/items({item})";
const FORM: &str = "/_api/web/lists(guid'{list}')/items({item})/ValidateUpdateListItem";
const REGION: &str = "/_api/web/RegionalSettings";

/// For so long it is believed how a site writes times, or that it takes none.
const FRESH: Duration = Duration::from_secs(600);
/// Forms take no seconds.
const EXACT: SignedDuration = SignedDuration::from_secs(60);

/// Where an item is.
#[derive(Clone, Copy)]
pub(in crate::workload::sites) struct Place<'a> {
    pub list: &'a str,
    pub item: &'a str,
}

/// Who made an item and who changed it last, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workload::sites) struct Signature {
    created: Timestamp,
    modified: Timestamp,
    /// Login names; `None`: an application, which nobody can be asked to be.
    author: Option<String>,
    editor: Option<String>,
}

impl Signature {
    /// What the record of an item says.
    pub fn of(record: &Value) -> Option<Self> {
        let time = |property: &str| record[property].as_str()?.parse().ok();
        Some(Self {
            created: time("createdDateTime")?,
            modified: time("lastModifiedDateTime")?,
            author: login(record, "Author", "createdBy"),
            editor: login(record, "Editor", "lastModifiedBy"),
        })
    }

    /// Whether an item says the same of its times.
    fn is_of(&self, item: &Value) -> bool {
        Self::of(item).is_some_and(|other| {
            let near = |a: Timestamp, b: Timestamp| a.duration_since(b).abs() < EXACT;
            near(self.created, other.created) && near(self.modified, other.modified)
        })
    }
}

fn login(record: &Value, column: &str, by: &str) -> Option<String> {
    let number = record["fields"][format!("{column}LookupId")].as_str();
    let known = number.and_then(|number| record["people"][number]["login"].as_str());
    let known = known.filter(|login| login.starts_with("i:0#.f|"));
    let email = record[by]["user"]["email"].as_str();
    known
        .map(str::to_owned)
        .or_else(|| email.filter(|email| !email.is_empty()).map(login_of))
}

/// How a site takes times.
#[derive(Clone)]
enum Way {
    Form {
        form: Form,
        /// An item was seen to have got the times that were written.
        proven: bool,
    },
    /// It does not, for a reason.
    None(String),
}

/// How sites take times, as far as it was asked.
#[derive(Default)]
pub(in crate::workload::sites) struct Ways {
    known: Mutex<HashMap<String, (Instant, Way)>>,
}

impl Ways {
    fn set(&self, web: &Web<'_>, way: Way) {
        let mut known = self.known.lock();
        known.retain(|_, (at, _)| at.elapsed() < FRESH);
        known.insert(web.address.to_owned(), (Instant::now(), way));
    }

    async fn of(&self, web: &Web<'_>) -> Result<Way, GraphError> {
        if let Some((at, way)) = self.known.lock().get(web.address)
            && at.elapsed() < FRESH
        {
            return Ok(way.clone());
        }
        let way = match web.ask(Call::get(REGION, &[])).await {
            Ok(settings) => match Form::of(&settings) {
                Some(form) => Way::Form {
                    form,
                    proven: false,
                },
                None => Way::None("the site does not write times as others do".to_owned()),
            },
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => Way::None(e.to_string()),
        };
        self.set(web, way.clone());
        Ok(way)
    }
}

/// What signing needs to know of sites.
pub(in crate::workload::sites) struct Signing<'a> {
    pub people: &'a People,
    pub ways: &'a Ways,
}

impl Web<'_> {
    /// Sets hyperlinks, by the internal names of their columns. Makes a version.
    pub async fn set_links(
        &self,
        at: Place<'_>,
        links: &Map<String, Value>,
    ) -> Result<(), GraphError> {
        let properties = links
            .iter()
            .map(|(name, link)| (property(name), link.clone()));
        let body = Value::Object(properties.collect()).to_string();
        let call = Call::new(Method::POST, ITEM, &[at.list, at.item])
            .header("x-http-method", "MERGE")
            .header("if-match", "*")
            .body(Bytes::from(body), "application/json;odata=nometadata")
            .repeatable();
        self.ask(call).await.map(drop)
    }

    /// Says of an item who made and changed it and when. Makes no version, and has to come last: any other
    /// change says again that it was made by who made that.
    ///
    /// `reread` tells the item as Graph has it: of the first one in a site it is looked at whether its times
    /// were understood, and if not, no others are written there.
    /// Returns what could not be said.
    pub async fn sign(
        &self,
        signing: Signing<'_>,
        at: Place<'_>,
        signature: &Signature,
        reread: impl Future<Output = Result<Value, GraphError>>,
    ) -> Result<Vec<String>, GraphError> {
        let (form, proven) = match signing.ways.of(self).await? {
            Way::Form { form, proven } => (form, proven),
            Way::None(why) => return Ok(vec![unsigned(&why)]),
        };
        let mut notes = Vec::new();
        let mut values = vec![
            value("Created", form.write(signature.created)),
            value("Modified", form.write(signature.modified)),
        ];
        let people = [("Author", &signature.author), ("Editor", &signature.editor)];
        for (column, login) in people {
            let Some(login) = login else { continue };
            match signing.people.number(self, login).await {
                Ok(Some(_)) => {
                    values.push(value(column, json!([{ "Key": login }]).to_string()));
                }
                Ok(None) => {
                    let who = login.rsplit('|').next().unwrap_or(login);
                    notes.push(format!("{column}: {who} is not known to this site"));
                }
                Err(e) if e.class == ErrorClass::Denied => {
                    signing.ways.set(self, Way::None(e.to_string()));
                    return Ok(vec![unsigned(&e.to_string())]);
                }
                Err(e) => return Err(e),
            }
        }
        match self.fill_in(at, values).await {
            Ok(refused) if refused.is_empty() => {}
            Ok(refused) => {
                notes.extend(refused.iter().map(|why| unsigned(why)));
                return Ok(notes);
            }
            Err(e) if e.class.is_temporary() => return Err(e),
            Err(e) => {
                if e.class == ErrorClass::Denied {
                    signing.ways.set(self, Way::None(e.to_string()));
                }
                return Ok(vec![unsigned(&e.to_string())]);
            }
        }
        if !proven {
            let way = match signature.is_of(&reread.await?) {
                true => Way::Form { form, proven: true },
                false => {
                    let why = "the site understood other times than it was told".to_owned();
                    notes.push(unsigned(&why));
                    Way::None(why)
                }
            };
            signing.ways.set(self, way);
        }
        Ok(notes)
    }

    /// Fills in a form without making a version. Returns what was refused.
    async fn fill_in(&self, at: Place<'_>, values: Vec<Value>) -> Result<Vec<String>, GraphError> {
        let body = json!({ "formValues": values, "bNewDocumentUpdate": true, "datesInUTC": true });
        let call = Call::post(FORM, &[at.list, at.item], body).repeatable();
        let told = self.ask(call).await?;
        let rows = told["value"].as_array().into_iter().flatten();
        let refused = rows.filter(|row| row["HasException"] == true);
        let why = refused.map(|row| {
            let text = |property: &str| row[property].as_str().unwrap_or_default();
            format!("{}: {}", text("FieldName"), text("ErrorMessage"))
        });
        Ok(why.collect())
    }
}

/// What the column is called as a property: no name of those begins with an underscore.
fn property(column: &str) -> String {
    match column.starts_with('_') {
        true => format!("OData_{column}"),
        false => column.to_owned(),
    }
}

fn value(name: &str, value: String) -> Value {
    json!({ "FieldName": name, "FieldValue": value })
}

fn unsigned(why: &str) -> String {
    format!("who made it and when could not be set: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_the_record_says() {
        let record = json!({
            "createdDateTime": "2024-01-02T03:04:05Z", "lastModifiedDateTime": "2025-01-02T03:04:05Z",
            "createdBy": { "user": { "email": "Eve@contoso.com" } },
            "lastModifiedBy": { "application": { "id": "a" }, "user": { "displayName": "SharePoint App" } },
            "fields": { "AuthorLookupId": "6", "EditorLookupId": "7" },
            "people": { "6": { "login": "i:0#.f|membership|bob@contoso.com" },
                        "7": { "login": "i:0i.t|00000003|app@sharepoint" } },
        });
        let signature = Signature::of(&record).unwrap();
        assert_eq!(
            signature.author.as_deref(),
            Some("i:0#.f|membership|bob@contoso.com")
        );
        assert_eq!(signature.editor, None);
        let mut other = record.clone();
        other["createdDateTime"] = json!("2024-01-02T03:04:00Z");
        assert!(signature.is_of(&other));
        other["createdDateTime"] = json!("2024-02-01T03:04:00Z");
        assert!(!signature.is_of(&other));
        other["fields"] = json!({});
        let by_email = Signature::of(&other).unwrap().author;
        assert_eq!(
            by_email.as_deref(),
            Some("i:0#.f|membership|eve@contoso.com")
        );
        assert_eq!(Signature::of(&json!({ "createdDateTime": "x" })), None);
    }
}

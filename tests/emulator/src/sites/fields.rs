//! Values of items, as `fields` tells them.
//!
//! They are kept by the columns' internal names: texts, numbers, booleans, times (UTC) and choices as
//! themselves, several choices as a list, references to people and to other lists' items as numbers or lists
//! of numbers, hyperlinks, places and terms as the objects that Graph shows. What a formula makes is kept
//! too, as SharePoint does.

use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::drive::{Actor, Failure, Fields};

use super::column::{Column, Kind};
use super::rows::{Row, Rows};
use super::tenant::{At, Tenant};
use super::web::Web;

/// How many columns that are looked up elsewhere can be named at once.
const MAX_LOOKUPS: usize = 12;

/// A list, where it is, and its items: what values are read in.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub tenant: &'a Tenant,
    pub at: At,
    pub rows: Rows<'a>,
}

impl<'a> Place<'a> {
    pub fn web(&self) -> &'a Web {
        self.tenant.web(self.at)
    }

    /// Number of whoever did something, in the list of people.
    pub fn number(&self, actor: &Actor) -> u64 {
        match actor {
            Actor::Person(person) => self.web().first_user + person.index as u64,
            Actor::App(_) => 1_073_741_822,
            Actor::Owner | Actor::System => 1_073_741_823,
        }
    }

    /// Name and address of somebody the site knows.
    fn person(&self, number: u64) -> Option<(String, String)> {
        let item = self.tenant.people(self.at)?.items()?.get(number)?;
        let text = |name: &str| {
            let value = item.fields.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Some((text("Title"), text("EMail")))
    }

    /// What another list's item is called.
    fn looked_up(&self, column: &Column, list: u128, number: u64) -> Value {
        let Some(target) = self.web().lists.iter().find(|l| l.guid == list) else {
            return Value::Null;
        };
        let name = column
            .facet
            .as_ref()
            .and_then(|(_, f)| f["columnName"].as_str());
        let item = target.items().and_then(|items| items.get(number));
        item.and_then(|i| i.fields.get(name.unwrap_or("Title")).cloned())
            .unwrap_or_default()
    }

    /// The values of an item: all that are shown, or those that were named.
    pub fn fields(&self, row: &Row, named: Option<&[String]>) -> Result<Fields, Failure> {
        let mut out = Fields::new();
        out.insert("@odata.etag".into(), row.etag_text().into());
        let own = self.own(row);
        match named {
            None => {
                out.extend(self.system(row));
                for column in self.columns().filter(|c| !c.hidden) {
                    self.value(column, &own, false, &mut out);
                }
                out.insert("id".into(), row.id.to_string().into());
            }
            Some(named) => {
                check_lookups(&self.columns().collect::<Vec<_>>(), named)?;
                let system = self.system(row);
                for name in named {
                    self.one(name, row, &own, &system, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    fn columns(&self) -> impl Iterator<Item = &'a Column> + use<'a> {
        self.rows.list().columns.iter()
    }

    /// Kept values; those of a page's file besides.
    fn own(&self, row: &Row) -> Fields {
        let mut own = row.fields.clone().into_owned();
        own.remove("ContentTypeId");
        if let Some(page) = self.web().pages.get(&row.guid) {
            own.entry("Title")
                .or_insert_with(|| page.title.clone().into());
        }
        own
    }

    /// A value that was asked for by name, whether it is shown or not.
    fn one(
        &self,
        name: &str,
        row: &Row,
        own: &Fields,
        system: &Fields,
        out: &mut Fields,
    ) -> Result<(), Failure> {
        if name.eq_ignore_ascii_case("id") {
            out.insert("id".into(), row.id.to_string().into());
            return Ok(());
        }
        if let Some((key, value)) = system.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)) {
            out.insert(key.clone(), value.clone());
            return Ok(());
        }
        if let Some(value) = self.hidden(name, row) {
            out.insert(name.to_owned(), value);
            return Ok(());
        }
        let stem = name.strip_suffix("LookupId").unwrap_or(name);
        let column = self
            .columns()
            .find(|c| c.name.eq_ignore_ascii_case(name) || c.name.eq_ignore_ascii_case(stem))
            .ok_or_else(|| Failure::invalid(format!("Field '{name}' is not recognized")))?;
        self.value(column, own, column.name.eq_ignore_ascii_case(name), out);
        Ok(())
    }

    /// What is not shown unless it is asked for by name.
    fn hidden(&self, name: &str, row: &Row) -> Option<Value> {
        match (name, self.web().pages.get(&row.guid)) {
            ("GUID", _) => Some(super::web::lower(row.guid).into()),
            ("FileRef", _) => {
                let drive = self.rows.drive()?;
                let path = drive.path(row.file.as_ref()?.index).join("/");
                Some(format!("{}/{}/{path}", self.web().path, drive.home.folder).into())
            }
            ("CanvasContent1", Some(page)) => Some(page.canvas_content().into()),
            ("LayoutWebpartsContent", Some(page)) => Some(page.layout_content().into()),
            _ => None,
        }
    }

    /// The value of one column. `shown`: a reference tells what it leads to, and not its number.
    fn value(&self, column: &Column, own: &Fields, shown: bool, out: &mut Fields) {
        // A term is written through a hidden column beside it, which has nothing to tell.
        let Some(kept) = own.get(&column.name).filter(|v| !v.is_null()) else {
            return;
        };
        let key = column.name.clone();
        let numbers = || {
            kept.as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
        };
        let value = match &column.kind {
            Kind::Lookup { list, many: false } => {
                let number = kept.as_u64().unwrap_or_default();
                if shown {
                    out.insert(key, self.looked_up(column, *list, number));
                } else {
                    out.insert(format!("{key}LookupId"), number.to_string().into());
                }
                return;
            }
            Kind::Person { many: false } => {
                let number = kept.as_u64().unwrap_or_default();
                if shown {
                    out.insert(key, self.person(number).map(|(name, _)| name).into());
                } else {
                    out.insert(format!("{key}LookupId"), number.to_string().into());
                }
                return;
            }
            Kind::Lookup { list, many: true } => numbers()
                .map(|n| json!({"LookupId": n, "LookupValue": self.looked_up(column, *list, n)}))
                .collect(),
            Kind::Person { many: true } => numbers()
                .map(|n| {
                    let (name, email) = self.person(n).unwrap_or_default();
                    json!({"LookupId": n, "LookupValue": name, "Email": email})
                })
                .collect(),
            _ => kept.clone(),
        };
        out.insert(key, value);
    }

    /// What the service itself keeps of every item.
    fn system(&self, row: &Row) -> Fields {
        let list = self.rows.list();
        let kind = list.content_types.iter().find(|t| t.id == row.content_type);
        let app = |actor: &Actor| matches!(actor, Actor::App(_)).then(|| "22".to_owned());
        let mut out = Fields::new();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put(
            "ContentType",
            kind.map_or("Item", |t| t.name.as_str()).into(),
        );
        put("Modified", rfc3339(row.modified).into());
        put("Created", rfc3339(row.created).into());
        put(
            "AuthorLookupId",
            self.number(row.created_by).to_string().into(),
        );
        put(
            "EditorLookupId",
            self.number(row.modified_by).to_string().into(),
        );
        put("_UIVersionString", format!("{}.0", row.version).into());
        let (mut folders, mut files) = (0, 0);
        match &row.file {
            Some(file) => {
                (folders, files) = file.children;
                put("FileLeafRef", file.name.into());
                put("LinkFilename", file.name.into());
                put("LinkFilenameNoMenu", file.name.into());
                if !file.folder {
                    put("FileSizeDisplay", file.size.to_string().into());
                    let icon = file.name.rsplit_once('.').map_or("", |(_, e)| e);
                    put("DocIcon", icon.into());
                }
            }
            None => {
                put("Attachments", row.has_attachments.into());
                if let Some(title) = row.fields.get("Title") {
                    put("LinkTitle", title.clone());
                    put("LinkTitleNoMenu", title.clone());
                }
            }
        }
        put("Edit", "".into());
        put("ItemChildCount", files.to_string().into());
        put("FolderChildCount", folders.to_string().into());
        for empty in [
            "_ComplianceFlags",
            "_ComplianceTag",
            "_ComplianceTagWrittenTime",
            "_ComplianceTagUserId",
        ] {
            put(empty, "".into());
        }
        for (name, by) in [
            ("AppAuthorLookupId", row.created_by),
            ("AppEditorLookupId", row.modified_by),
        ] {
            if let Some(number) = app(by) {
                put(name, number.into());
            }
        }
        out
    }
}

/// Refuses to name more than twelve columns that are looked up elsewhere.
fn check_lookups(columns: &[&Column], named: &[String]) -> Result<(), Failure> {
    let is_lookup = |name: &&String| {
        let stem = name.strip_suffix("LookupId").unwrap_or(name);
        columns
            .iter()
            .any(|c| c.name.eq_ignore_ascii_case(stem) && c.is_lookup())
    };
    if named.iter().filter(is_lookup).count() <= MAX_LOOKUPS {
        return Ok(());
    }
    Err(Failure::invalid(
        "The query cannot be completed because the number of lookup columns it contains exceeds the lookup \
         column threshold.",
    ))
}

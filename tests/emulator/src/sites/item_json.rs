//! Items of lists as Graph's JSON.

use serde_json::{Map, Value, json};

use crate::api::ApiRequest;
use crate::clock::rfc3339;
use crate::drive::render::{self, Select, View, identity_set};
use crate::drive::{self, Failure};
use crate::world::World;

use super::expand::{self, Expand};
use super::fields::Place;
use super::rows::Row;
use super::web::lower;

/// What a request wants to see of an item.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub select: Select,
    /// Inline `fields`: all of them, or those that are named.
    pub fields: Option<Option<Vec<String>>>,
    pub drive_item: bool,
    pub versions: bool,
}

impl Wanted {
    pub fn of(request: &ApiRequest) -> Result<Wanted, Failure> {
        Wanted::parse(request.option("select"), request.option("expand"))
    }

    pub fn parse(select: Option<&str>, expand: Option<&str>) -> Result<Wanted, Failure> {
        let mut wanted = Wanted {
            select: Select::parse(select),
            ..Wanted::default()
        };
        wanted.expand(&expand::parse(expand))?;
        Ok(wanted)
    }

    /// What an `$expand` inside of another asks for.
    pub fn inner(expand: &Expand) -> Result<Wanted, Failure> {
        let select = expand.select.as_ref().map(|names| names.join(","));
        let mut wanted = Wanted {
            select: Select::parse(select.as_deref()),
            ..Wanted::default()
        };
        wanted.expand(&expand.inner)?;
        Ok(wanted)
    }

    fn expand(&mut self, all: &[Expand]) -> Result<(), Failure> {
        for one in all {
            match one.name.as_str() {
                "fields" => self.fields = Some(one.select.clone()),
                "driveitem" => self.drive_item = true,
                "versions" => self.versions = true,
                "analytics" | "permissions" | "documentsetversions" => {
                    return Err(Failure::not_supported(
                        "The requested expand is not supported for list items.",
                    ));
                }
                other => {
                    let message = format!(
                        "Could not find a property named '{other}' on type 'microsoft.graph.listItem'."
                    );
                    return Err(Failure::invalid(message).inner("invalidQueryOption"));
                }
            }
        }
        Ok(())
    }
}

/// One item.
pub fn item(
    world: &World,
    request: &ApiRequest,
    place: &Place,
    row: &Row,
    wanted: &Wanted,
) -> Result<Value, Failure> {
    let (web, list) = (place.web(), place.rows.list());
    let mut o = Map::new();
    let home = place
        .rows
        .drive()
        .map_or_else(|| web.home("", "", false), |d| d.home.clone());
    o.insert("@odata.etag".into(), row.etag_text().into());
    o.insert("id".into(), row.id.to_string().into());
    o.insert("eTag".into(), row.etag_text().into());
    o.insert("createdDateTime".into(), rfc3339(row.created).into());
    o.insert("lastModifiedDateTime".into(), rfc3339(row.modified).into());
    o.insert("createdBy".into(), identity_set(&home, row.created_by));
    o.insert(
        "lastModifiedBy".into(),
        identity_set(&home, row.modified_by),
    );
    o.insert("webUrl".into(), web_url(place, row).into());
    o.insert(
        "parentReference".into(),
        json!({"id": lower(list.guid ^ 1), "siteId": web.id()}),
    );
    o.insert("contentType".into(), content_type(place, row));
    if wanted.select.named("sharepointIds") {
        let mut ids = web.sharepoint_ids();
        ids["listId"] = lower(list.guid).into();
        ids["listItemId"] = row.id.to_string().into();
        ids["listItemUniqueId"] = lower(row.guid).into();
        o.insert("sharepointIds".into(), ids);
    }
    wanted.select.apply(&mut o);
    if let Some(named) = &wanted.fields {
        let context = format!("{}('{}')/fields/$entity", items_context(place), row.id);
        o.insert(
            "fields@odata.context".into(),
            request.context(&context).into(),
        );
        let fields = place.fields(row, named.as_deref())?;
        o.insert("fields".into(), Value::Object(fields));
    }
    if let (true, Some(drive), Some(file)) = (wanted.drive_item, place.rows.drive(), &row.file) {
        let all = Select::default();
        let mut items = drive::render_all(world, request, drive, &[file.index], &all, View::Plain)?;
        o.insert("driveItem".into(), items.remove(0));
    }
    if wanted.versions {
        let versions = place.rows.versions(row.id);
        let versions: Vec<Value> = versions.iter().map(|v| version(&home, v)).collect();
        o.insert("versions".into(), versions.into());
    }
    Ok(Value::Object(o))
}

/// What is left of an item that was deleted.
pub fn tombstone(place: &Place, row: &Row) -> Value {
    json!({
        "id": row.id.to_string(), "deleted": {"state": "deleted"}, "contentType": content_type(place, row),
        "parentReference": {"siteId": place.web().id()},
    })
}

fn content_type(place: &Place, row: &Row) -> Value {
    let types = &place.rows.list().content_types;
    let name = types
        .iter()
        .find(|t| t.id == row.content_type)
        .map_or("Item", |t| t.name.as_str());
    json!({"id": row.content_type, "name": name})
}

fn web_url(place: &Place, row: &Row) -> String {
    match (place.rows.drive(), &row.file) {
        (Some(drive), Some(file)) => render::web_url(drive, file.index),
        _ => format!("{}/{}_.000", place.rows.list().url(place.web()), row.id),
    }
}

/// A version of an item, without its values.
pub fn version(home: &crate::drive::Home, row: &Row) -> Value {
    let id = format!("{}.0", row.version);
    json!({
        "id": id, "lastModifiedDateTime": rfc3339(row.modified),
        "lastModifiedBy": identity_set(home, row.modified_by),
        "publication": {"level": "published", "versionId": id},
    })
}

/// `sites('...')/lists('...')/items` for contexts.
pub fn items_context(place: &Place) -> String {
    format!(
        "sites('{}')/lists('{}')/items",
        place.web().id().replace(',', "%2C"),
        lower(place.rows.list().guid)
    )
}

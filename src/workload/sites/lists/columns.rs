//! Columns of a list: which of them a person filled in, and how one is made again elsewhere. Pure.

use serde_json::{Map, Value, json};

/// The hidden column that tells which restore put an item there: a [`Marker`](crate::workload::Marker).
pub const MARKER: &str = "tenantfs";

/// Facets that Graph makes columns from.
const FACETS: [&str; 11] = [
    "boolean",
    "calculated",
    "choice",
    "currency",
    "dateTime",
    "hyperlinkOrPicture",
    "lookup",
    "number",
    "personOrGroup",
    "text",
    "thumbnail",
];

/// Columns of every list, which the service fills in.
const OWN: [&str; 12] = [
    "ID",
    "ContentType",
    "Attachments",
    "Edit",
    "DocIcon",
    "Created",
    "Modified",
    "Author",
    "Editor",
    "AppAuthor",
    "AppEditor",
    "ComplianceAssetId",
];

/// What a column holds, as far as reading and writing differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, number, boolean, time, one choice: written as it is read.
    Plain,
    Choices,
    Person,
    Lookup,
    Calculated,
    /// A hyperlink or a picture's address: SharePoint's own interface writes it, Graph does not.
    Link,
    /// Read, but not written: terms, places, pictures, what Graph has no name for.
    Fixed(&'static str),
}

/// Whether the column belongs to the list's user and not to the service.
pub fn is_custom(column: &Value) -> bool {
    let name = column["name"].as_str().unwrap_or_default();
    let service = name.is_empty()
        || name == MARKER
        || name.starts_with('_') && !is_encoded(name)
        || name.starts_with("LinkTitle")
        || name.ends_with("ChildCount")
        || OWN.contains(&name);
    let calculated = column["calculated"].is_object();
    !service
        && column["hidden"] != true
        && (column["readOnly"] != true || calculated)
        && column["contentApprovalStatus"].is_null()
}

/// Whether it begins with a character that names have no place for: `_x00dc_bersicht` is `Übersicht`.
fn is_encoded(name: &str) -> bool {
    let code = name
        .strip_prefix("_x")
        .and_then(|rest| rest.split_once('_'));
    code.is_some_and(|(code, _)| code.len() == 4 && code.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What it holds.
pub fn kind(column: &Value) -> Kind {
    let has = |facet: &str| column[facet].is_object();
    if has("personOrGroup") {
        Kind::Person
    } else if has("lookup") {
        Kind::Lookup
    } else if has("calculated") {
        Kind::Calculated
    } else if has("choice") {
        let many = column["type"] == "multichoice" || column["choice"]["displayAs"] == "checkBoxes";
        if many { Kind::Choices } else { Kind::Plain }
    } else if has("hyperlinkOrPicture") {
        Kind::Link
    } else if has("term") {
        Kind::Fixed("managed metadata")
    } else if has("geolocation") || has("thumbnail") {
        Kind::Fixed("a place or an image")
    } else if FACETS.iter().any(|facet| has(facet)) {
        Kind::Plain
    } else {
        Kind::Fixed("of a kind that Graph does not know")
    }
}

/// Whether several values fit into it.
pub fn is_multiple(column: &Value) -> bool {
    column["personOrGroup"]["allowMultipleSelection"] == true
        || column["lookup"]["allowMultipleValues"] == true
        || kind(column) == Kind::Choices
}

/// What is kept of a column beside each item, so that the item can go where its list is gone.
pub fn trimmed(column: &Value) -> Value {
    let mut kept = Map::new();
    let properties = [
        "name",
        "displayName",
        "description",
        "type",
        "required",
        "indexed",
        "enforceUniqueValues",
        "defaultValue",
        "validation",
        "readOnly",
        "lookupList",
    ];
    for name in properties
        .into_iter()
        .chain(FACETS)
        .chain(["term", "geolocation"])
    {
        let value = &column[name];
        let says = !value.is_null() && *value != false && *value != "";
        if says {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(kept)
}

/// The body that makes the column again. `lookup_list` is the id that the list it looks into has there.
///
/// # Errors
/// Why it can't be made, in words.
pub fn creation(column: &Value, lookup_list: Option<&str>) -> Result<Value, String> {
    let name = column["name"].as_str().unwrap_or_default();
    let facet = FACETS.into_iter().find(|facet| column[facet].is_object());
    let Some(facet) = facet else {
        let what = match kind(column) {
            Kind::Fixed(what) => what,
            _ => "of no kind",
        };
        return Err(format!(
            "column {name} is {what}, which can't be made again"
        ));
    };
    let mut body = json!({ "name": name, "displayName": column["displayName"] });
    for name in [
        "description",
        "required",
        "indexed",
        "enforceUniqueValues",
        "defaultValue",
    ] {
        if !column[name].is_null() {
            body[name] = column[name].clone();
        }
    }
    let mut says = column[facet].clone();
    if facet == "lookup" {
        let Some(list) = lookup_list else {
            let list = column["lookupList"].as_str().unwrap_or("unknown");
            return Err(format!(
                "column {name} looks into the list {list}, which is not there yet: restore that, and then \
                 this once more with overwrite"
            ));
        };
        says = json!({
            "listId": list,
            "columnName": column["lookup"]["columnName"],
            "allowMultipleValues": column["lookup"]["allowMultipleValues"],
        });
    }
    body[facet] = says;
    Ok(body)
}

/// The order in which columns are made: those that need others come after them.
pub fn rank(column: &Value) -> u8 {
    match kind(column) {
        Kind::Lookup => 1,
        Kind::Calculated => 2,
        _ => 0,
    }
}

/// The hidden column.
pub fn marker(own_list: bool) -> Value {
    let description = match own_list {
        true => OWN_LIST,
        false => "Which restore put an item here",
    };
    json!({
        "name": MARKER, "displayName": MARKER, "description": description, "hidden": true,
        "indexed": true, "text": {},
    })
}

/// Description of the hidden column in a list that a restore made: its columns are made as items come.
pub const OWN_LIST: &str = "This list was made by a restore";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_service_are_left_alone() {
        let column = |name: &str| json!({ "name": name, "text": {} });
        for name in ["Price", "Title", "_x00dc_bersicht"] {
            assert!(is_custom(&column(name)), "{name}");
        }
        for name in [
            "ID",
            "LinkTitleNoMenu",
            "_UIVersionString",
            "_x_",
            "_xTags_",
            "ItemChildCount",
            "tenantfs",
            "",
        ] {
            assert!(!is_custom(&column(name)), "{name}");
        }
        assert!(!is_custom(
            &json!({ "name": "x", "text": {}, "hidden": true })
        ));
        assert!(!is_custom(
            &json!({ "name": "x", "text": {}, "readOnly": true })
        ));
        assert!(is_custom(
            &json!({ "name": "x", "calculated": {}, "readOnly": true })
        ));
    }

    #[test]
    fn a_column_is_made_again_without_its_ids() {
        let column = json!({ "id": "1", "name": "Due", "displayName": "Due date", "readOnly": false,
            "required": true, "dateTime": { "format": "dateOnly" }, "columnGroup": "x" });
        assert_eq!(
            creation(&trimmed(&column), None).unwrap(),
            json!({ "name": "Due", "displayName": "Due date", "required": true,
                    "dateTime": { "format": "dateOnly" } })
        );
        let lookup = json!({ "name": "V", "displayName": "V", "lookupList": "Vendors",
            "lookup": { "listId": "old", "columnName": "Title", "allowMultipleValues": true } });
        assert!(creation(&lookup, None).unwrap_err().contains("Vendors"));
        assert_eq!(
            creation(&lookup, Some("new")).unwrap()["lookup"]["listId"],
            "new"
        );
        assert!(
            creation(&json!({ "name": "T", "term": {} }), None)
                .unwrap_err()
                .contains("metadata")
        );
        assert!(creation(&json!({ "name": "L" }), None).is_err());
    }
}

//! Columns: what the values of a list's items are called and what they may be.
//!
//! A column's kind decides how its values are kept, read and written ([`super::fields`]); its facet is what
//! Graph tells of it. Some kinds have no facet in Graph at all.

use serde_json::{Map, Value, json};

use crate::drive::Failure;

use super::formula::Formula;
use super::web::lower;

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Text,
    /// Several lines, plain or HTML.
    Note,
    Number,
    Currency,
    Boolean,
    /// A point in time, or a day when true.
    DateTime {
        day: bool,
    },
    Choice,
    MultiChoice,
    Lookup {
        list: u128,
        many: bool,
    },
    Person {
        many: bool,
    },
    /// Hyperlink or picture.
    Link,
    Location,
    /// Managed metadata; `note` is the hidden column it is written through.
    Term {
        many: bool,
        note: String,
    },
    Calculated(Formula),
    /// An image; Graph calls it thumbnail.
    Image,
    Approval,
    /// Kept by the service itself.
    System,
    /// A kind that Graph has no facet for.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub id: u128,
    /// Internal name: what `fields` calls it.
    pub name: String,
    pub title: String,
    pub description: String,
    pub group: String,
    pub kind: Kind,
    /// Name of the facet and what it says; none for kinds that Graph does not know.
    pub facet: Option<(&'static str, Value)>,
    pub required: bool,
    pub read_only: bool,
    pub hidden: bool,
    pub indexed: bool,
    pub unique: bool,
    pub built_in: bool,
    /// One of the site itself, not of a list: these tell their type.
    pub of_site: bool,
    pub default: Value,
    pub validation: Value,
}

/// The kinds of columns that Graph can make, by the facet that asks for one.
const FACETS: &[&str] = &[
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

impl Column {
    pub fn new(id: u128, name: &str, title: &str, kind: Kind) -> Column {
        let facet = facet(&kind);
        Column {
            id,
            name: name.to_owned(),
            title: title.to_owned(),
            description: String::new(),
            group: "Custom Columns".into(),
            kind,
            facet,
            required: false,
            read_only: false,
            hidden: false,
            indexed: false,
            unique: false,
            built_in: false,
            of_site: false,
            default: Value::Null,
            validation: Value::Null,
        }
    }

    /// What a client asks for with the body of a POST. Names are settled by the caller.
    pub fn parse(id: u128, body: &Value) -> Result<Column, Failure> {
        let facets: Vec<&str> = FACETS
            .iter()
            .copied()
            .filter(|f| body.get(f).is_some_and(Value::is_object))
            .collect();
        let [name] = facets.as_slice() else {
            return Err(Failure::invalid(
                "Unable to determine type of provided column definition",
            ));
        };
        let said = &body[name];
        let kind = kind(name, said)?;
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let mut column = Column::new(id, "", "", kind);
        if let Some((_, facet)) = &mut column.facet {
            merge(facet, said);
        }
        column.description = text("description");
        column.apply(body);
        Ok(column)
    }

    /// Takes over what a body says of the settings that can be changed.
    pub fn apply(&mut self, body: &Value) {
        let flag = |key: &str, target: &mut bool| {
            if let Some(value) = body[key].as_bool() {
                *target = value;
            }
        };
        flag("required", &mut self.required);
        flag("hidden", &mut self.hidden);
        flag("indexed", &mut self.indexed);
        flag("enforceUniqueValues", &mut self.unique);
        flag("readOnly", &mut self.read_only);
        if let Some(text) = body["description"].as_str() {
            self.description = text.to_owned();
        }
        if let Some(text) = body["displayName"].as_str() {
            self.title = text.to_owned();
        }
        for (key, target) in [
            ("defaultValue", &mut self.default),
            ("validation", &mut self.validation),
        ] {
            if body.get(key).is_some() {
                *target = body[key].clone();
            }
        }
        if let Some((name, facet)) = &mut self.facet
            && body.get(*name).is_some_and(Value::is_object)
        {
            merge(facet, &body[*name]);
        }
    }

    /// True for values that are looked up elsewhere: at most twelve of them can be named at once.
    pub fn is_lookup(&self) -> bool {
        matches!(
            self.kind,
            Kind::Lookup { .. } | Kind::Person { .. } | Kind::Term { .. }
        )
    }

    pub fn json(&self) -> Value {
        let mut json = json!({
            "columnGroup": self.group, "description": self.description, "displayName": self.title,
            "enforceUniqueValues": self.unique, "hidden": self.hidden, "id": lower(self.id),
            "indexed": self.indexed, "name": self.name, "readOnly": self.read_only,
            "required": self.required,
        });
        if let Some((name, facet)) = &self.facet {
            json[*name] = facet.clone();
        }
        if let Some(name) = self.type_name().filter(|_| self.of_site) {
            json["type"] = name.into();
        }
        for (key, value) in [
            ("defaultValue", &self.default),
            ("validation", &self.validation),
        ] {
            if value.is_object() {
                json[key] = value.clone();
            }
        }
        json
    }

    /// What Graph calls the type of a site's column.
    fn type_name(&self) -> Option<&'static str> {
        Some(match &self.kind {
            Kind::Text => "text",
            Kind::Note => "note",
            Kind::Number => "number",
            Kind::Currency => "currency",
            Kind::Boolean => "boolean",
            Kind::DateTime { .. } => "dateTime",
            Kind::Choice => "choice",
            Kind::MultiChoice => "multichoice",
            Kind::Lookup { .. } => "lookup",
            Kind::Person { .. } => "user",
            Kind::Link => "url",
            Kind::Location => "location",
            Kind::Term { many: false, .. } => "term",
            Kind::Term { many: true, .. } => "multiterm",
            Kind::Calculated(_) => "calculated",
            Kind::Image => "thumbnail",
            Kind::Approval => "approvalStatus",
            Kind::System | Kind::Unknown => return None,
        })
    }
}

/// Overwrites the values of an object with those of another.
fn merge(target: &mut Value, with: &Value) {
    let (Some(target), Some(with)) = (target.as_object_mut(), with.as_object()) else {
        return;
    };
    for (key, value) in with.iter().filter(|(k, _)| !k.contains('@')) {
        target.insert(key.clone(), value.clone());
    }
}

/// The kind that a facet in a body asks for.
fn kind(facet: &str, said: &Value) -> Result<Kind, Failure> {
    let flag = |key: &str| said[key].as_bool().unwrap_or(false);
    Ok(match facet {
        "text" if flag("allowMultipleLines") => Kind::Note,
        "text" => Kind::Text,
        "boolean" => Kind::Boolean,
        "number" => Kind::Number,
        "currency" => Kind::Currency,
        "dateTime" => Kind::DateTime {
            day: said["format"].as_str().is_none_or(|f| f == "dateOnly"),
        },
        "choice" if said["displayAs"] == "checkBoxes" => Kind::MultiChoice,
        "choice" => Kind::Choice,
        "lookup" => {
            let list = said["listId"]
                .as_str()
                .and_then(|id| uuid::Uuid::parse_str(id.trim_matches(['{', '}'])).ok())
                .ok_or_else(|| Failure::invalid("The lookup column must have a listId."))?;
            Kind::Lookup {
                list: list.as_u128(),
                many: flag("allowMultipleValues"),
            }
        }
        "personOrGroup" => Kind::Person {
            many: flag("allowMultipleSelection"),
        },
        "hyperlinkOrPicture" => Kind::Link,
        "thumbnail" => Kind::Image,
        _ => {
            let text = said["formula"].as_str().unwrap_or_default();
            let formula = Formula::parse(text).ok_or_else(|| {
                Failure::invalid("The formula contains a syntax error or is not supported.")
            })?;
            Kind::Calculated(formula)
        }
    })
}

/// What Graph says of a kind when nothing in particular was asked for.
fn facet(kind: &Kind) -> Option<(&'static str, Value)> {
    let text = |lines: bool| {
        json!({"allowMultipleLines": lines, "appendChangesToExistingText": false,
               "linesForEditing": if lines { 6 } else { 0 }, "maxLength": if lines { 63_999 } else { 255 }})
    };
    let choices =
        |display: &str| json!({"allowTextEntry": false, "choices": [], "displayAs": display});
    Some(match kind {
        Kind::Text => {
            let mut facet = text(false);
            facet["textType"] = "plain".into();
            ("text", facet)
        }
        Kind::Note => {
            let mut facet = text(true);
            facet["textType"] = "plain".into();
            ("text", facet)
        }
        Kind::Number => (
            "number",
            json!({"decimalPlaces": "automatic", "displayAs": "number", "maximum": f64::MAX, "minimum": f64::MIN}),
        ),
        Kind::Currency => ("currency", json!({"locale": "en-us"})),
        Kind::Boolean => ("boolean", json!({})),
        Kind::DateTime { day } => (
            "dateTime",
            json!({"displayAs": "default", "format": if *day { "dateOnly" } else { "dateTime" }}),
        ),
        Kind::Choice => ("choice", choices("dropDownMenu")),
        Kind::MultiChoice => ("choice", choices("checkBoxes")),
        Kind::Lookup { list, many } => (
            "lookup",
            json!({"allowMultipleValues": many, "allowUnlimitedLength": false, "columnName": "Title", "listId": lower(*list)}),
        ),
        Kind::Person { many } => (
            "personOrGroup",
            json!({"allowMultipleSelection": many, "chooseFromType": "peopleOnly", "displayAs": "nameWithPresence"}),
        ),
        Kind::Link => ("hyperlinkOrPicture", json!({"isPicture": false})),
        Kind::Calculated(formula) => (
            "calculated",
            json!({"format": "dateOnly", "formula": formula.text(), "outputType": "number"}),
        ),
        Kind::Image => ("thumbnail", json!({})),
        Kind::Approval => ("contentApprovalStatus", json!({})),
        // Since 2024 managed metadata and locations come without a facet.
        Kind::Location | Kind::Term { .. } | Kind::System | Kind::Unknown => return None,
    })
}

/// The name SharePoint makes of a title: what is no letter or digit becomes its code.
pub fn internal_name(title: &str) -> String {
    let mut out = String::new();
    for (i, c) in title.chars().enumerate() {
        let plain = c.is_ascii_alphanumeric() || c == '_';
        if plain && !(i == 0 && c.is_ascii_digit()) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("_x{unit:04x}_"));
            }
        }
        if out.len() >= 32 {
            break;
        }
    }
    out.chars().take(32).collect()
}

/// Columns that every list has, by internal name, title, kind and whether they are shown.
const BUILT_IN: &[(&str, &str, Kind, bool)] = &[
    ("_ColorTag", "Color Tag", Kind::Text, false),
    ("ComplianceAssetId", "Compliance Asset Id", Kind::Text, true),
    ("ID", "ID", Kind::System, true),
    ("ContentType", "Content Type", Kind::System, true),
    ("Modified", "Modified", Kind::DateTime { day: false }, true),
    ("Created", "Created", Kind::DateTime { day: false }, true),
    ("Author", "Created By", Kind::Person { many: false }, true),
    ("Editor", "Modified By", Kind::Person { many: false }, true),
    ("_UIVersionString", "Version", Kind::Text, true),
    ("Attachments", "Attachments", Kind::System, true),
    ("Edit", "Edit", Kind::System, true),
    ("LinkTitleNoMenu", "Title", Kind::System, true),
    ("LinkTitle", "Title", Kind::System, true),
    ("DocIcon", "Type", Kind::System, true),
    ("ItemChildCount", "Item Child Count", Kind::System, true),
    ("FolderChildCount", "Folder Child Count", Kind::System, true),
    ("_ComplianceFlags", "Label setting", Kind::System, true),
    ("_ComplianceTag", "Retention label", Kind::System, true),
    ("AppAuthor", "App Created By", Kind::System, true),
    ("AppEditor", "App Modified By", Kind::System, true),
    ("GUID", "GUID", Kind::System, false),
    (
        "_ModerationStatus",
        "Approval Status",
        Kind::Approval,
        false,
    ),
];

/// Columns that libraries have besides.
const IN_LIBRARIES: &[(&str, &str, Kind, bool)] = &[
    ("FileLeafRef", "Name", Kind::Text, true),
    ("FileSizeDisplay", "File Size", Kind::System, true),
    ("_CheckinComment", "Check In Comment", Kind::System, true),
    ("LinkFilename", "Name", Kind::System, true),
    ("LinkFilenameNoMenu", "Name", Kind::System, true),
    ("FileRef", "URL Path", Kind::System, false),
];

/// The columns a new list has. Their ids are the same everywhere.
pub fn built_in(library: bool) -> Vec<Column> {
    let mut title = Column::new(
        0xfa56_4e0f_0c70_4ab9_b863_0177_e6dd_d247,
        "Title",
        "Title",
        Kind::Text,
    );
    (title.built_in, title.required) = (true, !library);
    let more = if library { IN_LIBRARIES } else { &[] };
    let fixed = BUILT_IN.iter().chain(more).enumerate().map(|(i, row)| {
        let (name, shown, kind, visible) = row;
        let id = 0x8553_1969_0000_4000_8000_0000_0000_0000 + (i as u128) * 0x0101;
        let mut column = Column::new(id, name, shown, kind.clone());
        column.built_in = true;
        column.hidden = !visible;
        column.read_only = *name != "FileLeafRef";
        column.indexed = matches!(*name, "ID" | "Modified" | "Created" | "Author" | "Editor");
        column
    });
    std::iter::once(title).chain(fixed).collect()
}

/// What can be selected of a column.
pub const PROPERTIES: &[&str] = &[
    "id",
    "name",
    "displayName",
    "description",
    "columnGroup",
    "type",
    "required",
    "readOnly",
    "hidden",
    "indexed",
    "enforceUniqueValues",
    "isDeletable",
    "isReorderable",
    "isSealed",
    "propagateChanges",
    "defaultValue",
    "validation",
    "sourceColumn",
    "sourceContentType",
    "boolean",
    "calculated",
    "choice",
    "contentApprovalStatus",
    "currency",
    "dateTime",
    "geolocation",
    "hyperlinkOrPicture",
    "lookup",
    "number",
    "personOrGroup",
    "term",
    "text",
    "thumbnail",
];

/// As [`Column::json`], without what is null.
pub fn object(column: &Column) -> Map<String, Value> {
    match column.json() {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_names() {
        assert_eq!(internal_name("Price"), "Price");
        assert_eq!(internal_name("Due date"), "Due_x0020_date");
        assert_eq!(internal_name("1st"), "_x0031_st");
        assert_eq!(internal_name("Größe"), "Gr_x00f6__x00df_e");
        assert!(internal_name(&"x y".repeat(40)).len() <= 32);
    }

    #[test]
    fn a_body_asks_for_one_kind() {
        let parse = |body: Value| Column::parse(1, &body);
        let column = parse(json!({"name": "n", "number": {"decimalPlaces": "two"}})).unwrap();
        assert_eq!(column.kind, Kind::Number);
        let facet = column.json();
        assert_eq!(facet["number"]["decimalPlaces"], "two");
        assert_eq!(facet["number"]["displayAs"], "number");
        assert!(parse(json!({"name": "n"})).is_err());
        assert!(parse(json!({"name": "n", "text": {}, "number": {}})).is_err());
        assert!(parse(json!({"name": "n", "lookup": {}})).is_err());
        assert!(parse(json!({"name": "n", "geolocation": {}})).is_err());
        let many = parse(json!({"choice": {"displayAs": "checkBoxes", "choices": ["a"]}})).unwrap();
        assert_eq!(many.kind, Kind::MultiChoice);
    }
}

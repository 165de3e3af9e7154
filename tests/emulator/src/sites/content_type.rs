//! Content types: what kind of thing an item is.

use serde_json::{Value, json};

/// One content type of a site or of a list.
#[derive(Clone, Debug)]
pub struct ContentType {
    /// `0x01...`; that of a list is the site's with a GUID after it.
    pub id: String,
    pub name: String,
    pub description: String,
    pub group: String,
    pub hidden: bool,
    pub built_in: bool,
}

pub const ITEM: &str = "0x01";
pub const DOCUMENT: &str = "0x0101";
pub const FOLDER: &str = "0x0120";
pub const SITE_PAGE: &str = "0x0101009D1CB255DA76424F860D91F20E6C4118";

/// Those every site has.
const BUILT_IN: &[(&str, &str, &str, &str)] = &[
    (
        ITEM,
        "Item",
        "List Content Types",
        "Create a new list item.",
    ),
    (
        DOCUMENT,
        "Document",
        "Document Content Types",
        "Create a new document.",
    ),
    (
        "0x0102",
        "Event",
        "List Content Types",
        "Create a new meeting, deadline or other event.",
    ),
    (
        "0x0104",
        "Announcement",
        "List Content Types",
        "Create a new news item, status or other short piece of information.",
    ),
    (
        "0x0105",
        "Link",
        "List Content Types",
        "Create a new link to a Web page or other resource.",
    ),
    (
        "0x0106",
        "Contact",
        "List Content Types",
        "Store information about a business or personal contact.",
    ),
    (
        "0x0108",
        "Task",
        "List Content Types",
        "Track a work item that you or your team needs to complete.",
    ),
    (
        "0x0103",
        "Issue",
        "List Content Types",
        "Track an issue or problem.",
    ),
    (
        FOLDER,
        "Folder",
        "Folder Content Types",
        "Create a new folder.",
    ),
    (
        SITE_PAGE,
        "Site Page",
        "Document Content Types",
        "Create a new site page.",
    ),
];

impl ContentType {
    /// The content types a new site has.
    pub fn built_in() -> Vec<ContentType> {
        BUILT_IN
            .iter()
            .map(|(id, name, group, description)| ContentType {
                id: (*id).into(),
                name: (*name).into(),
                description: (*description).into(),
                group: (*group).into(),
                hidden: false,
                built_in: true,
            })
            .collect()
    }

    /// The content type of a site as one of a list.
    pub fn in_list(&self, guid: u128) -> ContentType {
        ContentType {
            id: format!("{}00{guid:032X}", self.id),
            ..self.clone()
        }
    }

    /// Id of the type it was made from.
    fn parent(&self) -> &str {
        let longest = BUILT_IN
            .iter()
            .map(|(id, ..)| *id)
            .filter(|id| self.id.starts_with(id) && *id != self.id)
            .max_by_key(|id| id.len());
        longest.unwrap_or("0x")
    }

    /// As JSON; `place`: where it stands in its list, which makes the first one the default.
    pub fn json(&self, place: Option<usize>) -> Value {
        let mut json = json!({
            "id": self.id, "name": self.name, "description": self.description, "group": self.group,
            "hidden": self.hidden, "readOnly": false, "sealed": false, "isBuiltIn": self.built_in,
            "parentId": self.parent(),
        });
        if let Some(place) = place {
            json["order"] = json!({"default": place == 0, "position": place});
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_own_of_a_type() {
        let document = ContentType::built_in().remove(1);
        let own = document.in_list(0xabc);
        assert!(own.id.starts_with(DOCUMENT) && own.id.len() == DOCUMENT.len() + 34);
        assert_eq!(own.parent(), DOCUMENT);
        assert_eq!(document.parent(), ITEM);
    }
}

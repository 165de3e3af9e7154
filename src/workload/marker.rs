//! The mark that a restore leaves on what it makes in a mailbox.
//!
//! It is part of the creating request, so it tells for ever which push made an item: that is how
//! nothing is restored twice, and how a restored item keeps the name of its original.

use serde_json::{Value, json};
use uuid::Uuid;

use super::ItemKey;

/// The named MAPI property that marks what this program restored.
pub const MARKER_ID: &str = "String {8f2d1c1e-6b0a-4a53-9c1e-7e0f5d7a9b42} Name tenantfs";

/// `$expand` that brings the marker.
pub fn expand_marker() -> String {
    format!("singleValueExtendedProperties($filter=id eq '{MARKER_ID}')")
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Which push made this item.
    pub push: Uuid,
    /// Key of the item that it restores; `None` for files from elsewhere and for copies that shall
    /// stand beside the original.
    pub origin: Option<ItemKey>,
    /// What else the name of the original has: when a draft was created (Unix seconds), the number of an
    /// item of a list.
    pub created: Option<i64>,
}

impl Marker {
    /// Name of the open extension that marks what has no named properties (tasks).
    pub const EXTENSION: &str = "io.github.tenantfs.restored";

    /// Reads it off a record.
    pub fn of(record: &Value) -> Option<Self> {
        Self::in_properties(record).or_else(|| Self::in_extensions(record))
    }

    fn in_extensions(record: &Value) -> Option<Self> {
        let extensions = record["extensions"].as_array()?;
        let marker = extensions.iter().find(|extension| {
            let name = extension["extensionName"].as_str();
            name.is_some_and(|name| name.eq_ignore_ascii_case(Self::EXTENSION))
        })?;
        Self::parse(marker["marker"].as_str()?)
    }

    fn in_properties(record: &Value) -> Option<Self> {
        let properties = record["singleValueExtendedProperties"].as_array()?;
        // Exchange writes ids its own way (letter case, braces are kept).
        let marker = properties.iter().find(|p| {
            p["id"]
                .as_str()
                .is_some_and(|id| id.eq_ignore_ascii_case(MARKER_ID))
        })?;
        Self::parse(marker["value"].as_str()?)
    }

    /// Reads the value that [`Marker::value`] makes.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let push = words.next()?.parse().ok()?;
        let origin = words.next().and_then(ItemKey::from_hex);
        let created = words.next().and_then(|w| w.parse().ok());
        Some(Self {
            push,
            origin,
            created,
        })
    }

    /// The value as it is stored.
    pub fn value(&self) -> String {
        let mut value = self.push.to_string();
        if let Some(origin) = &self.origin {
            value.push_str(&format!(" {origin}"));
            if let Some(created) = self.created {
                value.push_str(&format!(" {created}"));
            }
        }
        value
    }

    /// The value on an item that was imported whole, in one step. It reads as [`Marker::value`] does.
    pub fn exact_value(&self) -> String {
        let origin = self
            .origin
            .map_or_else(|| "-".into(), |key| key.to_string());
        let created = self.created.map_or_else(|| "-".into(), |at| at.to_string());
        format!("{} {origin} {created} exact", self.push)
    }

    /// The extended property.
    pub fn property(&self) -> Value {
        json!({ "id": MARKER_ID, "value": self.value() })
    }

    /// The open extension.
    pub fn extension(&self) -> Value {
        json!({
            "@odata.type": "#microsoft.graph.openTypeExtension",
            "extensionName": Self::EXTENSION,
            "marker": self.value(),
        })
    }

    /// `$filter` that finds the item with this marker.
    pub fn filter(&self) -> String {
        filter(&self.value())
    }

    /// `$filter` that finds the item that was imported whole with this marker.
    pub fn exact_filter(&self) -> String {
        filter(&self.exact_value())
    }
}

fn filter(value: &str) -> String {
    format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{MARKER_ID}' and ep/value eq '{value}')"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_back() {
        for marker in [
            Marker {
                push: Uuid::from_u128(5),
                origin: None,
                created: None,
            },
            Marker {
                push: Uuid::from_u128(5),
                origin: Some(ItemKey([3; 16])),
                created: None,
            },
            Marker {
                push: Uuid::from_u128(5),
                origin: Some(ItemKey([3; 16])),
                created: Some(77),
            },
        ] {
            let record = json!({ "singleValueExtendedProperties": [
                { "id": "String 0x1a", "value": "x" },
                { "id": MARKER_ID.to_lowercase(), "value": marker.value() },
            ]});
            assert_eq!(Marker::of(&record), Some(marker.clone()));
            assert_eq!(Marker::parse(&marker.exact_value()), Some(marker));
        }
        assert_eq!(Marker::of(&json!({})), None);
        assert_eq!(Marker::parse("hello"), None);
    }
}

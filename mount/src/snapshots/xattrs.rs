//! What a file cannot carry, as extended attributes: `user.tenantfs.<property>` for each property of
//! the item's Graph JSON. Only when the mount was asked for it.

use serde_json::{Map, Value};

use crate::error::FsError;

const PREFIX: &str = "user.tenantfs.";
/// Longest attribute name that Linux takes (XATTR_NAME_MAX).
const NAME_MAX: usize = 255;
/// Longest value and longest list (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const SIZE_MAX: usize = 64 << 10;

/// Names that are there, each ended by NUL.
pub fn names(record: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for key in properties(record).keys() {
        let name = format!("{PREFIX}{key}");
        if name.len() <= NAME_MAX && !name.contains('\0') && out.len() + name.len() < SIZE_MAX {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
    }
    out
}

/// A text as it is, everything else as JSON.
pub fn value(record: &[u8], name: &str) -> Result<Vec<u8>, FsError> {
    let key = name.strip_prefix(PREFIX).ok_or(FsError::NoAttribute)?;
    let value = match properties(record).remove(key) {
        Some(Value::String(text)) => text.into_bytes(),
        Some(other) => other.to_string().into_bytes(),
        None => return Err(FsError::NoAttribute),
    };
    if value.len() > SIZE_MAX {
        Err(FsError::NoAttribute)
    } else {
        Ok(value)
    }
}

fn properties(record: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(record) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_attributes() {
        let record = br#"{"id":"AAMk","isRead":true,"categories":["a","b"]}"#;
        let names = String::from_utf8(names(record)).unwrap();
        assert!(names.split_terminator('\0').eq([
            "user.tenantfs.categories",
            "user.tenantfs.id",
            "user.tenantfs.isRead"
        ]));
        assert_eq!(value(record, "user.tenantfs.id").unwrap(), b"AAMk");
        assert_eq!(value(record, "user.tenantfs.isRead").unwrap(), b"true");
        assert_eq!(
            value(record, "user.tenantfs.categories").unwrap(),
            br#"["a","b"]"#
        );
        assert!(value(record, "user.tenantfs.none").is_err());
        assert!(value(b"no json", "security.selinux").is_err());
    }
}

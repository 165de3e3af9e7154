//! What a restore writes into the hidden column: which push made the item, and which item it is a copy
//! of. So a restore that is repeated finds what it made, and the copy has the original's file name.

use uuid::Uuid;

use crate::tree::ItemKey;

/// The value of the hidden column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub push: Uuid,
    /// Key and number of the original.
    pub origin: Option<(ItemKey, u64)>,
}

impl Mark {
    /// Reads it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let push = words.next()?.parse().ok()?;
        let origin = words.next().zip(words.next());
        let origin = origin.and_then(|(key, number)| {
            Some((ItemKey::from_hex(key)?, number.parse().ok()?))
        });
        Some(Self { push, origin })
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.push)?;
        match &self.origin {
            Some((key, number)) => write!(f, " {key} {number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key = ItemKey([7; 16]);
        for origin in [None, Some((key, 12))] {
            let mark = Mark { push: Uuid::new_v4(), origin };
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
        assert_eq!(Mark::parse("anything"), None);
    }
}

//! What `stat` shows, and whose it is.

use std::collections::HashMap;

/// Kinds of files that this file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Link,
}

/// Attributes of one inode, free of any FUSE library's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The inode's number.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Bytes; exact.
    pub size: u64,
    /// Unix seconds; also shown as access and change time.
    pub mtime: i64,
    /// Permission bits.
    pub mode: u16,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A local user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Owner {
    /// Who runs this process.
    pub fn process() -> Self {
        Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// Which local user an account's folder belongs to (`[mount.owners]`).
///
/// Without a map everything belongs to one owner and is readable by whoever gets in: the mount
/// itself keeps others out unless it allows them. With a map an account's folder is for its owner
/// alone, and an account that is not in the map for the mount's owner alone.
#[derive(Debug, Clone)]
pub struct Owners {
    /// Index 0: what everyone may read. Index 1: accounts that are not in the map.
    table: Vec<Owner>,
    by_account: HashMap<String, u16>,
}

/// What everyone who reaches the mount may read.
pub const PUBLIC: u16 = 0;
const UNMAPPED: u16 = 1;

impl Owners {
    /// # Panics
    /// Never; accounts beyond 65,000 different owners stay with the mount's owner.
    pub fn new(default: Owner, accounts: impl IntoIterator<Item = (String, Owner)>) -> Self {
        let mut owners = Owners {
            table: vec![default, default],
            by_account: HashMap::new(),
        };
        for (account, owner) in accounts {
            let known = owners
                .table
                .iter()
                .skip(2)
                .position(|o| *o == owner)
                .map(|at| at + 2);
            let at = known.unwrap_or(owners.table.len());
            let Ok(id) = u16::try_from(at) else { continue };
            if known.is_none() {
                owners.table.push(owner);
            }
            owners.by_account.insert(account.to_lowercase(), id);
        }
        owners
    }

    /// The owner's number of an account's folder.
    pub fn of_account(&self, name: &str) -> u16 {
        if self.by_account.is_empty() {
            return PUBLIC;
        }
        self.by_account
            .get(&name.to_lowercase())
            .copied()
            .unwrap_or(UNMAPPED)
    }

    /// The owner of this number.
    pub fn get(&self, id: u16) -> Owner {
        self.table[usize::from(id)]
    }

    /// Read-only permission bits.
    pub fn mode(&self, id: u16, kind: Kind) -> u16 {
        match (kind, id == PUBLIC) {
            (Kind::Link, _) => 0o777,
            (Kind::Dir, true) => 0o555,
            (Kind::Dir, false) => 0o500,
            (Kind::File, true) => 0o444,
            (Kind::File, false) => 0o400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Owner = Owner { uid: 0, gid: 0 };
    const ALICE: Owner = Owner {
        uid: 1001,
        gid: 100,
    };

    #[test]
    fn without_a_map_everything_is_public() {
        let owners = Owners::new(ROOT, []);
        let id = owners.of_account("alice@contoso.com");
        assert_eq!(
            (id, owners.mode(id, Kind::Dir), owners.mode(id, Kind::File)),
            (PUBLIC, 0o555, 0o444)
        );
    }

    #[test]
    fn with_a_map_each_account_is_for_its_owner() {
        let owners = Owners::new(
            ROOT,
            [
                ("Alice@contoso.com".into(), ALICE),
                ("a2@contoso.com".into(), ALICE),
            ],
        );
        let alice = owners.of_account("alice@contoso.com");
        assert_eq!(owners.get(alice), ALICE);
        assert_eq!(alice, owners.of_account("A2@contoso.com"));
        assert_eq!(owners.mode(alice, Kind::Dir), 0o500);
        let other = owners.of_account("bob@contoso.com");
        assert_ne!(other, PUBLIC);
        assert_eq!(
            (owners.get(other), owners.mode(other, Kind::File)),
            (ROOT, 0o400)
        );
    }
}

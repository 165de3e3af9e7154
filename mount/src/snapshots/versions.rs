//! What is below `.tenantfs/versions`: each folder of the snapshot, in it a folder for each file that
//! has older versions, in that a folder for each version, and there the version, called as its file is.

use tenantfs::tree::entry::{Entry, EntryKind};

use super::Found;
use super::inodes::View;

/// How a name of a snapshot's folder shows here, if it does: a folder always (whether anything below it
/// has versions would cost a walk), a file if it has versions.
pub fn of(entry: Entry) -> Option<Found> {
    let view = match entry.kind {
        EntryKind::Dir { root } => View::Versions(root),
        EntryKind::File { .. } => View::Versioned(Some(entry.versions?)),
    };
    Some(Found::VersionFolder {
        view,
        mtime: entry.mtime,
    })
}

/// The folder of one version of the file called `name`.
pub fn one(name: &str, version: Entry) -> Found {
    Found::VersionFolder {
        view: View::Version(Box::new((name.into(), version))),
        mtime: version.mtime,
    }
}

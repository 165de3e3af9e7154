//! Finding a snapshot by what a person calls it, and a path in it.

use anyhow::{Context, Result, bail};
use tenantfs::repo::{Repository, Snapshot};

/// The complete snapshots, oldest first: those the mount shows.
pub fn complete(repository: &Repository) -> Result<Vec<Snapshot>> {
    let mut snapshots = repository.snapshots()?;
    snapshots.retain(|snapshot| snapshot.manifest.complete);
    Ok(snapshots)
}

/// The snapshot called `name`: a name, `latest`, or a day (its last one, UTC), as in the mount.
pub fn find(repository: &Repository, name: &str) -> Result<Snapshot> {
    let snapshots = complete(repository)?;
    let found = match name {
        "latest" => snapshots.last(),
        _ => snapshots
            .iter()
            .rfind(|snapshot| snapshot.name == name || is_day_of(name, &snapshot.name)),
    };
    match found {
        Some(snapshot) => Ok(snapshot.clone()),
        None if snapshots.is_empty() => {
            bail!("there are no snapshots yet; `tenantfs backup` makes one")
        }
        None => bail!("there is no snapshot {name:?}; `tenantfs snapshots` lists them"),
    }
}

fn is_day_of(day: &str, name: &str) -> bool {
    day.len() == "2026-11-22".len() && name.split_once('T').is_some_and(|(date, _)| date == day)
}

/// Splits `SNAPSHOT[/PATH]`, and finds the snapshot. The path has no slash at its ends.
pub fn split<'a>(repository: &Repository, path: &'a str) -> Result<(Snapshot, &'a str)> {
    let path = path.trim_matches('/');
    let (name, below) = path.split_once('/').unwrap_or((path, ""));
    let snapshot = find(repository, name).with_context(|| format!("cannot look at {path:?}"))?;
    Ok((snapshot, below.trim_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::is_day_of;

    #[test]
    fn a_day_is_a_whole_day() {
        assert!(is_day_of("2026-11-22", "2026-11-22T020000Z"));
        assert!(!is_day_of("2026-11-2", "2026-11-22T020000Z"));
        assert!(!is_day_of("2026-11-23", "2026-11-22T020000Z"));
    }
}

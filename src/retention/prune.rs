//! Deleting what no snapshot needs: the repository's prune, with the walk that knows trees.

use super::RetentionError;
use crate::repo::{Maintenance, Mark, PruneOptions, PrunePhase, PruneReport, RepoError, Roots};
use crate::tree::{Nodes, TreeError, reach};

/// Memory of the walk's own cache, in bytes: each node is entered once.
const CACHE: u64 = 4 << 20;

/// Prunes; see [`Maintenance::prune`].
pub fn prune(
    maintenance: &Maintenance,
    options: &PruneOptions,
    progress: &dyn Fn(PrunePhase, u64, u64),
) -> Result<PruneReport, RetentionError> {
    let repo = maintenance.repository();
    let nodes = Nodes::with_cache(repo, CACHE);
    let walk = |roots: &Roots, mark: &mut Mark| {
        if let Some(report) = roots.report {
            mark.see(
                crate::repo::Kind::Record,
                &report,
                reach::Way::Plain as usize,
            )?;
        }
        let mut seen = |kind, id, way| mark.see(kind, &id, way as usize);
        reach::reach(repo, &nodes, roots.tree, roots.state, &mut seen).map_err(|e| match e {
            TreeError::Repo(e) => e,
            e => RepoError::Unknowable {
                reason: e.to_string(),
            },
        })
    };
    Ok(maintenance.prune(options, &walk, progress)?)
}

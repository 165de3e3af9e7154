//! The mount, with the restore service behind it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tenantfs::repo::Repository;
use tenantfs::restore::{self, Service, ServiceConfig, SnapshotRecogniser};
use tenantfs_mount::{Mount, MountConfig, MountHandle};

use crate::app;
use crate::config::Config;

/// Pushes at a time for one mailbox. A push makes its requests one after the other, and Exchange allows 4
/// in flight, which the client holds to: two more are at this machine's disk meanwhile.
const PUSHES_PER_MAILBOX: usize = 6;
/// How often a mount looks for snapshots that other processes made.
const POLL_DIRECTORY: Duration = Duration::from_millis(500);
/// The same in an object store, where a listing is a paid request.
const POLL_STORE: Duration = Duration::from_secs(30);

/// Mounts at `dir`.
pub fn start(
    config: &Config,
    repository: &Repository,
    service: Option<(Service, Arc<SnapshotRecogniser>)>,
    dir: &Path,
) -> Result<MountHandle> {
    std::fs::create_dir_all(dir)
        .or_else(|e| if is_dead_mount(&e) { Ok(()) } else { Err(e) })
        .with_context(|| format!("cannot make the mountpoint {}", dir.display()))?;
    let mut mount = MountConfig::new(dir, repository.clone());
    mount.allow_other = config.mount.allow_other;
    mount.xattr = config.mount.xattr;
    mount.owners = owners(config)?;
    mount.poll = Some(if repository.location().is_local() {
        POLL_DIRECTORY
    } else {
        POLL_STORE
    });
    mount.restore = service.map(|(service, _)| Arc::new(service) as _);
    Mount::start(mount).with_context(|| format!("cannot mount at {}", dir.display()))
}

/// A mountpoint whose daemon was killed answers ENOTCONN; the mount repairs it.
fn is_dead_mount(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error())
        || error.kind() == std::io::ErrorKind::AlreadyExists
}

/// Whose restore service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The daemon's. It also takes up what killed commands left behind.
    Daemon,
    /// That of a command, of which several may run at a time.
    Command,
}

/// The restore service, with what recognises the bytes of snapshots; `None` when no identity may
/// write. Blocking; not on a runtime's worker.
pub fn restore_service(
    config: &Config,
    repository: &Repository,
    runtime: &tokio::runtime::Handle,
    owner: Owner,
) -> Result<Option<(Service, Arc<SnapshotRecogniser>)>> {
    let Some(client) = app::restore_client(config)? else {
        return Ok(None);
    };
    let state_dir = &config.state_dir;
    let (local, state, adopt) = match owner {
        Owner::Daemon => {
            let local = state_dir.join("restore");
            let state = restore::service::open_state(&local.join("state"))?;
            (local, state, Some(restore::commands_folder(state_dir)))
        }
        Owner::Command => {
            let (local, state) = restore::command_folder(state_dir)?;
            (local, state, None)
        }
    };
    let recogniser = Arc::new(SnapshotRecogniser::new(
        repository.clone(),
        state_dir.join("catalogue"),
    ));
    let service = Service::start(ServiceConfig {
        workloads: app::workloads(config, &client, repository),
        directory: Arc::new(client),
        read_only: None,
        recogniser: Some(recogniser.clone()),
        local,
        adopt,
        state,
        runtime: runtime.clone(),
        conflict: conflict(config.restore.conflict),
        per_mailbox: PUSHES_PER_MAILBOX,
    })
    .context("cannot start the restore service")?;
    Ok(Some((service, recogniser)))
}

/// The library's word for a conflict policy.
pub fn conflict(conflict: crate::config::Conflict) -> restore::Conflict {
    match conflict {
        crate::config::Conflict::Skip => restore::Conflict::Skip,
        crate::config::Conflict::Overwrite => restore::Conflict::Overwrite,
        crate::config::Conflict::KeepBoth => restore::Conflict::KeepBoth,
    }
}

fn owners(config: &Config) -> Result<Vec<(String, tenantfs_mount::Owner)>> {
    anyhow::ensure!(
        config.mount.allow_other || config.mount.owners.is_empty(),
        "[mount.owners] needs allow_other = true in [mount]: without it the kernel lets nobody in but the user \
         who mounts"
    );
    config
        .mount
        .owners
        .iter()
        .map(|(account, user)| Ok((account.clone(), local_user(user)?)))
        .collect()
}

/// Looks a user up as the system does (NSS), through `id`.
fn local_user(user: &str) -> Result<tenantfs_mount::Owner> {
    let ask = |flag: &str| -> Result<u32> {
        let output = std::process::Command::new("id")
            .args([flag, "--", user])
            .output()?;
        anyhow::ensure!(output.status.success(), "there is no such user");
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    };
    let owner = || {
        anyhow::Ok(tenantfs_mount::Owner {
            uid: ask("-u")?,
            gid: ask("-g")?,
        })
    };
    owner().with_context(|| format!("[mount.owners] names the local user {user:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_let_in() {
        let text = "[tenant]\nid = \"contoso\"\n\
                    [tenant.backup]\nclient_id = \"6b3c\"\nclient_secret_file = \"secret\"\n\
                    [repository]\nlocation = \"repo\"\nkey_file = \"key\"\n\
                    [mount.owners]\n\"alice@contoso.com\" = \"root\"\n";
        let mut config = Config::parse(text, Path::new("/etc/tenantfs")).unwrap();
        let refused = owners(&config).unwrap_err().to_string();
        assert!(refused.contains("allow_other"), "{refused}");
        config.mount.allow_other = true;
        let root = tenantfs_mount::Owner { uid: 0, gid: 0 };
        let named = ("alice@contoso.com".to_owned(), root);
        assert_eq!(owners(&config).unwrap(), [named]);
        config.mount = Default::default();
        assert_eq!(owners(&config).unwrap(), []);
    }
}

//! `tenantfs init`: makes the repository and its key.

use anyhow::Result;
use serde_json::json;
use tenantfs::repo::{InitOptions, Repository};

use super::Context;
use super::copy::{self, CopyTarget};
use crate::app;
use crate::exit::Outcome;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the repository that [copy] names, for copies of the one that [repository] names
    #[arg(long)]
    pub copy: bool,
    #[command(flatten)]
    pub target: CopyTarget,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = &context.config;
    let (section, repository, copies_of) = if args.copy {
        let target = copy::target(config, &args.target)?;
        ("copy", target, Some(app::open_repository(config)?))
    } else {
        ("repository", config.repository.clone(), None)
    };
    let location = app::location(&repository)?;
    let source = repository.source(section)?;
    let secret = source.read()?;
    let options = InitOptions {
        kind: secret.kind,
        local: Some(config.state_dir.join("index")),
        copies_of,
        access: app::access(&repository),
        ..InitOptions::default()
    };
    app::private_folder(&config.state_dir)?;
    let made = Repository::init(&location, &secret.text, &options)?;
    let report = json!({ "location": location.to_string(), "id": made.id() });
    context.style.report(&report, |out| {
        writeln!(out, "made the repository {} at {location}", made.id())?;
        writeln!(
            out,
            "its key opens with {}; without that nothing in it can be read again, so keep a copy \
             elsewhere",
            source.describe()
        )
    })?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::output::Style;

    /// A local directory can lock nothing, so that who asks for it is told.
    #[test]
    fn each_repository_is_made_as_its_own_table_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), [7; 64]).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join("key"), mode).unwrap();
        let context = |repository: &str, copy: &str| {
            let text = format!(
                "state_dir = \"state\"\n\
                 [tenant]\nid = \"contoso\"\n\
                 [tenant.backup]\nclient_id = \"6b3c\"\nclient_secret_file = \"secret\"\n\
                 [repository]\nlocation = \"repo\"\nkey_file = \"key\"\n{repository}\n\
                 [copy]\nlocation = \"copy\"\nkey_file = \"key\"\n{copy}"
            );
            Context {
                config: Config::parse(&text, dir.path()).unwrap(),
                config_file: dir.path().join("tenantfs.toml"),
                style: Style::Json,
            }
        };
        let args = |copy| Args {
            copy,
            target: CopyTarget {
                to_location: None,
                to_password_file: None,
                to_key_file: None,
            },
        };
        let lock = "lock = \"30d\"";
        let refused = |result: Result<Outcome>| format!("{:#}", result.unwrap_err());
        let said = refused(run(&context(lock, ""), &args(false)));
        assert!(said.contains("cannot lock"), "{said}");
        run(&context("", lock), &args(false)).unwrap();
        let said = refused(run(&context("", lock), &args(true)));
        assert!(said.contains("cannot lock"), "{said}");
        run(&context("", ""), &args(true)).unwrap();
    }
}

//! `tenantfs init`: makes the repository and its key.

use anyhow::Result;
use serde_json::json;
use tenantfs::repo::{InitOptions, Repository};

use super::Context;
use crate::app;
use crate::exit::Outcome;

pub fn run(context: &Context) -> Result<Outcome> {
    let config = &context.config;
    let location = app::location(&config.repository)?;
    let options = InitOptions {
        local: Some(config.state_dir.join("index")),
        access: app::access(&config.repository),
        ..InitOptions::default()
    };
    let repository = Repository::init(&location, &app::password(config)?, &options)?;
    let report = json!({ "location": location.to_string(), "id": repository.id() });
    context.style.report(&report, |out| {
        writeln!(out, "made the repository {} at {location}", repository.id())?;
        writeln!(
            out,
            "its key opens with the password in {}; without that password nothing in it can be \
             read again, so keep a copy elsewhere",
            config.repository.password_file.display()
        )
    })?;
    Ok(Outcome::Done)
}

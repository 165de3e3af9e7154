//! `tenantfs key`: the password of the repository.

use anyhow::Result;
use tenantfs::repo::KdfCost;

use super::Context;
use crate::app;
use crate::cli::Key;
use crate::config::read_secret;
use crate::exit::Outcome;

pub fn run(context: &Context, args: &Key) -> Result<Outcome> {
    let Key::Change { new_password_file } = args;
    let repository = app::open_repository(&context.config)?;
    let new = read_secret(new_password_file, "new repository password")?;
    repository.change_password(&new, KdfCost::default())?;
    println!(
        "the repository opens with the password in {} now; put it into repository.password_file",
        new_password_file.display()
    );
    Ok(Outcome::Done)
}

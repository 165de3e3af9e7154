//! `tenantfs key`: what opens the repository, and what seals it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;
use tenantfs::repo::{KdfCost, KeyKind, KeyList, NewKey, Repository};

use super::Context;
use crate::app;
use crate::exit::Outcome;
use crate::output::{bytes, count, time};
use crate::secret::{Secret, Source};

/// What can be typed.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// List the keys that open the repository, and the master keys with what they seal
    List,
    /// Add a password or key file that opens the repository too
    Add {
        /// Whose it is, or what for
        #[arg(long, default_value = "")]
        label: String,
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Remove a key; the last one stays
    Remove {
        /// Its id, or the beginning of it
        id: String,
        #[command(flatten)]
        other: OtherSecret,
    },
    /// Change the password in use; rewrites one key file only
    Change {
        #[command(flatten)]
        secret: NewSecret,
    },
    /// Make a new master key, for everything that is written from now on
    Rotate,
}

/// A secret that is to open the repository.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct NewSecret {
    /// File with the new password
    #[arg(long, value_name = "FILE")]
    pub new_password_file: Option<PathBuf>,
    /// File of 32 random bytes or more
    #[arg(long, value_name = "FILE")]
    pub new_key_file: Option<PathBuf>,
}

/// A secret that opens the repository already.
#[derive(Debug, clap::Args)]
#[group(required = false, multiple = false)]
pub struct OtherSecret {
    /// File with the password of another key: with it the key in use can be removed
    #[arg(long, value_name = "FILE")]
    pub other_password_file: Option<PathBuf>,
    /// The same, a key file
    #[arg(long, value_name = "FILE")]
    pub other_key_file: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let repository = app::open_repository(&context.config)?;
    match args {
        Args::List => list(context, &repository),
        Args::Add { label, secret } => add(context, &repository, label, secret),
        Args::Remove { id, other } => remove(context, &repository, id, other),
        Args::Change { secret } => change(context, &repository, secret),
        Args::Rotate => rotate(context, &repository),
    }
}

fn list(context: &Context, repository: &Repository) -> Result<Outcome> {
    let list = repository.keys()?;
    let damaged: Vec<_> = list
        .damaged
        .iter()
        .map(|damaged| json!({ "file": damaged.file, "reason": damaged.reason }))
        .collect();
    let mut told = serde_json::to_value(&list)?;
    told["damaged"] = damaged.into();
    context.style.report(&told, |out| print(&list, out))?;
    Ok(if list.damaged.is_empty() {
        Outcome::Done
    } else {
        Outcome::SomeFailed
    })
}

fn print(list: &KeyList, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<16} {:<8} {:<19} {:<20} label",
        "key", "kind", "made (UTC)", "on"
    )?;
    for key in &list.keys {
        let kind = match key.kind {
            KeyKind::Password => "password",
            KeyKind::KeyFile => "key file",
        };
        writeln!(
            out,
            "{} {kind} {} {:<20} {}{}",
            key.id,
            time(key.created),
            key.host,
            key.label,
            if key.in_use { " (in use)" } else { "" }
        )?;
    }
    for damaged in &list.damaged {
        writeln!(out, "damaged: {}: {}", damaged.file, damaged.reason)?;
    }
    writeln!(
        out,
        "\n{:<10} {:<19} {:>8} {:>10}",
        "master key", "made (UTC)", "packs", "sealed"
    )?;
    for key in &list.master_keys {
        writeln!(
            out,
            "{:<10} {} {:>8} {:>10}{}",
            key.number,
            time(key.created),
            key.packs,
            bytes(key.bytes),
            if key.current { "  current" } else { "" }
        )?;
    }
    if list.rotation_interrupted {
        writeln!(
            out,
            "\na rotation was interrupted; `tenantfs key rotate` finishes it"
        )?;
    }
    Ok(())
}

fn add(
    context: &Context,
    repository: &Repository,
    label: &str,
    secret: &NewSecret,
) -> Result<Outcome> {
    let (source, secret) = new_secret(secret)?;
    let id = repository.add_key(&secret.text, &new_key(&secret, label))?;
    context.style.report(&json!({ "id": id }), |out| {
        writeln!(
            out,
            "added key {id}: {} opens the repository too",
            source.describe()
        )
    })?;
    Ok(Outcome::Done)
}

fn remove(
    context: &Context,
    repository: &Repository,
    id: &str,
    other: &OtherSecret,
) -> Result<Outcome> {
    let other = source(&other.other_password_file, &other.other_key_file);
    let other = other.map(|source| source.read()).transpose()?;
    let id = repository.remove_key(id, other.as_ref().map(|secret| &secret.text))?;
    context.style.report(&json!({ "id": id }), |out| {
        writeln!(out, "removed key {id}")?;
        writeln!(
            out,
            "who had it may have kept the master key: `tenantfs key rotate` makes another for what is \
             written from now on"
        )
    })?;
    Ok(Outcome::Done)
}

fn change(context: &Context, repository: &Repository, secret: &NewSecret) -> Result<Outcome> {
    let (source, secret) = new_secret(secret)?;
    repository.change_key(&secret.text, &new_key(&secret, ""))?;
    let report = json!({ "opens_with": source.describe() });
    context.style.report(&report, |out| {
        writeln!(
            out,
            "the repository opens with {} now; make [repository] say so",
            source.describe()
        )
    })?;
    Ok(Outcome::Done)
}

fn rotate(context: &Context, repository: &Repository) -> Result<Outcome> {
    let rotation = repository.rotate_keys()?;
    context.style.report(&rotation, |out| {
        let what = if rotation.resumed {
            "finished the rotation that was interrupted"
        } else {
            "made a new master key"
        };
        writeln!(
            out,
            "{what}: number {} seals what is written from now on; {} it",
            rotation.number,
            match rotation.keys {
                1 => "1 key has".to_owned(),
                n => format!("{} have", count(n as u64, "key")),
            }
        )?;
        writeln!(
            out,
            "what was written before stays sealed as it is (`tenantfs key list` shows how much); a copy \
             in a new repository (`tenantfs copy`) seals all of it anew"
        )
    })?;
    Ok(Outcome::Done)
}

fn source(password_file: &Option<PathBuf>, key_file: &Option<PathBuf>) -> Option<Source> {
    let key_file = key_file.clone().map(Source::KeyFile);
    password_file.clone().map(Source::PasswordFile).or(key_file)
}

fn new_secret(args: &NewSecret) -> Result<(Source, Secret)> {
    let Some(source) = source(&args.new_password_file, &args.new_key_file) else {
        bail!("give --new-password-file or --new-key-file");
    };
    let secret = source.read()?;
    Ok((source, secret))
}

fn new_key(secret: &Secret, label: &str) -> NewKey {
    NewKey {
        kind: secret.kind,
        label: label.to_owned(),
        kdf: KdfCost::default(),
    }
}

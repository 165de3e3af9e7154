//! A whole account at once: every service of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use e2e::shell::{quote, sh_ok};

use crate::matrix::row::{Census, Home, Row, census, fingerprint, furnish, same, wipe};
use crate::matrix::stage::{Cast, Shared, Stage, tenant};

/// Every kind there is.
pub const ROWS: [&dyn Row; 6] = [
    &crate::matrix::mailbox::Mailbox,
    &crate::matrix::calendar::Calendar,
    &crate::matrix::contacts::Contacts,
    &crate::matrix::archive::Archive,
    &crate::matrix::tasks::Tasks,
    &crate::matrix::onedrive::OneDrive,
];

/// All that is live in an account, to the last id.
pub fn everything(home: &Home) -> Result<String> {
    let all = ROWS.iter().map(|row| fingerprint(*row, home));
    Ok(all.collect::<Result<Vec<_>>>()?.join("\n"))
}

static STAGE: Shared = Shared::new();

/// Three accounts, the last of them empty.
const ACCOUNTS: [Cast; 3] = [Cast::Same, Cast::Whole, Cast::Heir];

fn stage() -> Result<Arc<Stage>> {
    STAGE.get(|| {
        let (tenant, upns) = tenant(ACCOUNTS.len())?;
        for (cast, upn) in ACCOUNTS.iter().zip(&upns) {
            for row in ROWS {
                furnish(row, &Home::new(&tenant, upn), cast.is_empty())?;
            }
        }
        Stage::capture_all(tenant, upns)
    })
}

fn home(stage: &Stage, cast: Cast) -> Result<Home<'_>> {
    let at = ACCOUNTS.iter().position(|c| *c == cast);
    Ok(stage.home_at(at.context("not in this cast")?))
}

fn counts(home: &Home) -> Result<Vec<Census>> {
    let live = ROWS.iter().map(|row| Ok(census(&row.live(home)?, "")));
    live.collect()
}

fn wipe_all(home: &Home) -> Result<()> {
    ROWS.iter().try_for_each(|row| wipe(*row, home))
}

fn compare(expected: &[Census], home: &Home) -> Result<()> {
    for (row, (was, is)) in ROWS.iter().zip(expected.iter().zip(counts(home)?)) {
        same(was, &is).with_context(|| row.workload())?;
    }
    Ok(())
}

/// `rsync` of a whole account in the snapshot to an account. What is there stays: the settings of a
/// mailbox always are.
fn rsync(stage: &Stage, from: &str, to: &str) -> Result<()> {
    let line = format!(
        "rsync -rt --ignore-existing {}/ {}/",
        quote(&stage.captured(from)),
        quote(&stage.target(to))
    );
    let done = sh_ok(&stage.local(""), &line);
    done.map(drop)
        .with_context(|| stage.log().unwrap_or_default())
}

/// Everything of an account is deleted and comes back to where it was.
#[test]
fn same_account() -> Result<()> {
    let stage = stage()?;
    let home = home(&stage, Cast::Same)?;
    let before = counts(&home)?;
    wipe_all(&home)?;
    rsync(&stage, home.upn, home.upn)?;
    compare(&before, &home)?;

    wipe_all(&home)?;
    let source = format!("latest/{}", home.upn);
    // In words: each item has its line.
    let said = stage.plan_in_words(&[&source, home.upn])?;
    for (row, kinds) in ROWS.iter().zip(&before) {
        let lines = said.lines().filter(|line| {
            line.starts_with("would restore: ")
                && line.contains(&format!(" -> {}/{}/", home.upn, row.folder()))
        });
        ensure!(
            lines.count() == kinds.values().sum::<usize>(),
            "{}: {said}",
            row.workload()
        );
    }
    let live = || everything(&home);
    stage.restored(&live, &[&source, home.upn])?;
    compare(&before, &home)?;
    stage.tenant.nothing_was_sent()
}

/// Everything of an account goes to another, which had nothing.
#[test]
fn other_account() -> Result<()> {
    let stage = stage()?;
    let (giver, heir) = (home(&stage, Cast::Whole)?, home(&stage, Cast::Heir)?);
    let before = counts(&giver)?;
    rsync(&stage, giver.upn, heir.upn)?;
    compare(&before, &heir)?;

    wipe_all(&heir)?;
    let source = format!("latest/{}", giver.upn);
    let live = || everything(&heir);
    stage.restored(&live, &[&source, heir.upn])?;
    compare(&before, &heir)?;
    compare(&before, &giver)?;
    stage.tenant.nothing_was_sent()
}

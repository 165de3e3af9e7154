//! The ways to put something back, the same for every kind: each through the mount and through the
//! command line.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use e2e::corpus;
use e2e::shell::{quote, sh_ok};

use crate::matrix::account::everything;
use crate::matrix::row::{
    ALPHA, BETA, Census, DELTA, GAMMA, Home, Item, Row, ZETA, census, find, fingerprint,
    place_below, same, wipe,
};
use crate::matrix::stage::{Cast, Stage};

/// `ACCOUNT/SERVICE/PLACE`.
fn at(row: &dyn Row, home: &Home, place: &str) -> String {
    let path = format!("{}/{}/{place}", home.upn, row.folder());
    path.trim_end_matches('/').to_owned()
}

/// The same in the newest snapshot, for the command line.
fn latest(path: &str) -> String {
    format!("latest/{path}")
}

/// The place above a folder.
fn above(place: &str) -> &str {
    place.rsplit_once('/').map_or("", |(above, _)| above)
}

fn but<'a>(items: &'a [Item], place: &str) -> Vec<&'a Item> {
    let kept = items
        .iter()
        .filter(|item| place_below(&item.place, place).is_none());
    kept.collect()
}

fn titled<'a>(items: &'a [Item], title: &str) -> Result<&'a Item> {
    let found = items.iter().find(|item| item.title.starts_with(title));
    found.with_context(|| format!("there was no {title}"))
}

/// A folder with nothing but this in it.
fn only(item: &Item) -> Census {
    census([item], &item.place)
}

/// A single item and a folder, deleted and put back where they were.
pub fn same_account(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Same);
    let before = row.live(&home)?;
    let (first, second) = (row.place("First"), row.place("Second"));
    for title in [ALPHA, BETA] {
        row.remove(&home, titled(&before, title)?)?;
    }
    row.remove_folder(&home, &first)?;
    row.remove_folder(&home, &second)?;

    let item = |title| stage.path_of(titled(&before, title)?);
    let own = at(row, &home, row.home());
    stage.copy("cp", &stage.captured(item(ALPHA)?), &stage.target(&own))?;
    let folder = stage.captured(&at(row, &home, &first));
    stage.copy(
        "cp -r",
        &folder,
        &stage.target(&at(row, &home, above(&first))),
    )?;
    let now = row.live(&home)?;
    let expected = but(&before, &second);
    let expected = expected
        .into_iter()
        .filter(|item| !item.title.starts_with(BETA));
    same(&census(expected, ""), &census(&now, ""))?;

    let live = || fingerprint(row, &home);
    let count = stage.restored(&live, &[&latest(item(BETA)?), &own])?;
    ensure!(count == 1, "{count} were restored");
    let place = at(row, &home, &second);
    let count = stage.restored(&live, &[&latest(&place), &place])?;
    let expected = row.restores(&[titled(&before, ZETA)?]);
    ensure!(count == expected, "{count} were restored");
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;
    stage.tenant.nothing_was_sent()
}

/// Everything of an account, deleted and put back.
pub fn whole_account(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Whole);
    let before = row.live(&home)?;
    wipe(row, &home)?;
    let all = at(row, &home, "");
    stage.copy(
        row.copies_all(),
        &stage.captured(&all),
        &stage.target(home.upn),
    )?;
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;

    wipe(row, &home)?;
    let live = || fingerprint(row, &home);
    // To the account alone: everything goes to the place it has in the snapshot.
    let count = stage.restored(&live, &[&latest(&all), home.upn])?;
    let expected = row.restores(&before.iter().collect::<Vec<_>>());
    ensure!(count == expected, "{count} were restored");
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;
    stage.tenant.nothing_was_sent()
}

/// A single item, a folder, and everything, to other accounts.
pub fn other_account(row: &dyn Row, stage: &Stage) -> Result<()> {
    let (giver, taker, heir) = (
        stage.home(Cast::Giver),
        stage.home(Cast::Taker),
        stage.home(Cast::Heir),
    );
    let before = row.live(&giver)?;
    let alpha = titled(&before, ALPHA)?;
    let first = row.place("First");
    let from = at(row, &giver, &first);
    let folder_of = |way: &str| row.place(&format!("First {way}"));
    let single_of = |way: &str| row.place(&format!("Single {way}"));

    let target = at(row, &taker, &single_of("by mount"));
    stage.mkdir(&target)?;
    stage.copy("cp", &stage.file_of(alpha)?, &stage.target(&target))?;
    let target = stage.target(&at(row, &taker, &folder_of("by mount")));
    stage.copy("cp -r", &stage.captured(&from), &target)?;

    let live = || fingerprint(row, &taker);
    let source = latest(stage.path_of(alpha)?);
    let target = at(row, &taker, &single_of("by command"));
    ensure!(stage.restored(&live, &[&source, &target])? == 1);
    let target = at(row, &taker, &folder_of("by command"));
    stage.restored(&live, &[&latest(&from), &target])?;

    let there = row.live(&taker)?;
    for way in ["by mount", "by command"] {
        let single = census(&there, &single_of(way));
        same(&only(alpha), &single).with_context(|| format!("the single one {way}"))?;
        same(&census(&before, &first), &census(&there, &folder_of(way)))?;
    }

    let all = at(row, &giver, "");
    stage.copy(
        row.copies_all(),
        &stage.captured(&all),
        &stage.target(heir.upn),
    )?;
    same(&census(&before, ""), &census(&row.live(&heir)?, ""))?;
    wipe(row, &heir)?;
    let live = || fingerprint(row, &heir);
    let count = stage.restored(&live, &[&latest(&all), heir.upn])?;
    let expected = row.restores(&before.iter().collect::<Vec<_>>());
    ensure!(count == expected, "{count} were restored");
    same(&census(&before, ""), &census(&row.live(&heir)?, ""))?;
    // What it came from is as it was.
    same(&census(&before, ""), &census(&row.live(&giver)?, ""))?;
    stage.tenant.nothing_was_sent()
}

/// An item and a folder to other places of the same account; the originals stay.
pub fn other_path(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Path);
    let before = row.live(&home)?;
    let gamma = titled(&before, GAMMA)?;
    let (single, folder) = match row.nests() {
        true => ("Elsewhere/Single", "Elsewhere/Folder"),
        false => ("Elsewhere", "Elsewhere too"),
    };
    let (single, folder, second) = (row.place(single), row.place(folder), row.place("Second"));
    let command = |place: &str| format!("{place} by command");

    stage.mkdir(&at(row, &home, &single))?;
    let target = stage.target(&at(row, &home, &single));
    stage.copy("cp", &stage.file_of(gamma)?, &target)?;
    let source = at(row, &home, &second);
    let target = stage.target(&at(row, &home, &folder));
    stage.copy("cp -r", &stage.captured(&source), &target)?;

    let live = || fingerprint(row, &home);
    let from = latest(stage.path_of(gamma)?);
    ensure!(stage.restored(&live, &[&from, &at(row, &home, &command(&single))])? == 1);
    let to = at(row, &home, &command(&folder));
    let original = titled(&before, ZETA)?;
    let expected = row.restores(&[original]);
    ensure!(stage.restored(&live, &[&latest(&source), &to])? == expected);

    let now = row.live(&home)?;
    for (place, item) in [(&single, gamma), (&folder, original)] {
        for place in [place.clone(), command(place)] {
            let there = census(&now, &place);
            same(&only(item), &there).with_context(|| format!("at {place}"))?;
        }
    }
    let elsewhere = |item: &&Item| !item.place.contains("Elsewhere");
    let rest = census(now.iter().filter(elsewhere), "");
    same(&census(&before, ""), &rest)?;
    stage.tenant.nothing_was_sent()
}

/// What is there is left alone.
pub fn skip(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Giver);
    let before = fingerprint(row, &home)?;
    let alpha = find(row, &home, ALPHA)?;
    let own = at(row, &home, row.home());
    for policy in ["", "@skip/"] {
        let target = stage.target(&format!("{policy}{own}"));
        let (ok, said) = stage.try_copy("cp", &stage.file_of(&alpha)?, &target)?;
        ensure!(!ok && said.contains("exists"), "it is there, but: {said}");
    }
    let live = || fingerprint(row, &home);
    let source = latest(stage.path_of(&alpha)?);
    for more in [&[][..], &["--conflict", "skip"]] {
        let done = stage.restore(&live, &[&[&source[..], &own], more].concat())?;
        ensure!(
            done["restored"] == 0 && done["existing"] == 1 && done["failed"] == 0,
            "{done:#}"
        );
    }
    ensure!(live()? == before, "it was changed");
    stage.tenant.nothing_was_sent()
}

/// What is there is replaced, and nothing else.
pub fn overwrite(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Over);
    let before = row.live(&home)?;
    let own = at(row, &home, row.home());
    let changed = |title: &str| -> Result<&Item> {
        let item = titled(&before, title)?;
        row.change(&home, item)?;
        Ok(item)
    };
    let replaced = |old: &Item| -> Result<()> {
        let now = find(row, &home, &old.title)?;
        ensure!(
            row.keeps_id() || now.id != old.id,
            "{} was not replaced",
            old.title
        );
        same(&census(&before, ""), &census(&row.live(&home)?, ""))
    };
    let alpha = changed(ALPHA)?;
    let target = stage.target(&format!("@overwrite/{own}"));
    stage.copy("cp", &stage.file_of(alpha)?, &target)?;
    replaced(alpha)?;

    let beta = changed(BETA)?;
    let source = latest(stage.path_of(beta)?);
    let arguments = [&source[..], &own, "--conflict", "overwrite"];
    let said = stage.plan_in_words(&arguments)?;
    let file = source.rsplit('/').next().unwrap_or_default();
    ensure!(
        said.contains("would replace the one that is there") && said.contains(file),
        "{said}"
    );
    let live = || fingerprint(row, &home);
    ensure!(stage.restored(&live, &arguments)? == 1);
    replaced(beta)?;
    stage.tenant.nothing_was_sent()
}

/// Another one is made beside what is there.
pub fn keep_both(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Both);
    let before = row.live(&home)?;
    let own = at(row, &home, row.home());
    let (alpha, beta) = (titled(&before, ALPHA)?, titled(&before, BETA)?);
    let target = stage.target(&format!("@keep-both/{own}"));
    stage.copy("cp", &stage.file_of(alpha)?, &target)?;
    let source = latest(stage.path_of(beta)?);
    let arguments = [&source[..], &own, "--conflict", "keep-both"];
    let said = stage.plan_in_words(&arguments)?;
    ensure!(
        said.contains("would make another beside the one that is there"),
        "{said}"
    );
    let live = || fingerprint(row, &home);
    ensure!(stage.restored(&live, &arguments)? == 1);

    let now = row.live(&home)?;
    let new = now
        .iter()
        .filter(|item| before.iter().all(|old| old.id != item.id));
    let new: Vec<&Item> = new.collect();
    ensure!(now.len() == before.len() + 2 && new.len() == 2, "{now:#?}");
    for old in [alpha, beta] {
        let copy = new.iter().find(|item| {
            item.place == old.place && row.of_copy(&item.meaning) == row.of_copy(&old.meaning)
        });
        let copy = copy.with_context(|| format!("no copy of {old:#?}\n{new:#?}"))?;
        row.remove(&home, copy)?;
    }
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;
    stage.tenant.nothing_was_sent()
}

/// Of everything, what was deleted comes back.
pub fn deleted_only(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Deleted);
    let before = row.live(&home)?;
    for title in [ALPHA, DELTA] {
        row.remove(&home, titled(&before, title)?)?;
    }
    let all = at(row, &home, "");
    let line = format!(
        "rsync -rt --ignore-existing {}/ {}/",
        quote(&stage.captured(&all)),
        quote(&stage.target(&all))
    );
    sh_ok(&stage.local(""), &line)?;
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;

    // With all that is in a folder, and the folder.
    row.remove(&home, titled(&before, BETA)?)?;
    row.remove_folder(&home, &row.place("Second"))?;
    let live = || fingerprint(row, &home);
    let done = stage.restore(&live, &[&latest(&all), home.upn, "--deleted-only"])?;
    ensure!(
        done["restored"] == 1 + row.restores(&[titled(&before, ZETA)?]) && done["failed"] == 0,
        "two were deleted: {done:#}"
    );
    same(&census(&before, ""), &census(&row.live(&home)?, ""))?;
    stage.tenant.nothing_was_sent()
}

/// Everything to a folder of this machine, by `cp` and by the command, which makes the same of it; and
/// only what was deleted.
pub fn download(row: &dyn Row, stage: &Stage) -> Result<()> {
    let home = stage.home(Cast::Download);
    let all = at(row, &home, "");
    let name = |way: &str| stage.local(&format!("{} {way}", row.workload()));
    let (mounted, commanded, lost) = (name("cp"), name("command"), name("deleted"));
    stage.copy(
        "cp -r --preserve=timestamps",
        &stage.captured(&all),
        &mounted,
    )?;
    let to = commanded.to_string_lossy().into_owned();
    let nothing = || Ok(format!("{}", commanded.exists()));
    let count = stage.restored(&nothing, &[&latest(&all), &to])?;
    let files = corpus::files(&commanded);
    ensure!(count == files.len() as u64 && count > 0, "{files:?}");
    let differ = format!("diff -r {} {}", quote(&mounted), quote(&commanded));
    sh_ok(&stage.local(""), &differ)?;
    for file in &files {
        let twin = mounted.join(file.strip_prefix(&commanded)?);
        ensure!(
            fs::metadata(file)?.modified()? == fs::metadata(&twin)?.modified()?,
            "{} has another time",
            file.display()
        );
        ensure!(fs::metadata(file)?.len() > 0, "{} is empty", file.display());
    }
    // Each is there, by its name.
    let live = row.live(&home)?;
    let is_thing = |file: &&PathBuf| {
        let below = file.strip_prefix(&commanded).unwrap_or(file);
        row.is_thing(&below.to_string_lossy())
    };
    let things = files.iter().filter(is_thing).count();
    ensure!(things == live.len(), "{files:?}\n{live:#?}");
    for item in &live {
        let path = stage.path_of(item)?;
        let below = path.strip_prefix(&all).context("another place")?;
        ensure!(commanded.join(below.trim_start_matches('/')).is_file());
    }

    let again = stage.restore(&nothing, &[&latest(&all), &to])?;
    ensure!(
        again["restored"] == 0 && again["existing"] == files.len(),
        "{again:#}"
    );
    row.remove(&home, titled(&live, GAMMA)?)?;
    let to = lost.to_string_lossy().into_owned();
    let nothing = || Ok(format!("{}", lost.exists()));
    let done = stage.restore(&nothing, &[&latest(&all), &to, "--deleted-only"])?;
    ensure!(done["restored"] == 1, "{done:#}");
    ensure!(corpus::files(&lost).len() == 1);
    stage.tenant.nothing_was_sent()
}

/// What a service can't take is refused with the reason, and leaves nothing anywhere. `file` is a path
/// below a snapshot; each place has its reason.
pub fn refused(stage: &Stage, file: &str, places: &[(&str, &str)]) -> Result<()> {
    let home = stage.home(Cast::Refused);
    let before = everything(&home)?;
    for (place, why) in places {
        let target = format!("{}/{place}", home.upn);
        stage.refused_copy(&stage.captured(file), &target, why)?;
        let live = || Ok(String::new());
        stage.refused(&live, &[&latest(file), &target], why)?;
    }
    ensure!(
        everything(&home)? == before,
        "a refused file left something"
    );
    stage.tenant.nothing_was_sent()
}

//! What a restore brings back, and what not: everything that differs between an item and the one that was
//! restored in another account is in `src/restore/FIDELITY.md` with its reason, and nothing else is.

use anyhow::{Result, ensure};
use e2e::fidelity::{self, Kind, Route, list};

fn hold(route: Route, kinds: &[Kind]) -> Result<()> {
    let Some(findings) = fidelity::round(route, true)? else {
        return Ok(());
    };
    let compared: Vec<Kind> = findings.keys().copied().collect();
    for kind in kinds {
        ensure!(compared.contains(kind), "no {kind:?} among {compared:?}");
    }
    for (kind, found) in &findings {
        println!(
            "{}: {} items, {} values, {} properties differ, {} refused",
            kind.title(),
            found.items,
            found.values,
            found.differing.len(),
            found.refused
        );
    }
    let mut findings = findings;
    findings.retain(|kind, _| kinds.contains(kind));
    let problems = list::problems(&findings, &list::documented()?);
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn what_differs_is_listed_and_nothing_else() -> Result<()> {
    let kinds = Kind::ALL.into_iter().filter(|k| *k != Kind::MailByImport);
    hold(Route::Mime, &kinds.collect::<Vec<_>>())
}

#[test]
fn mail_by_import_differs_only_as_listed() -> Result<()> {
    hold(Route::Export, &[Kind::MailByImport])
}

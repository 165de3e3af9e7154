//! What a restore brings back, and what not: the comparison that the test of it makes, printed with the
//! number of items each property differs in.

use anyhow::{Context, Result, ensure};
use e2e::fidelity::{Kind, Route, list, round};

pub fn run() -> Result<()> {
    let missing = "there is no corpus beside the project";
    let mut findings = round(Route::Mime, false)?.context(missing)?;
    let by_import = round(Route::Export, false)?.context(missing)?;
    // Nothing else is restored in another way.
    findings.extend(
        by_import
            .into_iter()
            .filter(|(k, _)| *k == Kind::MailByImport),
    );
    let listed = list::documented()?;
    println!("\nwhat differs when an account was restored into an empty one");
    for (kind, found) in &findings {
        println!(
            "\n{}: {} items, {} values compared, {} properties differ",
            kind.title(),
            found.items,
            found.values,
            found.differing.len()
        );
        if found.refused > 0 {
            println!("{:>7}  that nobody can make again: refused", found.refused);
        }
        for (property, count) in &found.differing {
            let what = listed.get(kind).and_then(|list| list.get(property));
            let what = what.map_or("NOT LISTED", |entry| &entry.what);
            println!("{count:>7}  {property}: {what}");
        }
    }
    let problems = list::problems(&findings, &listed);
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

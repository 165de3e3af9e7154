//! Changes that delta never tells: a sweep finds them, by name, and fetches nothing else.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::rig::{id, live};
use graph_emulator::Quirk;
use serde_json::{Value, json};
use tenantfs::sync::CycleOutcome;

use crate::traps::{ALL, alice, captured, complete, item, make_one_of_each, tasks};

/// A little more than the time after which a sweep is due.
const WEEK: i64 = 7 * 86_400 + 60;

/// Ids that the report says a sweep found.
fn found(outcome: &CycleOutcome) -> BTreeSet<String> {
    let notes = outcome.report.notes.iter();
    let by_sweep = notes.filter(|line| line.reason.starts_with("found by the sweep"));
    by_sweep.map(|line| line.id.clone()).collect()
}

#[test]
fn a_sweep_of_everything_that_finds_nothing_costs_listings_only() -> Result<()> {
    let rig = captured(&[])?;
    rig.good_cycle()?;
    rig.advance(WEEK);
    rig.graph.reset_requests()?;
    let outcome = rig.good_cycle()?;
    ensure!(outcome.snapshot.is_none() && found(&outcome).is_empty());
    ensure!(rig.contents()? == 0, "{}", rig.graph.requests()?);
    let swept = rig.graph.requests()?["total"].as_u64();
    rig.graph.reset_requests()?;
    rig.good_cycle()?;
    let idle = rig.graph.requests()?["total"].as_u64();
    println!("{swept:?} requests with a sweep, {idle:?} without");
    ensure!(
        idle < swept,
        "it was swept again: {}",
        rig.graph.requests()?
    );
    Ok(())
}

#[test]
fn moves_that_no_folder_tells_are_found() -> Result<()> {
    let rig = captured(&[Quirk::DeltaLosesMoves])?;
    let upn = alice(&rig)?;
    let inbox = rig
        .graph
        .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
    let moved: BTreeSet<String> = inbox.iter().take(3).map(id).collect();
    for message in &moved {
        let path = format!("/users/{upn}/messages/{message}/move");
        rig.graph
            .post(&path, &json!({ "destinationId": "archive" }))?;
    }
    ensure!(rig.good_cycle()?.snapshot.is_none(), "delta told it");
    rig.advance(WEEK);
    rig.graph.reset_requests()?;
    let outcome = rig.good_cycle()?;
    ensure!(found(&outcome) == moved, "{:#?}", outcome.report.notes);
    ensure!(rig.contents()? == 0, "{}", rig.graph.requests()?);
    for message in &moved {
        let (path, _) = item(&rig, message)?;
        ensure!(path.contains("/Mail/Archive/"), "{path}");
    }
    complete(&rig)
}

#[test]
fn whatever_delta_loses_is_found() -> Result<()> {
    let rig = captured(&[Quirk::DeltaLosesChanges])?;
    let (graph, upn) = (&rig.graph, alice(&rig)?);
    let user = format!("/users/{upn}");
    // New ones, changed ones, deleted ones of every kind; new folders.
    for n in 0..6 {
        make_one_of_each(&rig, &format!("New {n}"))?;
        graph.post(
            &format!("{user}/mailFolders"),
            &json!({ "displayName": format!("Folder {n}") }),
        )?;
    }
    let tasks = tasks(&rig)?;
    let (messages, contacts) = (format!("{user}/messages"), format!("{user}/contacts"));
    for (kind, change) in [
        (&messages, json!({ "categories": ["c"] })),
        (&contacts, json!({ "jobTitle": "Changed" })),
        (&tasks, json!({ "title": "Changed" })),
    ] {
        let all = graph.list(&format!("{kind}?$top=100"))?;
        for known in all.iter().skip(6).take(6) {
            graph.patch(&format!("{kind}/{}", id(known)), &change)?;
        }
        for known in all.iter().take(6) {
            graph.delete(&format!("{kind}/{}", id(known)))?;
        }
    }
    let known = rig.captured()?;
    rig.good_cycle()?;
    let there = live(graph, &rig.emulator.url, &ALL)?;
    let (before, missing) = (
        rig.captured()?,
        |captured: &BTreeSet<String>| -> BTreeSet<String> {
            there.difference(captured).cloned().collect()
        },
    );
    let lost = missing(&before);
    ensure!(!lost.is_empty() && before != known, "delta lost nothing");

    rig.advance(WEEK);
    graph.reset_requests()?;
    let outcome = rig.good_cycle()?;
    complete(&rig)?;
    let found = found(&outcome);
    ensure!(lost.is_subset(&found), "{:#?}", outcome.report.notes);
    let gone: BTreeSet<String> = before.difference(&there).cloned().collect();
    ensure!(!gone.is_empty() && gone.is_subset(&found), "{gone:#?}");
    // Only what was missed was fetched: the new, and what changed.
    let totals = outcome.report.totals;
    ensure!(
        totals.found == found.len() as u64 && totals.fetched <= totals.found,
        "{totals:?}"
    );
    let changed = |record: &Value| record["jobTitle"] == "Changed" || record["title"] == "Changed";
    let files = rig.files()?;
    let now = files.values().filter(|(_, record)| changed(record)).count();
    ensure!(now == 12, "{now} changed ones");
    // And it is known from then on.
    ensure!(rig.good_cycle()?.snapshot.is_none());
    Ok(())
}

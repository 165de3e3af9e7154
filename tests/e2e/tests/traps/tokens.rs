//! Tokens that are lost, between rounds and within one, and mailboxes that are too full for delta.

use anyhow::{Context, Result, ensure};
use e2e::Rig;
use e2e::rig::{everything, id};
use graph_emulator::Options;
use serde_json::{Value, json};

use crate::traps::{alice, archived, captured, complete, make_one_of_each, tasks, tenant};

#[test]
fn lost_tokens_cost_no_content() -> Result<()> {
    let rig = captured(&[])?;
    for changes in [false, true] {
        let new = match changes {
            true => make_one_of_each(&rig, "Meanwhile")?.len() as u64,
            false => 0,
        };
        rig.graph.control("expire-delta-tokens", &json!({}))?;
        rig.graph.reset_requests()?;
        let outcome = rig.good_cycle()?;
        ensure!(outcome.snapshot.is_some() == changes);
        let totals = outcome.report.totals;
        ensure!(
            (totals.added, totals.fetched, totals.updated, totals.removed) == (new, new, 0, 0),
            "{totals:?}"
        );
        ensure!(rig.contents()? <= new, "{}", rig.graph.requests()?);
        complete(&rig)?;
    }
    Ok(())
}

/// The token of the second page is refused, once.
fn lost(route: &str, query: &str) -> Value {
    json!({ "method": "GET", "route": route, "query": query, "count": 1,
            "fault": { "status": 410, "code": "SyncStateNotFound" } })
}

/// Pages of this collection are too heavy for so many requests: smaller ones are asked for.
fn heavy(route: &str, count: u64) -> Value {
    json!({ "method": "GET", "route": route, "count": count, "fault": { "status": 504 } })
}

/// How often each rule has spoiled a request.
fn sprung(rig: &Rig) -> Result<Vec<u64>> {
    let told = rig
        .graph
        .get(&format!("{}/_emulator/faults", rig.emulator.url))?;
    let rules = if told.is_array() {
        &told
    } else {
        &told["rules"]
    };
    let rules = rules.as_array().context("no rules")?;
    Ok(rules
        .iter()
        .filter_map(|rule| rule["seen"].as_u64())
        .collect())
}

#[test]
fn a_token_lost_in_the_middle_of_a_round_loses_nothing() -> Result<()> {
    // More files than fit on a page.
    let files = tempfile::tempdir()?;
    for n in 0..510 {
        std::fs::write(files.path().join(format!("{n}.txt")), n.to_string())?;
    }
    let options = Options {
        import_files: vec![files.path().to_owned()],
        ..tenant(&[])
    };
    let rig = Rig::start(options, everything)?;
    let upn = alice(&rig)?;
    let (tasks, items) = (tasks(&rig)?, archived(&rig)?);
    let delta = |url: &str| {
        let last: Vec<&str> = url.rsplitn(3, '/').collect();
        format!("*{}/{}/delta", last[1], last[0])
    };
    let (tasks, items) = (delta(&tasks), delta(&items));
    let faults = json!([
        lost("*/messages/delta", "skiptoken"),
        lost("*/contacts/delta", "skiptoken"),
        lost("*/root/delta", "token="),
        lost(&tasks, "skiptoken"),
        lost(&items, "skiptoken"),
        // From 200 to 25 to 3, from 500 to 50 to 7: three attempts at each.
        heavy(&tasks, 6),
        heavy(&items, 6),
    ]);
    rig.faults(faults)?;
    let first = rig.good_cycle()?;
    ensure!(
        sprung(&rig)?[..5].iter().all(|seen| *seen > 0),
        "{:?}",
        sprung(&rig)?
    );
    rig.faults(json!([]))?;
    complete(&rig)?;
    // What the first page had was not fetched again.
    let totals = first.report.totals;
    let all = rig.files()?.len() as u64;
    ensure!(
        totals.fetched == all && totals.updated == 0,
        "{all} files, {totals:?}"
    );

    // The same with rounds that tell changes: half of all contacts, and enough of the rest.
    for n in 0..10 {
        make_one_of_each(&rig, &format!("New {n}"))?;
    }
    let deleted = rig.graph.list(&format!("/users/{upn}/contacts?$top=100"))?;
    for contact in deleted.iter().take(12) {
        rig.graph
            .delete(&format!("/users/{upn}/contacts/{}", id(contact)))?;
    }
    rig.faults(json!([
        lost("*/messages/delta", "skiptoken"),
        lost("*/contacts/delta", "skiptoken"),
    ]))?;
    let second = rig.good_cycle()?;
    ensure!(
        sprung(&rig)?.iter().all(|seen| *seen > 0),
        "{:?}",
        sprung(&rig)?
    );
    rig.faults(json!([]))?;
    complete(&rig)?;
    // Ten of each kind were made, and some of the contacts are gone already.
    let totals = second.report.totals;
    ensure!(totals.removed == 12 && totals.fetched <= 50, "{totals:?}");
    ensure!(rig.good_cycle()?.snapshot.is_none());
    Ok(())
}

#[test]
fn a_full_mailbox_is_listed_instead() -> Result<()> {
    let rig = captured(&[])?;
    let full = || json!({ "status": 403, "code": "ErrorQuotaExceeded", "message": "full" });
    let faults: Vec<Value> = [
        "*/mailFolders/delta",
        "*/messages/delta",
        "*/contactFolders/delta",
        "*/contacts/delta",
        "*/lists/delta",
        "*/tasks/delta",
        "*/items/delta",
    ]
    .iter()
    .map(|route| json!({ "method": "GET", "route": route, "count": 0, "fault": full() }))
    .collect();
    rig.faults(json!(faults))?;
    rig.graph.reset_requests()?;
    let quiet = rig.good_cycle()?;
    ensure!(quiet.snapshot.is_none(), "{:?}", quiet.report.totals);
    ensure!(rig.contents()? == 0, "{}", rig.graph.requests()?);

    let new = make_one_of_each(&rig, "Squeezed in")?.len() as u64;
    let upn = alice(&rig)?;
    let gone = rig.graph.list(&format!("/users/{upn}/contacts"))?;
    rig.graph
        .delete(&format!("/users/{upn}/contacts/{}", id(&gone[3])))?;
    let totals = rig.good_cycle()?.report.totals;
    ensure!(
        (totals.added, totals.fetched, totals.removed) == (new, new, 1),
        "{totals:?}"
    );
    complete(&rig)?;
    // There is room again: delta begins anew, and nothing is fetched.
    rig.faults(json!([]))?;
    rig.graph.reset_requests()?;
    ensure!(rig.good_cycle()?.snapshot.is_none());
    ensure!(rig.contents()? == 0, "{}", rig.graph.requests()?);
    make_one_of_each(&rig, "Later")?;
    let totals = rig.good_cycle()?.report.totals;
    ensure!(totals.added == new && totals.updated == 0, "{totals:?}");
    complete(&rig)
}

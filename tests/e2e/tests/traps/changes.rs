//! What counts as a change (read state, flags, categories), and what a move looks like.

use anyhow::{Context, Result, ensure};
use e2e::rig::id;
use graph_emulator::Quirk;
use serde_json::json;

use crate::traps::{alice, captured, complete, item};

#[test]
fn read_state_flags_and_categories_fetch_no_content() -> Result<()> {
    for quirk in [None, Some(Quirk::PartialDelta), Some(Quirk::ReadTouches)] {
        let rig = captured(quirk.as_slice())?;
        let upn = alice(&rig)?;
        let inbox = rig
            .graph
            .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
        let unread = inbox.iter().find(|m| m["isRead"] == false);
        let message = unread.or(inbox.first()).context("no mail")?;
        let path = format!("/users/{upn}/messages/{}", id(message));
        let (place, before) = item(&rig, &id(message))?;
        for light in [
            json!({ "isRead": before["isRead"] == false }),
            json!({ "flag": { "flagStatus": "flagged" } }),
            json!({ "categories": ["Red category", "Blue category"] }),
        ] {
            rig.graph.patch(&path, &light)?;
            rig.graph.reset_requests()?;
            let outcome = rig.good_cycle()?;
            ensure!(
                rig.contents()? == 0,
                "{quirk:?} {light}: {}",
                rig.graph.requests()?
            );
            let totals = outcome.report.totals;
            ensure!((totals.updated, totals.fetched) == (1, 0), "{totals:?}");
            let (now, record) = item(&rig, &id(message))?;
            ensure!(now == place, "{place} is {now}");
            for (name, value) in light.as_object().context("an object")? {
                let told = &record[name];
                let told = if name == "flag" {
                    &told["flagStatus"]
                } else {
                    told
                };
                let value = if name == "flag" {
                    &value["flagStatus"]
                } else {
                    value
                };
                ensure!(told == value, "{name} is {told}");
            }
        }
        complete(&rig)?;
    }
    Ok(())
}

#[test]
fn moves_are_followed_however_they_are_told() -> Result<()> {
    for quirk in [
        vec![],
        vec![Quirk::MoveTrap],
        vec![Quirk::DeltaLosesArrivals],
        vec![Quirk::MoveTrap, Quirk::EmptyPages, Quirk::DuplicateItems],
    ] {
        let rig = captured(&quirk)?;
        let upn = alice(&rig)?;
        let inbox = rig
            .graph
            .list(&format!("/users/{upn}/mailFolders/inbox/messages"))?;
        let (there, back) = (id(&inbox[0]), id(&inbox[1]));
        let (name, _) = item(&rig, &there)?;
        let (stays, _) = item(&rig, &back)?;
        let go = |message: &str, to: &str| {
            let path = format!("/users/{upn}/messages/{message}/move");
            rig.graph.post(&path, &json!({ "destinationId": to }))
        };
        go(&there, "archive")?;
        go(&back, "archive")?;
        go(&back, "inbox")?;
        rig.graph.reset_requests()?;
        let outcome = rig.good_cycle()?;
        ensure!(rig.contents()? == 0, "{quirk:?}: {}", rig.graph.requests()?);
        ensure!(outcome.report.totals.removed == 0, "{quirk:?}");
        complete(&rig)?;
        let (moved, _) = item(&rig, &there)?;
        let file = |path: &str| path.rsplit('/').next().map(str::to_owned);
        ensure!(
            moved.contains("/Archive/") && file(&moved) == file(&name),
            "{quirk:?}: {name} is {moved}"
        );
        ensure!(item(&rig, &back)?.0 == stays, "{quirk:?}");
        // And it is known from then on.
        ensure!(rig.good_cycle()?.snapshot.is_none(), "{quirk:?}");
    }
    Ok(())
}

//! Items that can't be read: one that fails its page, and mail whose MIME never comes.

use anyhow::{Context, Result, ensure};
use e2e::Rig;
use e2e::rig::{everything, id, live};
use graph_emulator::Quirk;
use serde_json::{Value, json};

use crate::traps::{ALL, alice, archived, captured, complete, make_one_of_each, tasks, tenant};

/// What the mail of the archive is known by.
const LEASE: &str = "lease@northwind.test";

/// Every answer that holds one of the victims fails.
fn poison() -> Value {
    json!([
        { "route": "/beta/admin/*", "count": 0, "fault": { "poison": LEASE } },
        { "method": "GET", "count": 0, "fault": { "poison": "Poisoned" } },
    ])
}

/// Ids of something of each kind: that of the archive is the last, and was there before.
fn victims(rig: &Rig) -> Result<Vec<String>> {
    let (graph, upn) = (&rig.graph, alice(rig)?);
    let user = format!("/users/{upn}");
    let names = ["mail", "event", "contact", "task"].map(|kind| format!("Poisoned {kind}"));
    let at = |time: &str| json!({ "dateTime": time, "timeZone": "UTC" });
    let event = json!({ "subject": names[1], "start": at("2026-12-01T10:00:00"), "end": at("2026-12-01T11:00:00") });
    let list = tasks(rig)?;
    let made = [
        graph.receive(&upn, "inbox", &names[0])?,
        graph.post(&format!("{user}/events"), &event)?,
        graph.post(
            &format!("{user}/contacts"),
            &json!({ "displayName": names[2] }),
        )?,
        graph.post(&list, &json!({ "title": names[3] }))?,
    ];
    let mut victims: Vec<String> = made.iter().map(id).collect();
    // An archive can't be written to as easily: the mail that all archives have.
    let expand = "$expand=singleValueExtendedProperties($filter=id eq 'String 0x1035')";
    let items = format!("{}?$top=200&{expand}", archived(rig)?);
    let items = graph.list(&items)?;
    let found = items.iter().find(|item| {
        let known = item["singleValueExtendedProperties"][0]["value"].as_str();
        known.is_some_and(|known| known.contains(LEASE))
    });
    victims.push(id(found.context("no lease")?));
    Ok(victims)
}

#[test]
fn one_poisoned_item_costs_no_other() -> Result<()> {
    // From the start, and coming to a folder that is followed already.
    for known in [false, true] {
        let rig = match known {
            true => captured(&[])?,
            false => Rig::start(tenant(&[]), everything)?,
        };
        let victims = victims(&rig)?;
        let there = live(&rig.graph, &rig.emulator.url, &ALL)?;
        rig.faults(poison())?;
        let outcome = rig.cycle()?;
        ensure!(outcome.snapshot.is_some() && outcome.report.accounts.failed == 0);
        let mut failed: Vec<&str> = outcome.report.failed.iter().map(|f| &*f.id).collect();
        failed.sort_unstable();
        // One that was captured already and is not told anew is not missed.
        let mut expected: Vec<&str> = victims.iter().map(|id| &**id).collect();
        if known {
            expected.pop();
        }
        expected.sort_unstable();
        ensure!(failed == expected, "{:#?}", outcome.report.failed);
        let captured = rig.captured()?;
        let missing: Vec<&String> = there.difference(&captured).collect();
        ensure!(missing.len() == expected.len(), "{missing:#?}");

        // The folders can be followed from there.
        let new = make_one_of_each(&rig, "Healthy")?;
        let outcome = rig.cycle()?;
        ensure!(outcome.report.totals.failed == expected.len() as u64);
        let captured = rig.captured()?;
        ensure!(new.iter().all(|id| captured.contains(id)), "{new:#?}");
        ensure!(rig.cycle()?.snapshot.is_none(), "failing again is no news");

        // What can be read again is captured, at the latest tomorrow.
        rig.faults(json!([]))?;
        rig.advance(2 * 86_400);
        rig.good_cycle()?;
        complete(&rig)?;
    }
    Ok(())
}

/// A mail that is encrypted as a whole: Exchange has no MIME of it, ever.
const OPAQUE: &str = "From: Ann <ann@contoso.com>\r\nTo: bob@contoso.com\r\nSubject: Sealed\r\n\
    Message-ID: <sealed@contoso.com>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
    Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
    Content-Disposition: attachment; filename=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    MIAGCSqGSIb3DQEHA6CAMIACAQAxAAAAAAA=\r\n";

#[test]
fn opaque_mail_is_captured_without_its_mime() -> Result<()> {
    // By its export; and where exporting is refused, from its record and its attachment.
    for refused in [false, true] {
        let mails = tempfile::tempdir()?;
        std::fs::write(mails.path().join("sealed.eml"), OPAQUE)?;
        let options = graph_emulator::Options {
            import_mail: vec![mails.path().to_owned()],
            ..tenant(&[Quirk::SmimeFails])
        };
        let rig = Rig::start(options, everything)?;
        if refused {
            let fault = json!({ "status": 403, "code": "ErrorAccessDenied", "message": "no" });
            rig.faults(json!([{ "route": "/v1.0/admin/exchange/mailboxes/*/exportItems", "count": 0, "fault": fault }]))?;
        }
        rig.good_cycle()?;
        rig.faults(json!([]))?;
        complete(&rig)?;
        let files = rig.files()?;
        let sealed = files.iter().find(|(path, _)| path.contains("Sealed"));
        let (path, (bytes, record)) = sealed.context("it is not there")?;
        let text = String::from_utf8_lossy(bytes);
        ensure!(
            path.ends_with(".eml") && text.contains("<sealed@contoso.com>"),
            "{text}"
        );
        let payload = "MIAGCSqGSIb3DQEHA6CAMIACAQAxAAAAAAA=";
        ensure!(text.contains(payload), "{text}");
        ensure!(
            record["tenantfsContent"]["rebuilt"]
                .as_bool()
                .unwrap_or(false)
                == refused,
            "{record:#}"
        );
        // It is not asked for again and again.
        rig.graph.reset_requests()?;
        ensure!(rig.good_cycle()?.snapshot.is_none());
        ensure!(rig.contents()? == 0, "{}", rig.graph.requests()?);
    }
    Ok(())
}

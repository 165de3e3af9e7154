//! Calendars, from Exchange to files and back: captured, followed, mounted, read by other people's
//! libraries, restored in every way there is. Every test ends with the question whether Exchange would
//! have sent anything to anyone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::calendars::{self, Occurrence};
use e2e::shell::{quote, sh, sh_ok};
use e2e::{Mounted, Tenant, corpus};
use graph_emulator::Options;
use serde_json::{Value, json};

struct Scene {
    tenant: Tenant,
    alice: String,
    bob: String,
    /// Mails that were sent before anything was restored: setting a meeting up invites people.
    sent: std::cell::Cell<usize>,
}

fn at(time: &str, zone: &str) -> Value {
    json!({ "dateTime": time, "timeZone": zone })
}

/// A weekly series in Berlin over the change of the clocks.
fn series(subject: &str) -> Value {
    json!({
        "subject": subject, "start": at("2026-03-16T09:00:00", "W. Europe Standard Time"),
        "end": at("2026-03-16T09:30:00", "W. Europe Standard Time"),
        "body": { "contentType": "html", "content": "<p>Every Monday</p>" },
        "categories": ["Red category"], "showAs": "tentative", "sensitivity": "private",
        "recurrence": {
            "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "monday" },
            "range": { "type": "numbered", "startDate": "2026-03-16", "numberOfOccurrences": 6,
                       "recurrenceTimeZone": "W. Europe Standard Time" } },
    })
}

fn single(subject: &str) -> Value {
    json!({ "subject": subject, "start": at("2026-12-01T10:00:00", "UTC"), "end": at("2026-12-01T11:30:00", "UTC"),
            "body": { "contentType": "text", "content": "Bring figures" }, "location": { "displayName": "Room 1" } })
}

impl Scene {
    fn new() -> Result<Self> {
        Self::with(0)
    }

    fn with(events: u64) -> Result<Self> {
        let tenant = Tenant::start(Options {
            accounts: 3,
            messages: 0,
            files: 0,
            events,
            ..Options::default()
        })?;
        let mut users = tenant.graph.mailboxes()?;
        let (alice, bob) = (users.remove(0), users.remove(0));
        Ok(Self {
            tenant,
            alice,
            bob,
            sent: 0.into(),
        })
    }

    fn create(&self, upn: &str, event: &Value) -> Result<String> {
        let made = self
            .tenant
            .graph
            .post(&format!("/users/{upn}/events"), event)?;
        Ok(made["id"].as_str().context("no id")?.to_owned())
    }

    /// Moves the second occurrence of a series, gives it a file, and cancels the third.
    fn break_series(&self, upn: &str, id: &str) -> Result<()> {
        let graph = &self.tenant.graph;
        let window = "startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-05-01T00:00:00Z";
        let days = graph.list(&format!("/users/{upn}/events/{id}/instances?{window}"))?;
        let id = |n: usize| {
            days.get(n)
                .and_then(|day| day["id"].as_str())
                .context("an occurrence")
        };
        let moved = json!({ "subject": "Moved", "start": at("2026-03-24T15:00:00", "UTC"),
                            "end": at("2026-03-24T16:00:00", "UTC") });
        let moved = graph.patch(&format!("/users/{upn}/events/{}", id(1)?), &moved)?;
        let moved = moved["id"].as_str().context("no id")?;
        graph.post(
            &format!("/users/{upn}/events/{moved}/attachments"),
            &file("plan.txt", b"plan"),
        )?;
        graph.delete(&format!("/users/{upn}/events/{}", id(2)?))?;
        Ok(())
    }

    fn events(&self, upn: &str, calendar: &str) -> Result<Vec<Value>> {
        let all = self.tenant.graph.list(&format!("/users/{upn}/calendars"))?;
        let found = all
            .iter()
            .find(|c| c["name"] == calendar && c["owner"]["address"] == upn);
        let id = found
            .and_then(|c| c["id"].as_str())
            .context("no such calendar")?;
        self.tenant
            .graph
            .list(&format!("/users/{upn}/calendars/{id}/events?$top=500"))
    }

    fn named(&self, upn: &str, calendar: &str, subject: &str) -> Result<Vec<Value>> {
        let mut all = self.events(upn, calendar)?;
        all.retain(|event| event["subject"] == subject);
        Ok(all)
    }

    fn remove(&self, upn: &str, id: &str) -> Result<()> {
        self.tenant
            .graph
            .delete(&format!("/users/{upn}/events/{id}"))?;
        Ok(())
    }

    /// Occurrences in a mailbox's calendar, as Exchange lists them.
    fn view(&self, upn: &str, calendar: &str, from: &str, to: &str) -> Result<Vec<Occurrence>> {
        calendars::listed(&self.tenant.graph, upn, calendar, from, to)
    }

    /// What was sent so far was sent by those who set the scene.
    fn count_from_here(&self) -> Result<()> {
        self.sent.set(self.tenant.graph.sent()?.len());
        Ok(())
    }

    fn nothing_was_sent(&self) -> Result<()> {
        let sent = self.tenant.graph.sent()?;
        ensure!(
            sent.len() == self.sent.get(),
            "a restore sent mail: {sent:?}"
        );
        Ok(())
    }

    fn count(&self, method: &str, ends: &str) -> Result<u64> {
        let told = self.tenant.graph.requests()?;
        let rows = told["by_route"].as_array().context("no routes")?;
        let fits = |row: &&Value| {
            row["method"] == method
                && row["route"]
                    .as_str()
                    .is_some_and(|route| route.ends_with(ends))
        };
        Ok(rows
            .iter()
            .filter(fits)
            .filter_map(|row| row["count"].as_u64())
            .sum())
    }
}

fn file(name: &str, bytes: &[u8]) -> Value {
    use base64::Engine;
    json!({ "@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentType": "text/plain",
            "contentBytes": base64::engine::general_purpose::STANDARD.encode(bytes) })
}

/// The `.ics` files below a folder of the latest snapshot.
fn ics(mount: &Mounted, below: &str) -> Result<Vec<PathBuf>> {
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let mut files = corpus::files(&latest.join(below));
    files.retain(|file| file.extension().is_some_and(|e| e == "ics"));
    Ok(files)
}

fn the_file(mount: &Mounted, below: &str, subject: &str) -> Result<PathBuf> {
    let files = ics(mount, below)?;
    let found = files
        .iter()
        .find(|file| file.to_string_lossy().contains(subject));
    found
        .cloned()
        .with_context(|| format!("no {subject} in {files:?}"))
}

fn unfolded(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path)?
        .replace("\r\n ", "")
        .replace("\r\n", "\n"))
}

const SPRING: (&str, &str) = ("2026-03-01T00:00:00", "2026-05-15T00:00:00");

#[test]
fn a_calendar_is_captured_and_followed() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    let weekly = scene.create(alice, &series("Stand-up"))?;
    scene.break_series(alice, &weekly)?;
    let board = scene.create(alice, &single("Board meeting"))?;
    graph.post(
        &format!("/users/{alice}/events/{board}/attachments"),
        &file("a.txt", b"figures"),
    )?;
    scene.create(
        alice,
        &json!({ "subject": "Fair", "isAllDay": true,
        "start": at("2026-07-10T00:00:00", "Pacific Standard Time"),
        "end": at("2026-07-12T00:00:00", "Pacific Standard Time") }),
    )?;
    scene.count_from_here()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let calendar = format!("{alice}/Calendar/Calendar");

    let fair = the_file(&mount, &calendar, "Fair")?;
    ensure!(
        fair.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("2026-07-10 Fair."))
    );
    ensure!(unfolded(&fair)?.contains("DTSTART;VALUE=DATE:20260710\n"));
    let stand_up = the_file(&mount, &calendar, "Stand-up")?;
    ensure!(
        stand_up
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("2026-03-16 0900 "))
    );
    let shown = unfolded(&stand_up)?;
    for line in [
        "RRULE:FREQ=WEEKLY;COUNT=6;BYDAY=MO;WKST=MO",
        "EXDATE;TZID=Europe/Berlin:20260330T090000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20260323T090000",
        "SUMMARY:Moved",
        "BEGIN:VTIMEZONE",
    ] {
        ensure!(shown.lines().any(|l| l == line), "{line}\n{shown}");
    }
    ensure!(shown.contains("X-FILENAME=plan.txt:cGxhbg=="), "{shown}");
    ensure!(unfolded(&the_file(&mount, &calendar, "Board meeting")?)?.contains(":ZmlndXJlcw=="));
    // The record is small: the file's bytes are in the file.
    let latest = mount.path("snapshots/latest").canonicalize()?;
    let below = stand_up.strip_prefix(&latest)?;
    let record = latest
        .join(".tenantfs/graph")
        .join(format!("{}.json", below.display()));
    let record: Value = serde_json::from_slice(&fs::read(record)?)?;
    ensure!(
        record["cancelledOccurrences"]
            .as_array()
            .is_some_and(|c| c.len() == 1)
    );
    ensure!(record["exceptionOccurrences"][0]["attachments"][0]["name"] == "plan.txt");
    ensure!(!record.to_string().contains("contentBytes"));

    // An idle cycle: one listing for each calendar, no content, no snapshot.
    graph.reset_requests()?;
    let idle = scene.tenant.backup()?;
    ensure!(idle["snapshot"].is_null(), "{idle}");
    let own = graph.list(&format!("/users/{alice}/calendars"))?;
    let own = own
        .iter()
        .filter(|c| c["owner"]["address"] == *alice)
        .count() as u64;
    ensure!(scene.count("GET", "/events/{id}")? == 0);
    ensure!(scene.count("GET", "/attachments")? == 0);
    let listings = scene.count("GET", "/calendars/{id}/events")?;
    ensure!(
        listings == own * graph.mailboxes()?.len() as u64,
        "{listings}"
    );

    // One change: one event is fetched. One deletion: it is asked for, and goes.
    graph.patch(
        &format!("/users/{alice}/events/{board}"),
        &json!({ "location": { "displayName": "Room 2" } }),
    )?;
    scene.remove(alice, &weekly)?;
    graph.reset_requests()?;
    scene.tenant.backup()?;
    // The change, and the question after what is not listed any more.
    ensure!(
        scene.count("GET", "/events/{id}")? == 2,
        "{}",
        graph.requests()?
    );
    std::thread::sleep(std::time::Duration::from_secs(1));
    ensure!(
        unfolded(&the_file(&mount, &calendar, "Board meeting")?)?.contains("LOCATION:Room 2\n")
    );
    ensure!(the_file(&mount, &calendar, "Stand-up").is_err());
    ensure!(stand_up.is_file(), "the older snapshot has it still");
    scene.nothing_was_sent()
}

#[test]
fn a_deleted_series_comes_back_as_it_was() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    let mut meeting = series("Planning");
    meeting["attendees"] = json!([{ "type": "required",
        "emailAddress": { "name": "Jane Roe", "address": "jane.roe@fabrikam.com" } }]);
    let id = scene.create(alice, &meeting)?;
    scene.break_series(alice, &id)?;
    graph.post(
        &format!("/users/{alice}/events/{id}/attachments"),
        &file("notes.txt", b"notes"),
    )?;
    let before = scene.view(alice, "Calendar", SPRING.0, SPRING.1)?;
    ensure!(before.len() == 5, "{before:?}");
    scene.tenant.backup()?;
    let was = graph.get(&format!("/users/{alice}/events/{id}"))?;
    scene.remove(alice, &id)?;
    scene.count_from_here()?;

    let mount = scene.tenant.mount()?;
    let file = the_file(&mount, &format!("{alice}/Calendar/Calendar"), "Planning")?;
    let target = mount.path(&format!("restore/{alice}/Calendar/Calendar/"));
    sh_ok(
        &mount.dir,
        &format!("cp {} {}", quote(&file), quote(&target)),
    )?;
    ensure!(scene.view(alice, "Calendar", SPRING.0, SPRING.1)? == before);
    let back = scene.named(alice, "Calendar", "Planning")?;
    let [back] = back.as_slice() else {
        anyhow::bail!("{} copies", back.len())
    };
    let properties = "subject start end isAllDay categories showAs \
        sensitivity importance recurrence originalStartTimeZone hasAttachments";
    for property in properties.split_whitespace() {
        ensure!(
            back[property] == was[property],
            "{property}: {} is {}",
            was[property],
            back[property]
        );
    }
    // Nobody is invited again, but who was is there to be read.
    ensure!(back["attendees"].as_array().is_some_and(Vec::is_empty));
    ensure!(
        back["body"]["content"]
            .as_str()
            .is_some_and(|b| b.contains("Jane Roe &lt;jane.roe@fabrikam.com&gt;"))
    );
    // It is over, and reminds nobody.
    ensure!(back["isReminderOn"] == false);
    let back = back["id"].as_str().context("no id")?;
    let names = |id: &str| -> Result<Vec<Value>> {
        let all = graph.list(&format!("/users/{alice}/events/{id}/attachments"))?;
        Ok(all.into_iter().map(|a| a["name"].clone()).collect())
    };
    ensure!(names(back)? == [json!("notes.txt")]);
    let window = "startDateTime=2026-03-24T00:00:00Z&endDateTime=2026-03-25T00:00:00Z";
    let moved = graph.list(&format!("/users/{alice}/events/{back}/instances?{window}"))?;
    ensure!(moved.len() == 1 && moved[0]["subject"] == "Moved");
    ensure!(names(moved[0]["id"].as_str().context("no id")?)?.contains(&json!("plan.txt")));

    // The next snapshot has it under the same name, and it is there already.
    scene.tenant.backup()?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let again = the_file(&mount, &format!("{alice}/Calendar/Calendar"), "Planning")?;
    ensure!(again.file_name() == file.file_name());
    let (ok, said) = sh(
        &mount.dir,
        &format!("cp {} {}", quote(&again), quote(&target)),
    )?;
    ensure!(!ok && said.contains("exists"), "{said}");
    ensure!(sh_ok(&mount.dir, &format!("ls {}", quote(&target)))?.contains("Planning"));
    scene.nothing_was_sent()
}

#[test]
fn policies_do_what_they_say_and_nobody_is_told() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, alice) = (&scene.tenant.graph, &scene.alice);
    let board = scene.create(alice, &single("Board"))?;
    let mut meeting = single("Meeting");
    meeting["attendees"] =
        json!([{ "type": "required", "emailAddress": { "address": "jane.roe@fabrikam.com" } }]);
    let with_others = scene.create(alice, &meeting)?;
    scene.count_from_here()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let calendar = format!("{alice}/Calendar/Calendar");
    let (board_file, meeting_file) = (
        the_file(&mount, &calendar, "Board")?,
        the_file(&mount, &calendar, "Meeting")?,
    );
    let cp = |policy: &str, file: &Path| {
        let target = mount.path(&format!("restore/{policy}{calendar}/"));
        sh(
            &mount.dir,
            &format!("cp {} {}", quote(file), quote(&target)),
        )
    };

    let (ok, said) = cp("", &board_file)?;
    ensure!(!ok && said.contains("exists"), "{said}");
    ensure!(scene.named(alice, "Calendar", "Board")?.len() == 1);
    ensure!(cp("@keep-both/", &board_file)?.0);
    ensure!(scene.named(alice, "Calendar", "Board")?.len() == 2);
    graph.patch(
        &format!("/users/{alice}/events/{board}"),
        &json!({ "location": { "displayName": "Elsewhere" } }),
    )?;
    ensure!(cp("@overwrite/", &board_file)?.0);
    let there = scene.named(alice, "Calendar", "Board")?;
    ensure!(
        there.len() == 2
            && there
                .iter()
                .all(|e| e["location"]["displayName"] == "Room 1"),
        "{there:?}"
    );
    ensure!(there.iter().all(|e| e["id"] != board.as_str()));

    // Exchange would tell Jane that the meeting is off: it is not replaced.
    let (ok, _) = cp("@overwrite/", &meeting_file)?;
    ensure!(!ok);
    let log = fs::read_to_string(mount.path("restore/.log"))?;
    ensure!(log.contains("cancellations"), "{log}");
    let there = scene.named(alice, "Calendar", "Meeting")?;
    ensure!(there.len() == 1 && there[0]["id"] == with_others.as_str());
    ensure!(cp("@keep-both/", &meeting_file)?.0);
    ensure!(scene.named(alice, "Calendar", "Meeting")?.len() == 2);
    scene.nothing_was_sent()
}

#[test]
fn calendars_go_elsewhere() -> Result<()> {
    let scene = Scene::new()?;
    let (graph, alice, bob) = (&scene.tenant.graph, &scene.alice, &scene.bob);
    let weekly = scene.create(alice, &series("Stand-up"))?;
    scene.break_series(alice, &weekly)?;
    for n in 0..4 {
        scene.create(alice, &single(&format!("Item {n}")))?;
    }
    scene.count_from_here()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let source = mount
        .path(&format!("snapshots/latest/{alice}/Calendar/Calendar"))
        .canonicalize()?;

    // A whole calendar to another account, another name: cp makes the calendar.
    let target = mount.path(&format!("restore/{bob}/Calendar/From Alice"));
    sh_ok(
        &mount.dir,
        &format!("cp -r {} {}", quote(&source), quote(&target)),
    )?;
    ensure!(scene.events(bob, "From Alice")?.len() == 5);
    let window = ("2026-03-01T00:00:00", "2026-12-31T00:00:00");
    ensure!(
        scene.view(bob, "From Alice", window.0, window.1)?
            == scene.view(alice, "Calendar", window.0, window.1)?
    );
    // As a file to a drive.
    let file = the_file(&mount, &format!("{alice}/Calendar/Calendar"), "Item 1")?;
    let drive = mount.path(&format!("restore/{alice}/OneDrive/Events"));
    sh_ok(
        &mount.dir,
        &format!(
            "mkdir {d} && cp {} {d}/event.ics",
            quote(&file),
            d = quote(&drive)
        ),
    )?;
    ensure!(
        graph.bytes(&format!(
            "/users/{alice}/drive/root:/Events/event.ics:/content"
        ))? == fs::read(&file)?
    );

    // By the command line, what was deleted only; first what would happen.
    for subject in ["Item 0", "Item 2"] {
        let gone = scene.named(alice, "Calendar", subject)?;
        scene.remove(alice, gone[0]["id"].as_str().context("no id")?)?;
    }
    let path = format!("{alice}/Calendar/Calendar");
    let from = format!("latest/{path}");
    let arguments = ["restore", &from, &path, "--deleted-only"];
    let plan = scene
        .tenant
        .json(&[&arguments[..], &["--dry-run"]].concat())?;
    ensure!(plan.to_string().matches("Item").count() >= 2, "{plan}");
    ensure!(
        scene.events(alice, "Calendar")?.len() == 3,
        "--dry-run did something"
    );
    scene.tenant.json(&arguments)?;
    ensure!(scene.events(alice, "Calendar")?.len() == 5);
    ensure!(scene.named(alice, "Calendar", "Item 2")?.len() == 1);
    scene.nothing_was_sent()
}

#[test]
fn other_libraries_read_every_file_and_find_the_same_occurrences() -> Result<()> {
    if !calendars::ready() {
        return Ok(());
    }
    let scene = Scene::with(150)?;
    scene.count_from_here()?;
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let mut compared = 0;
    for upn in [&scene.alice, &scene.bob] {
        let files = ics(&mount, &format!("{upn}/Calendar"))?;
        ensure!(!files.is_empty());
        calendars::accept(&files)?;
        let all = scene
            .tenant
            .graph
            .list(&format!("/users/{upn}/calendars"))?;
        for calendar in all
            .iter()
            .filter(|c| c["owner"]["address"] == *upn.as_str())
        {
            let name = calendar["name"].as_str().context("no name")?;
            let inside = |file: &PathBuf| file.parent().is_some_and(|dir| dir.ends_with(name));
            let files: Vec<PathBuf> = files.iter().filter(|f| inside(f)).cloned().collect();
            if files.is_empty() {
                continue;
            }
            let window = ("2024-01-01T00:00:00", "2029-01-01T00:00:00");
            compared += calendars::agree(&scene.tenant.graph, upn, name, &files, window)?;
        }
    }
    ensure!(compared > 100, "only {compared} occurrences");
    scene.nothing_was_sent()
}

#[test]
fn files_of_others_are_restored_whole_or_refused_with_a_reason() -> Result<()> {
    let Some(folder) = corpus::folder("ics") else {
        return Ok(());
    };
    let scene = Scene::new()?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let source = scene.tenant.path("ics");
    fs::create_dir_all(&source)?;
    let mut given = 0;
    for (n, path) in corpus::files(&folder).iter().enumerate() {
        let bytes = fs::read(path)?;
        let events = String::from_utf8_lossy(&bytes)
            .matches("BEGIN:VEVENT")
            .count();
        if (1..=3).contains(&events) && bytes.len() < 50_000 && given < 200 {
            fs::write(source.join(format!("{n:04}.ics")), bytes)?;
            given += 1;
        }
    }
    let target = format!("{alice}/Calendar/Imported");
    let told = scene
        .tenant
        .json(&["restore", &source.to_string_lossy(), &target])?;
    let first = scene.events(alice, "Imported")?;
    ensure!(
        first.len() > given / 3,
        "{} of {given}: {told}",
        first.len()
    );
    // Each is restored, is another copy of one that is, or says why not.
    let outcomes = told["items"].as_array().context("no items")?;
    let outcomes: Vec<&str> = outcomes
        .iter()
        .filter_map(|i| i["outcome"].as_str())
        .collect();
    let count = |begin: &str| outcomes.iter().filter(|o| o.starts_with(begin)).count();
    let refused = count("failed (");
    ensure!(
        count("restored") == first.len(),
        "{} are there: {outcomes:#?}",
        first.len()
    );
    ensure!(
        first.len() + count("is there already") + refused == given,
        "{outcomes:#?}"
    );
    let reasons = [
        "Exchange cannot hold",
        "no good calendar file",
        "there is no event",
        "split it",
    ];
    let told_why = |o: &&&str| reasons.iter().any(|reason| o.contains(reason));
    let odd: Vec<_> = outcomes
        .iter()
        .filter(|o| o.starts_with("failed"))
        .filter(|o| !told_why(o))
        .collect();
    ensure!(odd.is_empty(), "{odd:#?}");

    // Captured, and put into an empty calendar: the same again.
    scene.count_from_here()?;
    scene.tenant.backup()?;
    let from = format!("latest/{alice}/Calendar/Imported");
    scene
        .tenant
        .json(&["restore", &from, &format!("{bob}/Calendar/Imported")])?;
    let (was, is) = (essence(&first), essence(&scene.events(bob, "Imported")?));
    let differ: Vec<_> = was
        .keys()
        .chain(is.keys())
        .filter(|event| was.get(*event) != is.get(*event))
        .collect();
    ensure!(differ.is_empty(), "{differ:#?}");
    let window = ("1990-01-01T00:00:00", "2030-01-01T00:00:00");
    ensure!(
        scene.view(alice, "Imported", window.0, window.1)?
            == scene.view(bob, "Imported", window.0, window.1)?
    );
    scene.nothing_was_sent()
}

/// What must be the same of events that were restored from each other, however often each is there.
fn essence(events: &[Value]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for event in events {
        let of = "subject start end isAllDay recurrence body location \
            categories showAs sensitivity importance hasAttachments originalStartTimeZone";
        let of: Vec<&Value> = of.split_whitespace().map(|name| &event[name]).collect();
        *all.entry(json!(of).to_string()).or_default() += 1;
    }
    all
}

//! Exactly once, request by request: a restore is killed in every single request that it makes, after the
//! service has carried it out and before the answer arrives. Repeated, it ends with each item there once,
//! whole.
//!
//! That covers what random moments rarely hit: the message is made and nobody knows its id, an attachment
//! is there and not counted, an upload session is complete and its answer lost.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use e2e::{Tenant, text};
use graph_emulator::Options;
use serde_json::{Value, json};

/// Requests of one route in which a restore is killed: the first ones.
const PER_ROUTE: u64 = 2;

struct Bench {
    tenant: Tenant,
    http: reqwest::blocking::Client,
    upn: String,
}

impl Bench {
    fn new() -> Result<Bench> {
        let tenant = Tenant::start(Options {
            accounts: 1,
            messages: 0,
            files: 0,
            ..Options::default()
        })?;
        let upn = tenant.graph.mailboxes()?.remove(0);
        let http = reqwest::blocking::Client::new();
        Ok(Bench { tenant, http, upn })
    }

    fn control(&self, what: &str) -> String {
        format!("{}/_emulator/{what}", self.tenant.emulator.url)
    }

    /// Method, route, count of everything that was asked since the last time.
    fn requests(&self) -> Result<Vec<(String, String, u64)>> {
        let told: Value = self.http.get(self.control("requests")).send()?.json()?;
        self.http.delete(self.control("requests")).send()?;
        let rows = told["by_route"].as_array().context("no routes")?;
        let word = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| {
            (
                word(row, "method"),
                word(row, "route"),
                row["count"].as_u64().unwrap_or(0),
            )
        };
        Ok(rows.iter().map(row).collect())
    }

    fn faults(&self, rules: &Value) -> Result<()> {
        let answer = self.http.post(self.control("faults")).json(rules).send()?;
        ensure!(answer.status().is_success(), "{}", answer.text()?);
        Ok(())
    }

    /// Whether what the only rule delays the answer to is done.
    fn is_done(&self) -> Result<bool> {
        let told: Value = self.http.get(self.control("faults")).send()?.json()?;
        let rules = if told.is_array() {
            &told
        } else {
            &told["rules"]
        };
        Ok(rules[0]["done"].as_u64() > Some(0))
    }

    fn restore(&self, args: &[&str]) -> Result<()> {
        let output = self.tenant.run(&[&["restore"], args].concat())?;
        ensure!(
            output.status.success(),
            "restore {args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(())
    }

    /// Starts a restore and kills it when its `n`th request of a route was carried out. Returns whether it
    /// came to that.
    fn killed_in(&self, method: &str, route: &str, n: u64, args: &[&str]) -> Result<bool> {
        self.faults(&json!([{
            "method": method, "route": route, "skip": n, "count": 1, "fault": {"delay_ms": 60_000}
        }]))?;
        let mut command = self.tenant.command(&[&["restore"], args].concat());
        let mut child: Child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let start = Instant::now();
        let mut hit = false;
        while start.elapsed() < Duration::from_secs(40) {
            // The answer waits.
            if self.is_done()? {
                hit = true;
                break;
            }
            if child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()?;
        // What else was on its way arrives.
        std::thread::sleep(Duration::from_millis(200));
        self.faults(&json!([]))?;
        Ok(hit)
    }

    fn messages(&self, folder: &str) -> Result<Vec<Value>> {
        let folders = format!("/users/{}/mailFolders", self.upn);
        let found = self.tenant.graph.list(&folders)?;
        let id = found
            .iter()
            .find(|f| f["displayName"] == folder)
            .and_then(|f| f["id"].as_str())
            .with_context(|| format!("there is no folder {folder}"))?;
        self.tenant.graph.list(&format!("{folders}/{id}/messages"))
    }

    /// Subjects with the number of their attachments, sorted.
    fn mails(&self, folder: &str) -> Result<Vec<(String, usize)>> {
        let mut mails = Vec::new();
        for message in self.messages(folder)? {
            let id = message["id"].as_str().context("no id")?;
            let attachments = self
                .tenant
                .graph
                .list(&format!("/users/{}/messages/{id}/attachments", self.upn))?;
            let subject = message["subject"].as_str().unwrap_or_default().to_owned();
            ensure!(message["isDraft"] == false, "{subject} is a draft");
            mails.push((subject, attachments.len()));
        }
        mails.sort();
        Ok(mails)
    }

    fn files(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let path = format!("/users/{}/drive/root:/{folder}:/children", self.upn);
        let mut files: Vec<_> = self
            .tenant
            .graph
            .list(&path)?
            .iter()
            .map(|f| {
                let name = f["name"].as_str().unwrap_or_default().to_owned();
                (name, f["size"].as_u64().unwrap_or(0))
            })
            .collect();
        files.sort();
        Ok(files)
    }
}

/// The routes that matter: not sign-in, not the control of the emulator, not the list of accounts.
fn killable(requests: Vec<(String, String, u64)>) -> Vec<(String, String, u64)> {
    requests
        .into_iter()
        .filter(|(_, route, _)| {
            !route.contains("oauth2")
                && !route.contains("_emulator")
                && !route.ends_with("/users/delta")
        })
        .collect()
}

fn write_mail(dir: &Path, name: &str, attachments: &[usize]) -> Result<()> {
    let mut mail = format!(
        "From: Ann <ann@contoso.com>\r\nTo: bob@contoso.com\r\nSubject: {name}\r\nMessage-ID: <{name}@contoso.com>\r\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    );
    for (n, size) in attachments.iter().enumerate() {
        let bytes: Vec<u8> = (0..*size).map(|i| (i * 31 + n) as u8).collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        mail.push_str(&format!(
            "--b\r\nContent-Type: application/octet-stream; name=a{n}.bin\r\nContent-Disposition: attachment; \
             filename=a{n}.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ));
        for line in encoded.as_bytes().chunks(76) {
            mail.push_str(std::str::from_utf8(line)?);
            mail.push_str("\r\n");
        }
    }
    mail.push_str("--b--\r\n");
    std::fs::write(dir.join(format!("{name}.eml")), mail)?;
    Ok(())
}

fn source(bench: &Bench, name: &str) -> Result<PathBuf> {
    let dir = bench.tenant.path(name);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

#[test]
fn killed_in_every_request_of_a_mail() -> Result<()> {
    let bench = Bench::new()?;
    let dir = source(&bench, "mails")?;
    write_mail(&dir, "plain", &[])?;
    write_mail(&dir, "three", &[1000, 2000, 4_000_000])?;
    let expected = vec![("plain".to_owned(), 0), ("three".to_owned(), 3)];
    let from = dir.to_string_lossy().into_owned();
    let target = |folder: &str| format!("{}/Mail/{folder}", bench.upn);

    bench.requests()?;
    bench.restore(&[&from, &target("Whole")])?;
    let routes = killable(bench.requests()?);
    assert_eq!(bench.mails("Whole")?, expected);
    ensure!(
        routes.len() >= 5,
        "too few kinds of requests to be all: {routes:?}"
    );

    let mut kills = 0;
    for (at, (method, route, count)) in routes.iter().enumerate() {
        for n in 0..(*count).min(PER_ROUTE) {
            let folder = format!("Case {at} {n}");
            let case = format!("{method} {route} number {n}");
            kills += u32::from(bench.killed_in(method, route, n, &[&from, &target(&folder)])?);
            bench
                .restore(&[&from, &target(&folder)])
                .context(case.clone())?;
            assert_eq!(bench.mails(&folder)?, expected, "killed in {case}");
        }
    }
    ensure!(kills >= 5, "only {kills} kills");

    // The same over ones that are there: the old ones go when the new ones are complete, and only then.
    // Beside each lies one just like it, which nobody asks to replace.
    bench.restore(&[&from, &target("Over")])?;
    bench.restore(&[&from, &target("Over"), "--conflict", "keep-both"])?;
    let twice = expected
        .iter()
        .flat_map(|mail| [mail.clone(), mail.clone()]);
    let twice: Vec<_> = twice.collect();
    assert_eq!(bench.mails("Over")?, twice);
    bench.requests()?;
    bench.restore(&[&from, &target("Over"), "--conflict", "overwrite"])?;
    let routes = killable(bench.requests()?);
    ensure!(
        routes.iter().any(|(method, ..)| method == "DELETE"),
        "{routes:?}"
    );
    for (method, route, count) in &routes {
        for n in 0..(*count).min(PER_ROUTE) {
            let over = [from.as_str(), &target("Over"), "--conflict", "overwrite"];
            bench.killed_in(method, route, n, &over)?;
            bench.restore(&over)?;
            assert_eq!(
                bench.mails("Over")?,
                twice,
                "overwriting, killed in {method} {route} number {n}"
            );
        }
    }
    Ok(())
}

#[test]
fn killed_in_every_request_of_a_file() -> Result<()> {
    let bench = Bench::new()?;
    let dir = source(&bench, "files")?;
    let sizes = [
        ("empty.txt", 0),
        ("small.txt", 1000),
        ("big.bin", 12_000_000),
    ];
    let mut expected = Vec::new();
    for (name, size) in sizes {
        std::fs::write(dir.join(name), vec![size as u8; size])?;
        expected.push((name.to_owned(), size as u64));
    }
    expected.sort();
    let from = dir.to_string_lossy().into_owned();
    let target = |folder: &str| format!("{}/OneDrive/{folder}", bench.upn);

    bench.requests()?;
    bench.restore(&[&from, &target("Whole")])?;
    let routes = killable(bench.requests()?);
    assert_eq!(bench.files("Whole")?, expected);
    for (at, (method, route, count)) in routes.iter().enumerate() {
        for n in 0..(*count).min(PER_ROUTE) {
            let folder = format!("Case {at} {n}");
            let case = format!("{method} {route} number {n}");
            bench.killed_in(method, route, n, &[&from, &target(&folder)])?;
            bench
                .restore(&[&from, &target(&folder)])
                .context(case.clone())?;
            assert_eq!(bench.files(&folder)?, expected, "killed in {case}");
        }
    }
    // Overwritten, a file keeps its id.
    let id = |name: &str| -> Result<Value> {
        let path = format!("/users/{}/drive/root:/Whole/{name}", bench.upn);
        Ok(bench.tenant.graph.get(&path)?["id"].clone())
    };
    let before = id("big.bin")?;
    std::fs::write(dir.join("big.bin"), vec![9; 11_000_000])?;
    bench.restore(&[&from, &target("Whole"), "--conflict", "overwrite"])?;
    ensure!(id("big.bin")? == before, "the file is another one now");
    ensure!(
        bench
            .files("Whole")?
            .contains(&("big.bin".to_owned(), 11_000_000))
    );
    Ok(())
}

impl Bench {
    fn calendar(&self, name: &str) -> Result<String> {
        let all = self
            .tenant
            .graph
            .list(&format!("/users/{}/calendars", self.upn))?;
        let found = all
            .iter()
            .find(|c| c["name"] == name)
            .and_then(|c| c["id"].as_str());
        found
            .map(str::to_owned)
            .with_context(|| format!("there is no calendar {name}"))
    }

    /// Subjects with their occurrences' starts and the number of attachments, sorted.
    fn series(&self, calendar: &str) -> Result<Vec<(String, Vec<String>, usize)>> {
        let user = format!("/users/{}", self.upn);
        let events = format!("{user}/calendars/{}/events", self.calendar(calendar)?);
        let mut all = Vec::new();
        for event in self.tenant.graph.list(&events)? {
            let id = event["id"].as_str().context("no id")?;
            let window = "startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-06-01T00:00:00Z";
            let days = match event["type"] == "seriesMaster" {
                true => self
                    .tenant
                    .graph
                    .list(&format!("{user}/events/{id}/instances?{window}"))?,
                false => vec![event.clone()],
            };
            let start = |day: &Value| {
                day["start"]["dateTime"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let attachments = self
                .tenant
                .graph
                .list(&format!("{user}/events/{id}/attachments"))?;
            let subject = event["subject"].as_str().unwrap_or_default().to_owned();
            all.push((subject, days.iter().map(start).collect(), attachments.len()));
        }
        all.sort();
        Ok(all)
    }
}

/// A single event, and a series with a moved and a cancelled day and two attachments.
fn write_events(dir: &Path) -> Result<()> {
    let calendar = |events: &str| {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{events}END:VCALENDAR\r\n")
    };
    let event = |lines: &str| {
        format!("BEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n{lines}END:VEVENT\r\n")
    };
    let single = event("SUMMARY:single\r\nDTSTART:20260401T080000Z\r\nDTEND:20260401T090000Z\r\n");
    std::fs::write(dir.join("single.ics"), calendar(&single))?;
    let attach = |name: &str, bytes: usize| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
        format!("ATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME={name}:{encoded}\r\n")
    };
    let master = event(&format!(
        "SUMMARY:series\r\nDTSTART:20260302T080000Z\r\nDTEND:20260302T090000Z\r\n\
         RRULE:FREQ=WEEKLY;COUNT=5\r\nEXDATE:20260316T080000Z\r\n{}{}",
        attach("small.bin", 1000),
        attach("large.bin", 4_000_000)
    ));
    let moved = event(
        "SUMMARY:moved\r\nRECURRENCE-ID:20260309T080000Z\r\nDTSTART:20260310T100000Z\r\nDTEND:20260310T110000Z\r\n",
    );
    std::fs::write(dir.join("series.ics"), calendar(&(master + &moved)))?;
    Ok(())
}

#[test]
fn killed_in_every_request_of_a_series() -> Result<()> {
    let bench = Bench::new()?;
    let dir = source(&bench, "events")?;
    write_events(&dir)?;
    let from = dir.to_string_lossy().into_owned();
    let target = |calendar: &str| format!("{}/Calendar/{calendar}", bench.upn);

    bench.requests()?;
    bench.restore(&[&from, &target("Whole")])?;
    let routes = killable(bench.requests()?);
    let expected = bench.series("Whole")?;
    let starts = ["03-02T08", "03-10T10", "03-23T08", "03-30T08"];
    ensure!(
        expected.len() == 2
            && expected[0].2 == 2
            && expected[0].1.len() == starts.len()
            && starts
                .iter()
                .zip(&expected[0].1)
                .all(|(start, told)| told.contains(start)),
        "{expected:?}"
    );
    ensure!(
        routes.len() >= 7,
        "too few kinds of requests to be all: {routes:?}"
    );
    let mut kills = 0;
    for (at, (method, route, count)) in routes.iter().enumerate() {
        for n in 0..(*count).min(PER_ROUTE) {
            let calendar = format!("Case {at} {n}");
            let case = format!("{method} {route} number {n}");
            kills += u32::from(bench.killed_in(method, route, n, &[&from, &target(&calendar)])?);
            bench
                .restore(&[&from, &target(&calendar)])
                .context(case.clone())?;
            assert_eq!(bench.series(&calendar)?, expected, "killed in {case}");
        }
    }
    ensure!(kills >= 7, "only {kills} kills");
    bench.tenant.nothing_was_sent()
}

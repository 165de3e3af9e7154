//! The program over TLS, configured as an administrator would: with a certificate of its own, behind
//! a private authority, and with no endpoint set at all where Microsoft's names lead to the emulator.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::clients::{self, Certificates, Realm, succeed};
use e2e::graph::Graph;
use e2e::{Recorded, program, text};
use graph_emulator::Options;
use serde_json::{Value, json};

/// A tenant behind TLS, and an application that signs in with its own certificate.
struct Office {
    emulator: Recorded,
    certificates: Certificates,
    dir: tempfile::TempDir,
}

impl Office {
    fn open() -> Result<Self> {
        let certificates = Certificates::make()?;
        let dir = tempfile::tempdir()?;
        // As the README says.
        let mut openssl = Command::new("openssl");
        openssl
            .current_dir(dir.path())
            .args(["req", "-x509", "-newkey"]);
        openssl.args([
            "rsa:3072",
            "-nodes",
            "-days",
            "730",
            "-subj",
            "/CN=tenantfs",
        ]);
        succeed(openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]));
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name));
        let pem = read("cert.pem")? + &read("key.pem")?;
        program::write_private(&dir.path().join("backup.pem"), &pem)?;
        program::write_private(&dir.path().join("password"), "correct horse battery staple")?;
        let emulator = certificates.emulator(Options {
            accounts: 2,
            messages: 30,
            files: 12,
            client_certificate: vec![dir.path().join("cert.pem")],
            ..Options::default()
        })?;
        Ok(Self {
            emulator,
            certificates,
            dir,
        })
    }

    /// The configuration, with `tenant` in its section `[tenant]`.
    fn configure(&self, tenant: &str) -> Result<()> {
        let e = &self.emulator;
        let config = format!(
            "state_dir = \"state\"\n\n[tenant]\nid = \"{}\"\n{tenant}\n[tenant.backup]\nclient_id = \"{}\"\n\
             certificate_file = \"backup.pem\"\n\n[repository]\nlocation = \"repository\"\n\
             password_file = \"password\"\n",
            e.tenant, e.client_id,
        );
        Ok(std::fs::write(self.config(), config)?)
    }

    fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("tenantfs.toml")
    }
}

/// `init`, `doctor`, `backup`, `ls`: each must succeed, and everything must be there.
fn protects(config: &Path, tenantfs: impl Fn() -> Command) -> Result<()> {
    let run = |arguments: &[&str]| -> Result<String> {
        let mut command = tenantfs();
        let output = command
            .arg("--config")
            .arg(config)
            .args(arguments)
            .output()?;
        ensure!(
            output.status.success(),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    };
    run(&["init"])?;
    let doctor = run(&["doctor"])?;
    ensure!(doctor.contains("tenant.backup    signs in"), "{doctor}");
    let summary: Value = serde_json::from_str(&run(&["--json", "backup"])?)?;
    ensure!(
        summary["counts"]["failed"] == 0 && summary["counts"]["added"].as_u64() > Some(30),
        "{summary:#}"
    );
    let listed = run(&["ls", "latest"])?;
    ensure!(
        listed.contains("alice@contoso.com") && listed.contains("bob@contoso.com"),
        "{listed}"
    );
    run(&["verify", "--read-data"]).map(drop)
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() -> Result<()> {
    if !clients::ready(&[]) {
        return Ok(());
    }
    let office = Office::open()?;
    let ca = office.certificates.ca();
    let endpoints = format!(
        "endpoints = {{ login = \"{url}\", graph = \"{url}\" }}\n",
        url = office.emulator.url
    );
    let tenantfs = || Command::new(program::tenantfs());

    // Not named: one message, which says what is wrong and what to do.
    office.configure(&endpoints)?;
    let doctor = tenantfs()
        .arg("--config")
        .arg(office.config())
        .arg("doctor")
        .output()?;
    ensure!(doctor.status.code() == Some(1));
    let said = text(&doctor.stdout);
    let line = said
        .lines()
        .find(|line| line.contains("tenant.backup"))
        .context("it says nothing about signing in")?;
    ensure!(
        line.contains("ca_file") && line.contains(&office.emulator.url[8..]),
        "{line}"
    );

    office.configure(&format!("ca_file = \"{}\"\n{endpoints}", ca.display()))?;
    protects(&office.config(), tenantfs)
}

#[test]
fn the_program_finds_the_real_service_by_itself() -> Result<()> {
    if !clients::ready(&[]) {
        return Ok(());
    }
    let office = Office::open()?;
    // Nothing but what every tenant's configuration has.
    office.configure("")?;
    let Office {
        emulator,
        certificates,
        dir,
    } = office;
    let realm = Realm::new(certificates, &emulator.url)?;
    protects(&dir.path().join("tenantfs.toml"), || {
        realm.command(program::tenantfs())
    })
}

/// The service's front ends do so whenever one of them is taken out: every few requests the connection,
/// which HTTP/2 shares among all of them, takes no more.
#[test]
fn connections_that_are_sent_away_lose_nothing() -> Result<()> {
    if !clients::ready(&[]) {
        return Ok(());
    }
    let office = Office::open()?;
    let ca = office.certificates.ca();
    let url = &office.emulator.url;
    let graph = Graph::sign_in(&office.emulator, Some(&ca))?;
    graph.control(
        "faults",
        &json!([{ "count": 0, "every": 5, "fault": "go_away" }]),
    )?;
    office.configure(&format!(
        "ca_file = \"{}\"\nendpoints = {{ login = \"{url}\", graph = \"{url}\" }}\n",
        ca.display()
    ))?;
    protects(&office.config(), || Command::new(program::tenantfs()))?;
    let rules = graph.get(&format!("{url}/_emulator/faults"))?;
    ensure!(rules[0]["seen"].as_u64() > Some(50), "{rules}");
    Ok(())
}

//! What a configuration says, read from its text.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tenantfs::repo::Parity;
use tenantfs::workload::mail::Route;

use super::protect::Globs;
use super::{Config, Proof};
use crate::secret::Source;

const MINIMAL: &str = r#"
    [tenant]
    id = "contoso.onmicrosoft.com"
    [tenant.backup]
    client_id = "6b3c"
    client_secret_file = "backup.secret"
    [repository]
    location = "repo"
    password_file = "password"
"#;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("/etc/tenantfs"))
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.repository.location, "/etc/tenantfs/repo");
    assert_eq!(
        config.repository.source("repository").unwrap(),
        Source::PasswordFile("/etc/tenantfs/password".into())
    );
    assert_eq!(
        config.tenant.backup.proof("tenant.backup").unwrap(),
        Proof::ClientSecret("/etc/tenantfs/backup.secret".into())
    );
}

#[test]
fn an_object_store_is_left_alone() {
    let config = parse(&MINIMAL.replace("\"repo\"", "\"s3://bucket/prefix\"")).unwrap();
    assert_eq!(config.repository.location, "s3://bucket/prefix");
}

#[test]
fn an_object_store_is_waited_for_and_cached_as_told() {
    let config = |text: &str| {
        parse(&MINIMAL.replace("[repository]", &format!("[repository]\n{text}")))
            .map(|config| config.repository)
    };
    let default = config("").unwrap();
    assert_eq!(default.cache_size, 4 << 30);
    assert_eq!(default.timeout, Duration::from_secs(30));
    let told = config("cache_size = \"512MiB\"\ntimeout = \"5s\"\ngive_up_after = \"1m\"").unwrap();
    assert_eq!(told.cache_size, 512 << 20);
    assert_eq!(told.timeout, Duration::from_secs(5));
    assert_eq!(told.give_up_after, Duration::from_secs(60));
    assert_eq!(config("cache_size = 0").unwrap().cache_size, 0);
    for wrong in [
        "cache_size = \"4 GB\"",
        "cache_size = \"99999999TiB\"",
        "timeout = 5",
    ] {
        assert!(config(wrong).is_err(), "{wrong}");
    }
    let secret = config("secret_access_key_file = \"s3.secret\"").unwrap();
    assert_eq!(
        secret.secret_access_key_file.as_deref(),
        Some(Path::new("/etc/tenantfs/s3.secret"))
    );
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let error = parse(&format!("{MINIMAL}\n[protect]\nacounts = {{}}")).unwrap_err();
    assert!(format!("{error:#}").contains("acounts"), "{error:#}");
}

#[test]
fn exactly_one_way_to_sign_in() {
    let none = MINIMAL.replace("client_secret_file = \"backup.secret\"", "");
    assert!(format!("{:#}", parse(&none).unwrap_err()).contains("exactly one"));
    let two = MINIMAL.replace("client_id", "managed_identity = true\nclient_id");
    assert!(parse(&two).is_err());
}

#[test]
fn exactly_one_way_to_open_the_repository() {
    let with = |line: &str| parse(&MINIMAL.replace("password_file = \"password\"", line));
    let source = |line: &str| with(line).unwrap().repository.source("repository").unwrap();
    assert_eq!(
        source("key_file = \"key\""),
        Source::KeyFile("/etc/tenantfs/key".into())
    );
    assert_eq!(
        source("password_command = [\"pass\", \"show\"]"),
        Source::Command(vec!["pass".into(), "show".into()])
    );
    assert_eq!(
        source("password_credential = \"repo\""),
        Source::Credential("repo".into())
    );
    for wrong in [
        "",
        "password_command = []",
        "password_credential = \"../repo\"",
        "password_file = \"a\"\nkey_file = \"b\"",
    ] {
        let error = format!("{:#}", with(wrong).unwrap_err());
        assert!(error.contains("[repository]"), "{wrong}: {error}");
    }
    let copy = format!("{MINIMAL}\n[copy]\nlocation = \"copy\"\n");
    assert!(format!("{:#}", parse(&copy).unwrap_err()).contains("[copy]"));
}

#[test]
fn an_unknown_workload_names_the_known_ones() {
    let error = parse(&format!("{MINIMAL}\n[protect]\nworkloads = [\"mial\"]")).unwrap_err();
    assert!(
        format!("{error:#}").contains("mail, archive, calendar"),
        "{error:#}"
    );
}

#[test]
fn no_workload_at_all_is_a_mistake() {
    let error = parse(&format!("{MINIMAL}\n[protect]\nworkloads = []")).unwrap_err();
    assert!(
        format!("{error:#}").contains("nothing to capture"),
        "{error:#}"
    );
}

#[test]
fn what_a_running_daemon_cannot_take_up_is_named() {
    let restore = "[tenant.restore]\nclient_id = \"r\"\nclient_secret_file = \"restore.secret\"";
    let base = format!("state_dir = \"state\"\n{MINIMAL}\n{restore}\n");
    let started = parse(&base).unwrap();
    let later = |from: &str, to: &str| {
        let changed = base.replace(from, to);
        assert_ne!(changed, base, "{from}");
        parse(&changed).unwrap().after_restart(&started)
    };
    let add = |text: &str| {
        parse(&format!("{base}{text}"))
            .unwrap()
            .after_restart(&started)
    };
    assert_eq!(add(""), [""; 0]);
    for taken_up in [
        "[protect]\nschedule = \"2h\"\nworkloads = [\"mail\"]",
        "[retention]\nkeep_last = 3",
        "[verify]\nevery = \"7d\"",
        "[copy]\nlocation = \"copy\"\nkey_file = \"copy.key\"",
    ] {
        assert_eq!(add(taken_up), [""; 0], "{taken_up}");
    }
    assert_eq!(later("backup.secret", "other.secret"), [""; 0]);
    let place = "location = \"repo\"";
    let with = |text: &str| later(place, &format!("{place}\n{text}"));
    assert_eq!(with("parity = \"5%\""), [""; 0]);
    assert_eq!(with("append_only = true"), ["[repository]"]);
    assert_eq!(later("\"repo\"", "\"elsewhere\""), ["[repository]"]);
    assert_eq!(later("\"state\"", "\"other\""), ["state_dir"]);
    assert_eq!(later("restore.secret", "x.secret"), ["[tenant.restore]"]);
    assert_eq!(later(restore, ""), ["[tenant.restore]"]);
    assert_eq!(later("contoso.", "fabrikam."), ["[tenant.restore]"]);
    assert_eq!(add("[restore]\nconflict = \"overwrite\""), ["[restore]"]);
    assert_eq!(
        add("[restore]\npermissions = \"never\"\n[mount]\nxattr = true"),
        ["[restore]", "[mount]"]
    );
}

#[test]
fn a_sweep_is_made_every_week_unless_told_otherwise() {
    let sweep =
        |text: &str| parse(&format!("{MINIMAL}\n[protect]\n{text}")).map(|c| c.protect.sweep);
    let days = |n: u64| Some(Duration::from_secs(n * 86_400));
    assert_eq!(sweep("").unwrap(), days(7));
    assert_eq!(sweep("sweep = \"30d\"").unwrap(), days(30));
    assert_eq!(sweep("sweep = \"never\"").unwrap(), None);
    for wrong in ["sweep = \"sometimes\"", "sweep = \"0s\"", "sweep = 7"] {
        assert!(sweep(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_repository_is_read_every_month_and_has_no_parity_unless_told_otherwise() {
    let verify = |text: &str| parse(&format!("{MINIMAL}\n{text}")).map(|c| c.verify.every);
    let days = |n: u64| Some(Duration::from_secs(n * 86_400));
    assert_eq!(verify("").unwrap(), days(30));
    assert_eq!(verify("[verify]\nevery = \"7d\"").unwrap(), days(7));
    assert_eq!(verify("[verify]\nevery = \"0\"").unwrap(), None);
    assert!(verify("[verify]\nevery = \"often\"").is_err());
    let parity = |text: &str| {
        let place = "location = \"repo\"";
        parse(&MINIMAL.replace(place, &format!("{place}\n{text}"))).map(|c| c.repository.parity)
    };
    assert_eq!(parity("").unwrap(), Parity::OFF);
    assert_eq!(parity("parity = \"0%\"").unwrap(), Parity::OFF);
    let five = Parity::percent(5.0).unwrap();
    assert_eq!(parity("parity = \"5%\"").unwrap(), five);
    for wrong in ["parity = \"5\"", "parity = \"101%\"", "parity = 5"] {
        assert!(parity(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn versions_are_captured_when_asked_for() {
    let protect = |text: &str| parse(&format!("{MINIMAL}\n[protect]\n{text}")).map(|c| c.protect);
    let default = protect("").unwrap();
    assert_eq!(
        (default.versions, default.versions_of_new_files),
        (0, false)
    );
    assert_eq!(protect("versions = 10").unwrap().versions, 10);
    let all = protect("versions = 10\nversions_of_new_files = true").unwrap();
    assert!(all.versions_of_new_files);
    for wrong in [
        "versions = -1",
        "versions = 50001",
        "versions_of_new_files = true",
    ] {
        assert!(protect(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn mail_is_exported_when_asked_for() {
    let route = |text: &str| parse(&format!("{MINIMAL}\n{text}")).map(|c| c.protect.mail.route);
    assert_eq!(route("").unwrap(), Route::Mime);
    assert_eq!(
        route("[protect.mail]\nroute = \"export\"").unwrap(),
        Route::Export
    );
    assert!(route("[protect.mail]\nroute = \"imap\"").is_err());
}

#[test]
fn globs_choose_accounts_without_regard_to_case() {
    let globs = Globs {
        include: vec!["*@contoso.com".into()],
        exclude: vec!["test-*".into()],
    };
    let chosen = globs.matcher().unwrap();
    assert!(chosen("Alice@Contoso.com"));
    assert!(!chosen("test-1@contoso.com"));
    assert!(!chosen("bob@fabrikam.com"));
}

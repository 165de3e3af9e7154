//! Real vCards: into an address book, captured, and restored to an empty one.

use anyhow::{Result, ensure};
use e2e::{calendars, corpus};

use super::contacts::book;
use super::support::{Scene, captured, counted, lasting};

const OWN: [&str; 7] = [
    "singleValueExtendedProperties",
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "parentFolderId",
    "tenantfsPhoto",
];

#[test]
fn real_cards_survive_a_round_through_two_address_books() -> Result<()> {
    let Some(folder) = corpus::folder("vcf") else {
        return Ok(());
    };
    let scene = Scene::new(0, &["contacts"])?;
    let (alice, bob) = (&scene.alice, &scene.bob);
    let mut arguments = vec!["restore".to_owned()];
    let files = corpus::files(&folder);
    let cards = files.iter().filter(|file| {
        file.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("vcf"))
    });
    arguments.extend(cards.map(|file| file.display().to_string()));
    arguments.push(format!("{alice}/Contacts/Cards"));
    // The folder is made first: of files alone, the command makes none.
    arguments.extend(["--conflict".to_owned(), "keep-both".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cards = arguments.len() - 4;
    let done = scene.tenant.json(&arguments)?;
    let count = |name: &str| done[name].as_u64().unwrap_or_default() as usize;
    println!(
        "{} of {cards} cards became contacts, {} were refused",
        count("restored"),
        count("failed")
    );
    ensure!(count("restored") + count("failed") == cards, "{done:#}");
    ensure!(count("restored") > cards * 3 / 5, "{done:#}");
    // Each refusal has a reason.
    let text = done.to_string();
    ensure!(text.contains("split it into one file a card"), "{done:#}");

    scene.tenant.backup()?;
    let were = {
        let mount = scene.tenant.mount()?;
        let captured = captured(&mount, alice, "Contacts")?;
        ensure!(
            captured.len() == count("restored"),
            "{} captured",
            captured.len()
        );
        if calendars::ready() {
            let names: Vec<_> = captured.iter().map(|(file, _)| file.clone()).collect();
            calendars::accept(&names)?;
        }
        captured
    };
    let source = format!("latest/{alice}/Contacts/Contacts/Cards");
    let target = format!("{bob}/Contacts/Cards");
    let done = scene
        .tenant
        .json(&["restore", &source, &target, "--conflict", "keep-both"])?;
    ensure!(
        done["failed"] == 0 && done["restored"] == were.len(),
        "{done:#}"
    );
    let there = book(&scene, bob, "Cards")?;
    let before = counted(were.iter().map(|(_, record)| lasting(record, &OWN)));
    let after = counted(there.iter().map(|(_, contact)| lasting(contact, &OWN)));
    for contact in before.keys() {
        ensure!(before.get(contact) == after.get(contact), "lost: {contact}");
    }
    scene.tenant.backup()?;
    let mount = scene.tenant.mount()?;
    let photos = |all: &[(std::path::PathBuf, serde_json::Value)]| {
        counted(
            all.iter()
                .map(|(_, record)| record["tenantfsPhoto"]["sha256"].clone()),
        )
    };
    ensure!(
        photos(&were) == photos(&captured(&mount, bob, "Contacts")?),
        "photos differ"
    );
    scene.nothing_was_sent()
}

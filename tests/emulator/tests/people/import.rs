//! Contacts out of cards that nobody here wrote.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Graph, id};

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

#[tokio::test]
async fn folders_of_cards_become_contact_folders() {
    let wide: Vec<u8> = "\u{feff}BEGIN:VCARD\r\nVERSION:3.0\r\nN:Žižek;Jan\r\nEND:VCARD\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let dir = folder(&[
        ("Firma/Nord/one.vcf", b"BEGIN:VCARD\nVERSION:2.1\nN:M\xfcller;A\nTEL;WORK:1\nEND:VCARD\n"),
        ("Firma/two.vcf", b"BEGIN:VCARD\nVERSION:4.0\nFN:First\nEND:VCARD\nBEGIN:VCARD\nVERSION:4.0\nFN:Second\nEND:VCARD\n"),
        ("Firma/bad.vcf", b"this is no card"),
        ("Wide/w.vcf", &wide),
    ]);
    let graph = Graph::with(|o| (o.accounts, o.import_vcf) = (2, vec![dir.path().to_owned()]));
    let contacts = async |user: &str, path: &str| {
        let mut at = format!("/users/{user}@contoso.com/contactFolders");
        for (n, name) in path.split('/').enumerate() {
            let list = if n == 0 {
                at.clone()
            } else {
                format!("{at}/childFolders")
            };
            let (folders, _) = graph.all(&list).await;
            let found = folders.iter().find(|f| f["displayName"] == name).unwrap();
            at = format!("/users/{user}@contoso.com/contactFolders/{}", id(found));
        }
        graph.all(&format!("{at}/contacts")).await.0
    };
    let two = contacts("alice", "Firma").await;
    let names: Vec<&str> = two
        .iter()
        .map(|c| c["displayName"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["First", "Second"]);
    assert_eq!(
        contacts("alice", "Firma/Nord").await[0]["surname"],
        "Müller"
    );
    assert_eq!(contacts("bob", "Wide").await[0]["surname"], "Žižek");
    let told = graph.told("imports").await;
    assert_eq!(
        (told["vcf"]["files"].as_u64(), told["vcf"]["items"].as_u64()),
        (Some(4), Some(4))
    );
    let failed = told["vcf"]["failed"].as_array().unwrap();
    assert!(failed.len() == 1 && failed[0]["path"].as_str().unwrap().ends_with("bad.vcf"));
    graph.finish();
}

/// `corpus/vcf`, beside the project or where `TENANTFS_CORPUS` is.
fn corpus() -> Option<PathBuf> {
    let here = |base: PathBuf| Some(base.join("vcf")).filter(|p| p.exists());
    if let Some(base) = std::env::var_os("TENANTFS_CORPUS") {
        return here(base.into());
    }
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find_map(|up| here(up.join("shared/corpus")))
}

#[tokio::test]
async fn the_corpus_is_read() {
    let Some(dir) = corpus() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the corpus is not here"
        );
        eprintln!("skipped: the corpus is not here");
        return;
    };
    let graph = Graph::with(|o| o.import_vcf = vec![dir]);
    let told = graph.told("imports").await["vcf"].clone();
    let failed: Vec<&str> = told["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["reason"].as_str().unwrap())
        .collect();
    assert_eq!(told["files"], 171);
    assert!(told["items"].as_u64().unwrap() >= 200, "{told}");
    assert!(failed.len() < 40, "{failed:#?}");
    // Each is a contact that Graph's schema knows, and can be read by itself.
    let (folders, _) = graph
        .all("/users/alice@contoso.com/contactFolders?$top=100")
        .await;
    let (mut count, mut photos) = (0, 0);
    for folder in &folders {
        let (contacts, _) = graph
            .all(&format!(
                "/users/alice@contoso.com/contactFolders/{}/contacts?$top=100",
                id(folder)
            ))
            .await;
        for contact in &contacts {
            assert!(contact["displayName"].is_string() || contact["displayName"] == Value::Null);
            photos += usize::from(
                graph
                    .get(&format!(
                        "/users/alice@contoso.com/contacts/{}/photo",
                        id(contact)
                    ))
                    .await
                    .status
                    == 200,
            );
        }
        count += contacts.len() as u64;
    }
    assert_eq!(Some(count), told["items"].as_u64());
    // 24 cards have a picture inside, two of which hold words in its place.
    assert_eq!(photos, 22);
    graph.finish();
}

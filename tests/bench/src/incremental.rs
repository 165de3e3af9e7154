//! What ten changes in a large mailbox cost: bytes written and time, by the size of the mailbox.

use anyhow::Result;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenantfs::repo::content::Writer as ContentWriter;
use tenantfs::repo::{Kind, Repository};
use tenantfs::tree::collection::CollectionRoot;
use tenantfs::tree::{Editor, Entry, ItemKey, Nodes};

use crate::store;
use crate::table::{Bar, heading, line, timed, value};

pub const INBOX: &str = "inbox";
/// Bytes that may be written for ten changes (DESIGN: under 100 KB).
const LIMIT_KB: f64 = 100.0;

pub fn run() -> Result<()> {
    heading("ten changes in one folder: 5 new mails, 5 flagged");
    let mut first = None;
    for size in [10_000, 100_000, 1_000_000] {
        let (written, seconds) = measure(size)?;
        value(
            &format!("{size} messages: written"),
            written as f64 / 1e3,
            "kB",
            LIMIT_KB,
        );
        match first {
            None => first = Some(seconds),
            Some(small) => line(
                &format!("{size} messages: time, against 10000"),
                seconds,
                small,
                "s",
                seconds / small,
                Bar::None,
            ),
        }
    }
    Ok(())
}

/// Bytes written and seconds taken for ten changes in a mailbox of `size` messages.
fn measure(size: u64) -> Result<(u64, f64)> {
    let home = tempfile::tempdir()?;
    let repository = store::repository(home.path())?;
    let nodes = Nodes::new(&repository);
    let mut root = CollectionRoot::default();
    {
        let writer = repository.writer()?;
        let mut stream = writer.stream();
        let mut editor = Editor::new(&nodes, root);
        editor.upsert_dir(
            ItemKey::of(&repository, INBOX),
            ItemKey::ROOT,
            "Inbox",
            0,
            None,
        )?;
        for n in 0..size {
            message(&repository, &mut stream, &mut editor, n, "")?;
            if editor.pending() >= 100_000 {
                root = editor.checkpoint(&mut stream)?;
                editor = Editor::new(&nodes, root);
            }
        }
        drop(stream);
        root = store::commit(&writer, &mut editor)?;
    }
    let writer = repository.writer()?;
    let before = writer.bytes_written();
    let mut dice = StdRng::seed_from_u64(size);
    let ((), time) = timed(|| {
        let mut stream = writer.stream();
        let mut editor = Editor::new(&nodes, root);
        for n in 0..5 {
            message(&repository, &mut stream, &mut editor, size + n, "")?;
            message(
                &repository,
                &mut stream,
                &mut editor,
                dice.random_range(0..size),
                "flagged",
            )?;
        }
        drop(stream);
        store::commit(&writer, &mut editor)?;
        Ok(())
    })?;
    Ok((writer.bytes_written() - before, time.as_secs_f64()))
}

/// Stores message `n` with its record, and puts it into the inbox.
pub fn message(
    repository: &Repository,
    stream: &mut tenantfs::repo::Stream,
    editor: &mut Editor,
    n: u64,
    flag: &str,
) -> Result<()> {
    let key = ItemKey::of(repository, &id_of(n));
    let received = 1_600_000_000 + i64::try_from(n)? * 60;
    let mail = format!(
        "Subject: message {n}\r\nMessage-ID: <{:x}@contoso.com>\r\n\r\nText {n}\r\n",
        hash(n)
    );
    let mut content = ContentWriter::new(stream);
    content.write(mail.as_bytes())?;
    let (content, size) = content.finish()?;
    let record = stream.put(Kind::Record, record(n, flag).as_bytes())?;
    let time = Timestamp::from_second(received)?;
    let name = tenantfs::tree::names::item_name(
        &[
            &time.strftime("%Y-%m-%d %H%M").to_string(),
            &format!("message {n}"),
        ],
        "eml",
        &key,
    );
    let inbox = ItemKey::of(repository, INBOX);
    editor.upsert_file(
        key,
        inbox,
        &name,
        Entry::file(content, size, received, Some(record)),
    )?;
    Ok(())
}

fn id_of(n: u64) -> String {
    format!("AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A{:032x}", hash(n))
}

/// The record of message `n`.
pub fn record(n: u64, flag: &str) -> String {
    let record = serde_json::json!({
        "id": id_of(n), "subject": format!("message {n}"), "flag": flag, "isRead": true,
        "changeKey": format!("CQAAABYAAAD{:016x}{flag}", hash(n + 1)),
    });
    record.to_string()
}

/// Something that looks random and is the same each time (SplitMix64).
fn hash(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

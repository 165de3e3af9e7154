//! The folders every mailbox is born with.

use super::store::{FolderKind, Mailbox};

/// Makes those of an archive mailbox. Only what retention made necessary is there.
pub fn archive_folders(mailbox: &mut Mailbox) {
    let none = mailbox.add_folder("Root", 0, Some("nonipmroot"));
    let root = mailbox.add_folder("Top of Information Store", none, Some("msgfolderroot"));
    for (name, known) in [
        ("Inbox", "inbox"),
        ("Deleted Items", "deleteditems"),
        ("Sent Items", "sentitems"),
        ("Drafts", "drafts"),
    ] {
        mailbox.add_folder(name, root, Some(known));
    }
    let recoverable = mailbox.add_folder("Recoverable Items", none, Some("recoverableitemsroot"));
    for (name, known) in [
        ("Deletions", "recoverableitemsdeletions"),
        ("Purges", "recoverableitemspurges"),
        ("Versions", "recoverableitemsversions"),
    ] {
        mailbox.add_folder(name, recoverable, Some(known));
    }
}

/// Makes them in an empty mailbox. The non-IPM root is number 0 and its own parent.
pub fn folders(mailbox: &mut Mailbox) {
    let none = mailbox.add_folder("Root", 0, Some("nonipmroot"));
    let root = mailbox.add_folder("Top of Information Store", none, Some("msgfolderroot"));
    for (name, known) in [
        ("Inbox", "inbox"),
        ("Drafts", "drafts"),
        ("Sent Items", "sentitems"),
        ("Deleted Items", "deleteditems"),
        ("Junk Email", "junkemail"),
        ("Outbox", "outbox"),
        ("Archive", "archive"),
    ] {
        mailbox.add_folder(name, root, Some(known));
    }
    let history = mailbox.add_folder("Conversation History", root, Some("conversationhistory"));
    mailbox.folders[history as usize].class = None;
    for name in [
        "Conversation Action Settings",
        "Quick Step Settings",
        "Yammer Root",
    ] {
        let no = mailbox.add_folder(name, root, None);
        mailbox.folders[no as usize].hidden = true;
        mailbox.folders[no as usize].class = Some("IPF.Configuration".into());
    }
    let finder = mailbox.add_folder("Finder", none, Some("searchfolders"));
    for (name, parent) in [("Unread Mail", finder), ("For Follow Up", root)] {
        let no = mailbox.add_folder(name, parent, None);
        mailbox.folders[no as usize].kind = FolderKind::Search;
    }
    let recoverable = mailbox.add_folder("Recoverable Items", none, Some("recoverableitemsroot"));
    for (name, known) in [
        ("Deletions", Some("recoverableitemsdeletions")),
        ("Purges", Some("recoverableitemspurges")),
        ("Versions", Some("recoverableitemsversions")),
        ("DiscoveryHolds", None),
        ("SubstrateHolds", None),
    ] {
        mailbox.add_folder(name, recoverable, known);
    }
}

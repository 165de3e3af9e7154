//! What files and folders are called.
//!
//! Every name is UTF-8 of at most 255 bytes without `/`, NUL, control characters, `.` and `..`;
//! leading dots exist only where a drive has them, and all but exact drive names are NFC. Names are
//! injective: within a folder two items never get one name. That rests on suffixes, ten characters
//! of the item's key (50 bits of a keyed hash, nobody can choose them):
//!
//! - an item's name ([`item_name`]) always ends in `.<suffix>.<ext>`;
//! - a folder's or a drive file's name is exactly what the cloud has, when that is a good name. When
//!   it is not, or looks as if it had a suffix, it is made good and gets `~<suffix>` (before a file's
//!   extension). So a name without a suffix is the original itself, and nothing can be called so as
//!   to look like another item.

use super::key::{ItemKey, SUFFIX_LEN, Tag, tag_of};
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;

/// Longest name that Linux takes, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest name that is made here: `.json` can still be put behind it (below `.tenantfs/graph`).
pub const MAX_MADE: usize = 250;
/// Longest extension that is kept when a name is cut, with its dot.
const MAX_EXTENSION: usize = 24;

/// The name of an item that has no name of its own: `<prefix parts, joined by spaces>.<suffix>.<ext>`.
/// The parts must be facts that never change, such as the time received and the subject.
pub fn item_name(prefix_parts: &[&str], ext: &str, key: &ItemKey) -> String {
    let mut prefix = String::new();
    for part in prefix_parts {
        // A folded or tabbed subject is one line; no subject needs more than a name can hold.
        for word in part
            .split(|c: char| c.is_whitespace() || c == '\0')
            .filter(|word| !word.is_empty())
        {
            if prefix.len() > 2 * MAX_NAME {
                break;
            }
            if !prefix.is_empty() {
                prefix.push(' ');
            }
            prefix.push_str(word);
        }
    }
    let ending = format!(".{}.{}", key.suffix(), clean(ext));
    let prefix = clean(&prefix);
    let prefix = cut(&prefix, MAX_MADE.saturating_sub(ending.len())).trim_end();
    let prefix = if prefix.is_empty() { "_" } else { prefix };
    format!("{prefix}{ending}")
}

/// The name of a folder that has a display name, such as a mail folder.
pub fn folder_name(display: &str, key: &ItemKey) -> String {
    let clean = clean(display);
    if clean == display && clean.len() <= MAX_MADE && !clean.is_empty() && !looks_suffixed(&clean) {
        return clean.into_owned();
    }
    let ending = format!("~{}", key.suffix());
    let stem = cut(&clean, MAX_MADE - ending.len());
    format!("{}{ending}", if stem.is_empty() { "_" } else { stem })
}

/// The name of a file or folder of a drive: what the drive has, byte for byte, wherever Linux can
/// have it.
pub fn exact_name(name: &str, key: &ItemKey) -> String {
    if is_good(name) && !looks_suffixed(name) {
        name.to_owned()
    } else {
        with_suffix(name, key)
    }
}

/// The name of an account's folder. User principal names are unique and nearly always good names;
/// others become so reversibly enough to be told apart.
pub fn account_name(upn: &str, key: &ItemKey) -> String {
    folder_name(upn, key)
}

/// A good name for an item whose own name is taken or no good: with `~<suffix>` before the extension.
pub fn with_suffix(name: &str, key: &ItemKey) -> String {
    let clean = escape(name, false);
    let (stem, extension) = split_extension(&clean);
    let ending = format!("~{}{extension}", key.suffix());
    let stem = cut(stem, MAX_MADE - ending.len());
    format!("{}{ending}", if stem.is_empty() { "_" } else { stem })
}

/// True for what a directory may hold as it is.
pub fn is_good(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name.contains(is_forbidden)
}

/// The tag that a name's suffix stands for: of `x.<suffix>.<ext>`, `x~<suffix>` and
/// `x~<suffix>.<ext>`.
pub fn tag_in(name: &str) -> Option<Tag> {
    let before = |end: usize, marks: &[u8]| {
        let start = end.checked_sub(SUFFIX_LEN)?;
        let mark = name.as_bytes().get(start.checked_sub(1)?)?;
        if marks.contains(mark) {
            tag_of(name.get(start..end)?)
        } else {
            None
        }
    };
    before(name.len(), b"~").or_else(|| before(name.rfind('.')?, b".~"))
}

fn looks_suffixed(name: &str) -> bool {
    tag_in(name).is_some()
}

/// NFC, and nothing in it that a name must not have.
fn clean(name: &str) -> Cow<'_, str> {
    let composed = match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => Cow::Borrowed(name),
        _ => Cow::Owned(name.nfc().collect::<String>()),
    };
    match composed {
        Cow::Borrowed(name) => escape(name, true),
        // Escapes are ASCII, and what stands around them keeps its order: still NFC.
        Cow::Owned(name) => Cow::Owned(escape(&name, true).into_owned()),
    }
}

/// Writes what a name must not have as `%XX`, byte by byte.
fn escape(name: &str, first_dot: bool) -> Cow<'_, str> {
    let dot = name.starts_with('.') && (first_dot || name == "." || name == "..");
    if !dot && !name.contains(is_forbidden) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        if is_forbidden(c) || (dot && at == 0) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Separators, controls, and the invisible characters that turn the reading direction or the line:
/// with them a name can show as another one (`exe.fdp` as `pdf.exe`).
fn is_forbidden(c: char) -> bool {
    matches!(c, '/' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c.is_control()
}

/// The extension with its dot, empty if there is none worth keeping. One that could hold a suffix is
/// none: the suffix must be the last there is.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot)
            if dot > 0
                && (2..=MAX_EXTENSION).contains(&(name.len() - dot))
                && !name[dot..].contains('~') =>
        {
            name.split_at(dot)
        }
        _ => (name, ""),
    }
}

/// The longest prefix of at most `limit` bytes that ends where a character ends that a person sees.
fn cut(name: &str, limit: usize) -> &str {
    if name.len() <= limit {
        return name;
    }
    let mut end = 0;
    for (at, grapheme) in name.grapheme_indices(true) {
        if at + grapheme.len() > limit {
            break;
        }
        end = at + grapheme.len();
    }
    if end == 0 {
        // One letter under hundreds of accents.
        end = (0..=limit)
            .rev()
            .find(|end| name.is_char_boundary(*end))
            .unwrap_or(0);
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn key(n: u64) -> ItemKey {
        ItemKey::from_hash(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn check_good(name: &str) {
        assert!(is_good(name), "{name:?}");
        assert!(
            !name.chars().any(|c| c.is_control() || c == '/'),
            "{name:?}"
        );
    }

    fn check_made(name: &str) {
        check_good(name);
        assert!(name.len() <= MAX_MADE && !name.starts_with('.'), "{name:?}");
        assert_eq!(name.nfc().collect::<String>(), name);
    }

    /// Names that are alike, odd, long, and made to look like others.
    fn odd_name() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("\0".to_owned()),
            Just(".".to_owned()),
            Just("%2F".to_owned()),
            Just("~".to_owned()),
            Just("e\u{301}".to_owned()),
            Just("\u{e9}".to_owned()),
            Just("\u{202e}".to_owned()),
            Just("\r\n\t".to_owned()),
            Just("👩‍👩‍👧‍👦".to_owned()),
            Just("\u{300}".repeat(200)),
            Just("ß".repeat(140)),
            Just(" ".to_owned()),
            Just(".eml".to_owned()),
            (0u64..3).prop_map(|n| key(n).suffix()),
            any::<char>().prop_map(String::from),
            "[a-c]{0,3}",
        ];
        proptest::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn names_are_good_and_tell_items_apart(names in proptest::collection::vec(odd_name(), 1..12)) {
            let mut exact: HashMap<String, &String> = HashMap::new();
            let mut made: HashMap<String, &String> = HashMap::new();
            for (n, name) in names.iter().enumerate() {
                let key = key(n as u64);
                let item = item_name(&["2026-11-20 0915", name], "eml", &key);
                check_made(&item);
                prop_assert!(item.starts_with("2026-11-20 0915"));
                let ending = format!(".{}.eml", key.suffix());
                prop_assert!(item.ends_with(&ending));
                prop_assert_eq!(tag_in(&item), Some(key.tag()));
                prop_assert_eq!(made.insert(item, name), None);
                check_made(&item_name(&[name], "eml", &key));

                let folder = folder_name(name, &key);
                check_made(&folder);
                if let Some(other) = made.insert(folder.clone(), name) {
                    prop_assert_eq!(other, name);
                    prop_assert_eq!(&folder, name);
                }
                let drive = exact_name(name, &key);
                check_good(&drive);
                if let Some(other) = exact.insert(drive.clone(), name) {
                    prop_assert_eq!(other, name);
                    prop_assert_eq!(&drive, name);
                }
                prop_assert!(&drive == name || tag_in(&drive) == Some(key.tag()), "{:?} {:?}", name, drive);
            }
        }

        #[test]
        fn long_names_are_cut_between_graphemes(name in "([a-zé👍\u{1f468}\u{200d}\u{301}]){200,300}", n in any::<u64>()) {
            let long = format!("{name}.docx");
            let made = exact_name(&long, &key(n));
            if long.len() <= MAX_NAME {
                prop_assert_eq!(made, long);
            } else {
                let ending = format!("~{}.docx", key(n).suffix());
                let stem = made.strip_suffix(&ending).unwrap();
                let graphemes: Vec<_> = name.grapheme_indices(true).map(|(at, _)| at).collect();
                prop_assert!(name.starts_with(stem) && (graphemes.contains(&stem.len()) || graphemes.len() == 1));
            }
        }
    }

    #[test]
    fn what_people_see() {
        let key = ItemKey([0x98; 16]);
        let suffix = key.suffix();
        let item = |subject| item_name(&["2026-11-20 0915", subject], "eml", &key);
        assert_eq!(
            item("Quarterly numbers"),
            format!("2026-11-20 0915 Quarterly numbers.{suffix}.eml")
        );
        assert_eq!(
            item("AW: 50% /\r\n\t now"),
            format!("2026-11-20 0915 AW: 50% %2F now.{suffix}.eml")
        );
        assert_eq!(item(""), format!("2026-11-20 0915.{suffix}.eml"));
        assert_eq!(
            item_name(&["..", ""], "vcf", &key),
            format!("%2E..{suffix}.vcf")
        );
        assert_eq!(folder_name("Projects", &key), "Projects");
        assert_eq!(folder_name("A/B", &key), format!("A%2FB~{suffix}"));
        assert_eq!(folder_name(".hidden", &key), format!("%2Ehidden~{suffix}"));
        assert_eq!(folder_name("e\u{301}", &key), format!("\u{e9}~{suffix}"));
        assert_eq!(folder_name("", &key), format!("_~{suffix}"));
        assert_eq!(exact_name(".gitignore", &key), ".gitignore");
        assert_eq!(exact_name("..", &key), format!("%2E.~{suffix}"));
        assert_eq!(exact_name("e\u{301}.txt", &key), "e\u{301}.txt");
        assert_eq!(
            exact_name("a~0123456789.txt", &key),
            format!("a~0123456789~{suffix}.txt")
        );
        assert_eq!(exact_name("a~012345678.txt", &key), "a~012345678.txt");
        // A folder that wants to be another mail.
        let forged = item("x");
        assert_ne!(folder_name(&forged, &ItemKey([1; 16])), forged);
    }

    #[test]
    fn the_worst_names_there_are() {
        let Some(folder) = fixtures::corpus::folder("files/odd-names") else {
            return;
        };
        let naughty = std::fs::read_to_string(folder.join("blns.txt")).unwrap();
        let attachments = std::fs::read_to_string(folder.join("attachment-names.jsonl")).unwrap();
        let mut names: Vec<String> = naughty.lines().map(str::to_owned).collect();
        for line in attachments.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            names.push(value["name"].as_str().unwrap().to_owned());
        }
        names.sort();
        names.dedup();
        assert!(names.len() > 500);
        let mut seen = [HashMap::new(), HashMap::new(), HashMap::new()];
        for (n, name) in names.iter().enumerate() {
            let key = key(n as u64);
            let made = [
                exact_name(name, &key),
                folder_name(name, &key),
                item_name(&["2026-11-20 0915", name], "eml", &key),
            ];
            check_good(&made[0]);
            check_made(&made[1]);
            check_made(&made[2]);
            for (seen, made) in seen.iter_mut().zip(made) {
                assert_eq!(seen.insert(made, name), None);
            }
        }
    }
}

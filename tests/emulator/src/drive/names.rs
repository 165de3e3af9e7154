//! Names of files and folders: which ones OneDrive for Business takes, when two collide, and what
//! `conflictBehavior: rename` makes of one.

/// Longest decoded path, from the library's root to the file's own name, in characters.
pub const MAX_PATH: usize = 400;
/// Longest name of one file or folder, in characters.
pub const MAX_NAME: usize = 255;

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Empty,
    TooLong,
    Character,
    Reserved,
}

impl Refusal {
    /// What the service says of it.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::Empty => "The provided name cannot be blank",
            Refusal::TooLong => "The provided name is longer than 255 characters",
            Refusal::Character => "The provided name contains invalid characters",
            Refusal::Reserved => "The provided name is reserved and cannot be used",
        }
    }
}

/// Checks one name (not a path). `at_root`: the folder `forms` is taken everywhere but there.
pub fn check(name: &str, is_folder: bool, at_root: bool) -> Result<(), Refusal> {
    if name.trim_matches(' ').is_empty() {
        return Err(Refusal::Empty);
    }
    if name.chars().count() > MAX_NAME {
        return Err(Refusal::TooLong);
    }
    if name
        .chars()
        .any(|c| c.is_control() || "\"*:<>?/\\|".contains(c))
    {
        return Err(Refusal::Character);
    }
    // Covers `.` and `..` too.
    if name.starts_with(' ') || name.ends_with(' ') || name.ends_with('.') {
        return Err(Refusal::Character);
    }
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let device = matches!(stem, "con" | "prn" | "aux" | "nul")
        || numbered(stem, "com")
        || numbered(stem, "lpt");
    if device
        || lower == ".lock"
        || lower == "desktop.ini"
        || lower.starts_with("~$")
        || lower.contains("_vti_")
        || (is_folder && at_root && lower == "forms")
    {
        return Err(Refusal::Reserved);
    }
    Ok(())
}

fn numbered(stem: &str, device: &str) -> bool {
    stem.strip_prefix(device)
        .is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Two names of one folder collide when these are equal: names keep their case and are compared
/// without it. Composed and decomposed forms of a letter are different names.
pub fn collision_key(name: &str) -> String {
    name.to_lowercase()
}

/// `report.txt` -> `report 1.txt`, as `conflictBehavior: rename` does. A folder's name has no extension.
pub fn numbered_name(name: &str, is_folder: bool, n: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !is_folder && !stem.is_empty() => {
            format!("{stem} {n}.{extension}")
        }
        _ => format!("{name} {n}"),
    }
}

/// The media type the service would report for a name.
pub fn media_type(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, e)| e.to_ascii_lowercase())
        .unwrap_or_default();
    match extension.as_str() {
        "txt" | "log" | "ini" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "md" => "text/markdown",
        "xml" => "text/xml",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "rtf" => "application/rtf",
        "zip" => "application/x-zip-compressed",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "heic" => "image/heic",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "eml" => "message/rfc822",
        "msg" => "application/vnd.ms-outlook",
        "doc" => "application/msword",
        "xls" => "application/vnd.ms-excel",
        "ppt" => "application/vnd.ms-powerpoint",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "one" => "application/msonenote",
        _ => "application/octet-stream",
    }
}

/// Office files, whose bytes the service may rewrite when they are uploaded (property promotion).
pub fn is_office(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [".docx", ".xlsx", ".pptx"]
        .iter()
        .any(|e| lower.ends_with(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        let bad = [
            "",
            " ",
            "a:b",
            "a*b",
            "a?b",
            "a\"b",
            "a<b",
            "a>b",
            "a|b",
            "a\\b",
            "a/b",
            "a\u{7}b",
            " a",
            "a ",
            "a.",
            ".",
            "..",
            ".lock",
            "CON",
            "con.txt",
            "Prn",
            "aux.tar.gz",
            "NUL",
            "com1",
            "LPT9.doc",
            "desktop.ini",
            "Desktop.INI",
            "~$budget.xlsx",
            "a_vti_b",
        ];
        for name in bad {
            assert!(
                check(name, false, false).is_err(),
                "{name:?} must be refused"
            );
        }
        assert_eq!(check(&"x".repeat(256), false, false), Err(Refusal::TooLong));
        assert_eq!(check("Forms", true, true), Err(Refusal::Reserved));
    }

    #[test]
    fn what_is_taken() {
        let good = [
            "a",
            "100% & #1.txt",
            "it's; +x.md",
            ".profile",
            "console.txt",
            "com10",
            "com",
            "nully",
            "a b",
            "é.txt",
            "e\u{301}.txt",
            "\u{1f600}.png",
            "a..b",
            "$~x",
            "lock",
            "a.lock",
        ];
        for name in good {
            assert_eq!(check(name, false, false), Ok(()), "{name:?}");
        }
        assert_eq!(check(&"é".repeat(255), false, false), Ok(()));
        assert_eq!(check("forms", true, false), Ok(()));
        assert_eq!(check("forms", false, true), Ok(()));
    }

    #[test]
    fn renames_number_before_the_extension() {
        assert_eq!(numbered_name("name.ext", false, 1), "name 1.ext");
        assert_eq!(numbered_name("a.tar.gz", false, 2), "a.tar 2.gz");
        assert_eq!(numbered_name("name", false, 1), "name 1");
        assert_eq!(numbered_name(".profile", false, 1), ".profile 1");
        assert_eq!(numbered_name("v1.2", true, 1), "v1.2 1");
        assert_eq!(collision_key("ÄB.Txt"), collision_key("äb.tXT"));
    }
}

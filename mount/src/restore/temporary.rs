//! Names under which programs write before they rename.
//!
//! rsync, editors and desktop copies write under a name of their own and rename at the end. Such a
//! file is kept here and sent when it gets its real name. A real file that happens to be called like
//! that loses nothing: it is sent under its own name a little later.

use tenantfs::restore::TargetPath;

/// Does the name look like one that the program which writes it will rename or remove?
pub fn is_temporary(target: &TargetPath) -> bool {
    target.is_scratch() || target.name().is_some_and(is_temporary_name)
}

/// On top of what [`TargetPath::is_scratch`] knows: every form that a program makes must be caught,
/// or half a file would become an item.
fn is_temporary_name(name: &str) -> bool {
    let hidden = name.strip_prefix('.');
    // rsync: .name.XXXXXX
    let rsync = hidden
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(stem, random)| {
            !stem.is_empty()
                && random.len() == 6
                && random.bytes().all(|b| b.is_ascii_alphanumeric())
        });
    // vim: .name.swp, .swo, .swx; kate: .name.kate-swp
    let swap = hidden
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, ext)| {
            ext == "kate-swp"
                || (ext.len() == 3
                    && ext.starts_with("sw")
                    && ext.as_bytes()[2].is_ascii_lowercase())
        });
    // rclone: name.xxxxxxxx.partial
    let partial = name
        .strip_suffix(".partial")
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(_, random)| {
            random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit())
        });
    // vim tests with a file of this name, then one more, whether it may create files here.
    let probe = name
        .parse::<u32>()
        .is_ok_and(|n| n >= 4913 && (n - 4913) % 123 == 0);
    rsync
        || swap
        || partial
        || probe
        || name.ends_with('~')
        || name.starts_with(".goutputstream-")
        || name.starts_with(".#")
        || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'))
        || (name.starts_with(".~lock.") && name.ends_with('#'))
        || name.starts_with("~$")
}

#[cfg(test)]
mod tests {
    use super::is_temporary_name;

    #[test]
    fn what_programs_use() {
        for name in [
            ".budget.xlsx.Ab3dE9",
            "..bashrc.Ab3dE9",
            ".notes.txt.swp",
            ".notes.txt.swx",
            ".notes.kate-swp",
            "4913",
            "5036",
            "notes.txt~",
            ".goutputstream-X1Y2Z3",
            ".#notes.txt",
            "#notes.txt#",
            ".~lock.budget.ods#",
            "~$report.docx",
            "big.iso.0a1b2c3d.partial",
        ] {
            assert!(is_temporary_name(name), "{name}");
        }
    }

    #[test]
    fn what_people_use() {
        for name in [
            "budget.xlsx",
            ".bashrc",
            "4912",
            "a.swp",
            "report.partial",
            "2026-11-20 0915 Hi.abcdefghij.eml",
            ".a.b",
            "#",
        ] {
            assert!(!is_temporary_name(name), "{name}");
        }
    }
}

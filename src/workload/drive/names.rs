//! The names that OneDrive and SharePoint take, checked before a byte is sent, with the rule in the error.
//!
//! Source: restrictions of file and folder names in OneDrive and SharePoint.

/// Characters of a path below the library, its slashes included.
const MAX_PATH: usize = 400;
/// What no name may have.
const FORBIDDEN: &str = "\"*:<>?/\\|";
/// Characters of a name.
const MAX_NAME: usize = 255;

/// What is wrong with a path for `service` (its name), in words; `Ok` if nothing is.
pub(in crate::workload) fn check(service: &str, path: &[String]) -> Result<(), String> {
    for (depth, name) in path.iter().enumerate() {
        check_name(service, name)?;
        if depth == 0 && path.len() > 1 && name.eq_ignore_ascii_case("forms") {
            return Err(format!(
                "{service} keeps the folder name \"forms\" at its root for itself"
            ));
        }
    }
    let length = path.join("/").chars().count();
    if length > MAX_PATH {
        return Err(format!(
            "the path has {length} characters, and {service} takes at most {MAX_PATH}: choose a \
             shorter folder"
        ));
    }
    Ok(())
}

fn check_name(service: &str, name: &str) -> Result<(), String> {
    let no = |why: &str| Err(format!("{service} does not take the name {name:?}: {why}"));
    if name.is_empty() || name == "." || name == ".." {
        return no("it is no name");
    }
    if let Some(c) = name.chars().find(|c| FORBIDDEN.contains(*c)) {
        return no(&format!("it has the character {c}, which is not allowed"));
    }
    if name.chars().any(char::is_control) {
        return no("it has a control character");
    }
    if name.starts_with(' ') || name.ends_with(' ') {
        return no("it begins or ends with a space");
    }
    if name.ends_with('.') {
        return no("it ends with a dot");
    }
    if name.chars().count() > MAX_NAME {
        return no(&format!("it is longer than {MAX_NAME} characters"));
    }
    let lower = name.to_lowercase();
    if lower.starts_with("~$") {
        return no("it begins with ~$, as lock files of Office do");
    }
    if lower.contains("_vti_") {
        return no("it contains _vti_");
    }
    let stem = lower.split('.').next().unwrap_or_default();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    let device = ["con", "prn", "aux", "nul"].contains(&stem) || numbered("com") || numbered("lpt");
    if device || lower == ".lock" || lower == "desktop.ini" {
        return no("it is a reserved name");
    }
    Ok(())
}

/// A name as near to this one as OneDrive and SharePoint take it.
pub(in crate::workload) fn fit(name: &str) -> String {
    let allowed = |c: char| !FORBIDDEN.contains(c) && !c.is_control();
    let name: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(MAX_NAME)
        .collect();
    let mut name = name.trim_matches(' ').trim_end_matches('.').to_owned();
    while let Some(at) = name.to_lowercase().find("_vti_") {
        // Lower case may be longer: then it is not in the name as it is.
        match name.is_char_boundary(at) && name.is_char_boundary(at + 1) {
            true => name.replace_range(at..at + 1, "-"),
            false => name = name.to_lowercase(),
        }
    }
    match check_name("OneDrive", &name) {
        Ok(()) => name,
        Err(_) => format!("_{}", name.trim_start_matches("~$")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(name: &str) -> Result<(), String> {
        check("OneDrive", &[name.to_owned()])
    }

    #[test]
    fn the_rules() {
        for good in [
            "a.txt",
            "100% #1 & 'x' + y;.doc",
            "console",
            ".profile",
            "com10",
            "naïve 🎈",
        ] {
            assert_eq!(one(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            "a:b",
            "a?b",
            "a|b",
            "a\\b",
            "a/b",
            "\"",
            "x*",
            "<",
            ">",
            " a",
            "a ",
            "a.",
            "CON",
            "con.txt",
            "Lpt1",
            "COM9.x",
            "~$doc.docx",
            "x_vti_y",
            ".lock",
            "Desktop.ini",
            "a\nb",
        ];
        for bad in bad {
            assert!(one(bad).is_err(), "{bad:?}");
        }
        assert!(one(&"x".repeat(256)).is_err());
        let deep: Vec<String> = (0..5).map(|_| "x".repeat(90)).collect();
        assert!(check("OneDrive", &deep).unwrap_err().contains("400"));
        assert!(check("SharePoint", &["Forms".into(), "a".into()]).is_err());
    }

    #[test]
    fn what_the_mount_made_is_made_to_fit() {
        for (name, fitting) in [
            ("Re: Budget? \"now\".k3.eml", "Re_ Budget_ _now_.k3.eml"),
            ("con.7hq1b0d4xw.vcf", "_con.7hq1b0d4xw.vcf"),
            ("~$x.eml", "_x.eml"),
            ("a_VTI_b.eml", "a-VTI_b.eml"),
            ("plain.eml", "plain.eml"),
        ] {
            assert_eq!(fit(name), fitting);
            assert_eq!(one(&fit(name)), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn whatever_fits_is_taken(name in ".+\\.[a-z]{3}") {
            prop_assert_eq!(one(&fit(&name)), Ok(()), "{}", fit(&name));
        }

        #[test]
        fn never_panics(name in ".*") {
            let _ = one(&name);
        }
    }
}

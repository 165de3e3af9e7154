//! Where something is restored to: `[@policy/]*account/Workload folder/path...`, below `restore/`. An
//! account is a user principal name, or the path of a site: `Sites/Finance`.
//!
//! This is syntax only: whether the account and the workload exist is asked when the path is used
//! ([`super::Service`]). What comes out of here never has an empty component, `.`, `..`, `/`, NUL or
//! control characters that could lead anywhere else, and names are at most 255 bytes.

use std::fmt;
use std::str::FromStr;

use super::errno::{Code, RestoreError};
use super::policy::Policy;
use crate::graph::sites::{SITES, SUBSITES};

/// Most components below the workload folder: what Exchange allows, deeper than OneDrive does.
const MAX_DEPTH: usize = 300;
/// Longest name, bytes.
const MAX_NAME: usize = 255;

/// A place below `restore/`, as far down as it goes: the root, an account, a workload, a folder or file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TargetPath {
    policy: Policy,
    components: Vec<String>,
}

impl TargetPath {
    /// `restore/` itself.
    pub fn root() -> TargetPath {
        TargetPath::default()
    }

    /// Reads `@overwrite/bob@contoso.com/Mail/From Alice`: slashes at the end don't matter.
    ///
    /// # Errors
    /// EINVAL that names what is allowed; ENAMETOOLONG.
    pub fn parse(path: &str) -> Result<TargetPath, RestoreError> {
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Ok(TargetPath::root());
        }
        if path.starts_with('/') {
            return Err(RestoreError::new(
                Code::Invalid,
                format!("{path:?} starts with a slash; a target is {SHAPE}"),
            ));
        }
        path.split('/')
            .try_fold(TargetPath::root(), |at, name| at.child(name))
    }

    /// The place `name` in this one: a policy, an account, a workload, or an item, by where we are.
    ///
    /// # Errors
    /// EINVAL that names what is allowed; ENAMETOOLONG.
    pub fn child(&self, name: &str) -> Result<TargetPath, RestoreError> {
        let invalid = |what: &str| {
            Err(RestoreError::new(
                Code::Invalid,
                format!("{what} in a path; a target is {SHAPE}"),
            ))
        };
        match name {
            "" => return invalid("an empty name"),
            "." | ".." => return invalid(&format!("{name:?}")),
            _ if name.contains('/') => return invalid("a slash in a name"),
            _ if name.chars().any(char::is_control) => {
                return invalid(&format!("a control character ({name:?})"));
            }
            _ => {}
        }
        if name.len() > MAX_NAME {
            return Err(RestoreError::new(
                Code::NameTooLong,
                format!(
                    "a name of {} bytes; at most {MAX_NAME}: {name:?}",
                    name.len()
                ),
            ));
        }
        let mut child = self.clone();
        if self.components.is_empty() && name.starts_with('@') {
            child.policy = self.policy.with(name)?;
            return Ok(child);
        }
        if self.components.len() >= MAX_DEPTH + 2 {
            return Err(RestoreError::new(
                Code::NameTooLong,
                format!("more than {MAX_DEPTH} folders below each other"),
            ));
        }
        child.components.push(name.to_owned());
        Ok(child)
    }

    /// The place this one is in. A policy has none: it is a view of the root.
    pub fn parent(&self) -> Option<TargetPath> {
        let mut parent = self.clone();
        parent.components.pop()?;
        Some(parent)
    }

    /// What to do with what is there, and whether to wait.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The same place under another policy.
    pub fn with_policy(mut self, policy: Policy) -> TargetPath {
        self.policy = policy;
        self
    }

    /// How many components name the account: one for a user, two for a site, two more for each subsite.
    fn account_len(&self) -> usize {
        let names = &self.components;
        if names.first().is_none_or(|first| first != SITES) {
            return 1;
        }
        let mut len = 2;
        while names.len() > len + 1 && names[len] == SUBSITES {
            len += 2;
        }
        len
    }

    /// The account's name, as it was written: `bob@contoso.com`, `Sites/Finance/Subsites/Payroll`. `None`
    /// for the root and for `Sites`.
    pub fn account(&self) -> Option<String> {
        let names = self.components.get(..self.account_len())?;
        (!names.is_empty()).then(|| names.join("/"))
    }

    /// The workload's folder (`Mail`), as it was written. For a site it may be [`SUBSITES`], which is none.
    pub fn workload(&self) -> Option<&str> {
        self.components.get(self.account_len()).map(String::as_str)
    }

    /// What is below the workload's folder: empty for the folder itself.
    pub fn path(&self) -> &[String] {
        let below = self.account_len() + 1;
        self.components.get(below..).unwrap_or_default()
    }

    /// The first component below `restore/`: the account, or the folder that sites are in.
    pub fn top(&self) -> Option<&str> {
        self.components.first().map(String::as_str)
    }

    /// Whether it is a folder of sites or subsites, which has no other names in it.
    pub fn is_site_folder(&self) -> bool {
        let sites = self.top() == Some(SITES);
        sites && (self.components.len() == 1 || self.workload() == Some(SUBSITES))
    }

    /// The last component below a workload: the item's own name.
    pub fn name(&self) -> Option<&str> {
        self.path().last().map(String::as_str)
    }

    /// The folders above the item, below the workload.
    pub fn folder(&self) -> &[String] {
        let path = self.path();
        &path[..path.len().saturating_sub(1)]
    }

    /// Whether this is `restore/` or a policy in it: what accounts are listed in.
    pub fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// Whether the name is one that programs give to a file they are still writing, and rename when it
    /// is complete (rsync, editors). Pushing it would make an item nobody asked for: keep such a file in
    /// its spool and push it when it gets its real name.
    pub fn is_scratch(&self) -> bool {
        self.name().is_some_and(is_scratch)
    }
}

fn is_scratch(name: &str) -> bool {
    // rsync: .NAME.XXXXXX
    let rsync = name.starts_with('.')
        && name
            .rsplit_once('.')
            .is_some_and(|(head, tail)| head.len() > 1 && tail.len() == 6 && is_random(tail));
    // vim: .NAME.swp, 4913, NAME~; emacs: .#NAME, #NAME#; glib: .goutputstream-XXXXXX;
    // LibreOffice: .~lock.NAME#; sed -i: sedXXXXXX; rclone, curl, browsers: NAME.partial, NAME.part
    let vim = name.starts_with('.')
        && [".swp", ".swo", ".swx", ".swpx"]
            .iter()
            .any(|end| name.ends_with(end));
    let emacs =
        name.starts_with(".#") || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'));
    let sed = name.len() == 9 && name.strip_prefix("sed").is_some_and(is_random);
    rsync
        || vim
        || emacs
        || sed
        || name == "4913"
        || (name.len() > 1 && name.ends_with('~'))
        || name.starts_with(".goutputstream-")
        || name.starts_with(".~lock.")
        || name.ends_with(".partial")
        || name.ends_with(".part")
}

/// What mkstemp makes: a word in plain lower case is more likely a person's.
fn is_random(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_alphanumeric())
        && word
            .bytes()
            .any(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// The shape of a target, for messages.
const SHAPE: &str = "[@policy/]account/workload folder/path, as in bob@contoso.com/Mail/From Alice";

/// As it is written below `restore/`.
impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.policy, self.components.join("/"))
    }
}

impl FromStr for TargetPath {
    type Err = RestoreError;

    fn from_str(path: &str) -> Result<TargetPath, RestoreError> {
        TargetPath::parse(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::policy::Conflict;
    use super::*;

    #[test]
    fn reads_every_part() {
        let t =
            TargetPath::parse("@overwrite/@queued/bob@contoso.com/Mail/From Alice/x.eml/").unwrap();
        assert_eq!(t.policy().conflict, Some(Conflict::Overwrite));
        assert!(t.policy().queued);
        assert_eq!(t.account().as_deref(), Some("bob@contoso.com"));
        assert_eq!(t.workload(), Some("Mail"));
        assert_eq!(t.path(), ["From Alice", "x.eml"]);
        assert_eq!(t.folder(), ["From Alice"]);
        assert_eq!(t.name(), Some("x.eml"));
        assert_eq!(
            t.parent().unwrap().to_string(),
            "@overwrite/@queued/bob@contoso.com/Mail/From Alice"
        );

        let t = TargetPath::parse("bob@contoso.com/Mail").unwrap();
        assert_eq!(
            (t.workload(), t.path().len(), t.name()),
            (Some("Mail"), 0, None)
        );
        assert!(TargetPath::parse("@queued").unwrap().is_root());
        assert!(TargetPath::parse("").unwrap().parent().is_none());
    }

    #[test]
    fn a_site_is_an_account_of_several_names() {
        let parts = |path: &str| {
            let t = TargetPath::parse(path).unwrap();
            (
                t.account(),
                t.workload().map(str::to_owned),
                t.path().join("/"),
                t.is_site_folder(),
            )
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("Sites"), (None, None, String::new(), true));
        assert_eq!(
            parts("@queued/Sites/Finance"),
            (some("Sites/Finance"), None, String::new(), false)
        );
        assert_eq!(
            parts("Sites/Finance/Libraries/Documents/a/b"),
            (
                some("Sites/Finance"),
                some("Libraries"),
                "Documents/a/b".into(),
                false
            )
        );
        assert_eq!(
            parts("Sites/Finance/Subsites"),
            (some("Sites/Finance"), some("Subsites"), String::new(), true)
        );
        assert_eq!(
            parts("Sites/Finance/Subsites/Payroll"),
            (
                some("Sites/Finance/Subsites/Payroll"),
                None,
                String::new(),
                false
            )
        );
        assert_eq!(
            parts("Sites/A/Subsites/B/Subsites/C/Libraries/Subsites/x"),
            (
                some("Sites/A/Subsites/B/Subsites/C"),
                some("Libraries"),
                "Subsites/x".into(),
                false
            )
        );
    }

    #[test]
    fn at_signs_below_the_account_are_names() {
        let t = TargetPath::parse("bob@contoso.com/OneDrive/@queued/a").unwrap();
        assert_eq!(t.path(), ["@queued", "a"]);
        assert!(!t.policy().queued);
    }

    #[test]
    fn refuses_what_is_outside_the_contract() {
        for path in [
            "/bob/Mail",
            "bob//Mail",
            "bob/../alice",
            "bob/./Mail",
            "..",
            "@force/bob/Mail",
            "@skip/@overwrite/bob",
            "bob/Mail/a\0b",
            "bob/Mail/a\nb",
        ] {
            let e = TargetPath::parse(path).unwrap_err();
            assert_eq!(e.code, Code::Invalid, "{path:?}: {e}");
            assert!(
                e.reason.contains('@') || e.reason.contains("account"),
                "{path:?}: {e}"
            );
        }
        let long = format!("bob/Mail/{}", "x".repeat(256));
        assert_eq!(
            TargetPath::parse(&long).unwrap_err().code,
            Code::NameTooLong
        );
        let deep = format!("bob/Mail{}", "/x".repeat(301));
        assert_eq!(
            TargetPath::parse(&deep).unwrap_err().code,
            Code::NameTooLong
        );
    }

    #[test]
    fn knows_files_that_are_still_being_written() {
        for name in [
            ".budget.xlsx.Xy7aQ2",
            ".notes.txt.swp",
            "4913",
            "notes.txt~",
            ".#notes.txt",
            "#notes.txt#",
            ".goutputstream-ABC123",
            ".~lock.budget.ods#",
            "sedA1b2C3",
            "x.partial",
        ] {
            assert!(is_scratch(name), "{name}");
        }
        for name in [
            ".bashrc",
            ".gitignore",
            "a.eml",
            "sediments",
            "x.y.abcdef",
            ".config.backup",
            ".x",
            "~",
            "2026-01-01 0900 x.eml",
        ] {
            assert!(!is_scratch(name), "{name}");
        }
    }

    proptest! {
        /// Whatever is accepted is written as what it was read from, and never leads elsewhere.
        #[test]
        fn accepted_paths_are_safe(path in "(@[a-z-]{1,9}/){0,2}[a-z@.\\x00-\\x20/]{0,40}") {
            if let Ok(t) = TargetPath::parse(&path) {
                prop_assert_eq!(&TargetPath::parse(&t.to_string()).unwrap(), &t);
                for c in &t.components {
                    prop_assert!(!c.is_empty() && c != "." && c != ".." && !c.contains(['/', '\0']));
                }
            }
        }
    }
}

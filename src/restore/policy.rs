//! What a restore does with an item that is there already, and whether the caller waits for it.

use std::fmt;

use super::errno::{Code, RestoreError};

pub use crate::workload::Policy as Conflict;

/// The word for a conflict policy, on the command line and after `@` in a path.
pub fn word(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Skip => "skip",
        Conflict::Overwrite => "overwrite",
        Conflict::KeepBoth => "keep-both",
    }
}

/// Reads the word of a conflict policy.
///
/// # Errors
/// EINVAL with the words there are.
pub fn parse_conflict(text: &str) -> Result<Conflict, RestoreError> {
    [Conflict::Skip, Conflict::Overwrite, Conflict::KeepBoth]
        .into_iter()
        .find(|c| word(*c) == text)
        .ok_or_else(|| {
            RestoreError::new(
                Code::Invalid,
                format!("{text:?} is no conflict policy; use skip, overwrite or keep-both"),
            )
        })
}

/// The policy of one path: made of its leading `@` components, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Policy {
    /// `None`: not said, the configured default applies.
    pub conflict: Option<Conflict>,
    /// `close()` returns when the bytes are safe on this machine.
    pub queued: bool,
}

/// The policy components there are, with what each does: what a directory listing or a message shows.
pub const COMPONENTS: [(&str, &str); 4] = [
    (
        "@skip",
        "an item that is there already is left alone (EEXIST)",
    ),
    ("@overwrite", "an item that is there already is replaced"),
    (
        "@keep-both",
        "another item is made beside the one that is there",
    ),
    (
        "@queued",
        "close() returns when the bytes are safe here; the push follows",
    ),
];

impl Policy {
    /// This policy with one more component (`@overwrite`).
    ///
    /// # Errors
    /// EINVAL for a word that is none, or that says something else than an earlier one.
    pub fn with(self, component: &str) -> Result<Policy, RestoreError> {
        let conflict = match component {
            "@queued" if self.queued => {
                return Err(RestoreError::new(
                    Code::Invalid,
                    "@queued is there twice".to_owned(),
                ));
            }
            "@queued" => {
                return Ok(Policy {
                    queued: true,
                    ..self
                });
            }
            "@skip" => Conflict::Skip,
            "@overwrite" => Conflict::Overwrite,
            "@keep-both" => Conflict::KeepBoth,
            other => {
                return Err(RestoreError::new(
                    Code::Invalid,
                    format!(
                        "{other:?} is no policy; a path in restore/ starts with any of {}, then the account",
                        COMPONENTS.map(|(name, _)| name).join(", ")
                    ),
                ));
            }
        };
        match self.conflict {
            Some(said) => Err(RestoreError::new(
                Code::Invalid,
                format!(
                    "@{} and @{} in one path: only one of @skip, @overwrite, @keep-both",
                    word(said),
                    word(conflict)
                ),
            )),
            None => Ok(Policy {
                conflict: Some(conflict),
                ..self
            }),
        }
    }
}

/// As the leading components of a path: nothing, `@overwrite/`, `@overwrite/@queued/`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(conflict) = self.conflict {
            write!(f, "@{}/", word(conflict))?;
        }
        if self.queued {
            f.write_str("@queued/")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_combine_in_any_order() {
        let a = Policy::default()
            .with("@queued")
            .unwrap()
            .with("@overwrite")
            .unwrap();
        let b = Policy::default()
            .with("@overwrite")
            .unwrap()
            .with("@queued")
            .unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "@overwrite/@queued/");
        assert_eq!(Policy::default().to_string(), "");
    }

    #[test]
    fn contradictions_and_strangers_are_refused() {
        let skip = Policy::default().with("@skip").unwrap();
        for (policy, word) in [
            (skip, "@overwrite"),
            (skip, "@skip"),
            (Policy::default(), "@force"),
            (Policy::default(), "@"),
            (
                Policy {
                    queued: true,
                    conflict: None,
                },
                "@queued",
            ),
        ] {
            let e = policy.with(word).unwrap_err();
            assert_eq!(e.code, Code::Invalid);
        }
        assert!(
            Policy::default()
                .with("@force")
                .unwrap_err()
                .reason
                .contains("@keep-both")
        );
        assert_eq!(parse_conflict("keep-both").unwrap(), Conflict::KeepBoth);
        assert!(parse_conflict("both").is_err());
    }
}

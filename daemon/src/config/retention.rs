//! `[retention]`: which snapshots stay, and how often the repository is pruned.

use std::time::Duration;

use serde::Deserialize;
use tenantfs::retention::{Policy, Rules};

use crate::schedule::parse_period;

/// `[retention]`: general rules, `[[retention.account]]` with their own, and `prune_every`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Retention {
    /// What is kept; without any rule, everything, and the daemon forgets nothing.
    pub policy: Policy,
    /// How often the daemon prunes after it forgot: `"7d"`, or `"never"`.
    pub prune_every: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            prune_every: Some(Duration::from_secs(7 * 86_400)),
        }
    }
}

impl TryFrom<toml::Table> for Retention {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let prune_every = match table.remove("prune_every") {
            None => Self::default().prune_every,
            Some(toml::Value::String(text)) if text == "never" => None,
            Some(toml::Value::String(text)) => Some(parse_period("prune_every", &text)?),
            Some(_) => return Err("prune_every is a time span such as \"7d\", or \"never\"".into()),
        };
        let accounts = match table.remove("account") {
            None => Vec::new(),
            Some(toml::Value::Array(list)) => list
                .into_iter()
                .map(account_rules)
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("rules for accounts are written [[retention.account]]".into()),
        };
        Ok(Self {
            policy: Policy {
                general: rules(table)?,
                accounts,
            },
            prune_every,
        })
    }
}

fn account_rules(value: toml::Value) -> Result<(String, Rules), String> {
    let needed = "[[retention.account]] needs match = \"PATTERN\" and at least one keep_ rule";
    let toml::Value::Table(mut table) = value else {
        return Err(needed.into());
    };
    let Some(toml::Value::String(pattern)) = table.remove("match") else {
        return Err(needed.into());
    };
    globset::Glob::new(&pattern)
        .map_err(|e| format!("[[retention.account]] match {pattern:?} is not a glob: {e}"))?;
    let rules = rules(table)?;
    if rules.is_empty() {
        return Err(needed.into());
    }
    Ok((pattern, rules))
}

fn rules(table: toml::Table) -> Result<Rules, String> {
    table
        .try_into()
        .map_err(|e| format!("[retention] {}", e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Retention, toml::de::Error> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            retention: Retention,
        }
        toml::from_str::<Whole>(text).map(|whole| whole.retention)
    }

    #[test]
    fn nothing_is_forgotten_unless_told() {
        let default = parse("").unwrap();
        assert!(default.policy.is_empty());
        assert_eq!(default.prune_every, Some(Duration::from_secs(7 * 86_400)));
    }

    #[test]
    fn rules_and_those_of_accounts_are_read_in_order() {
        let text = r#"
            [retention]
            keep_daily = 14
            keep_within = "6m"
            keep_tags = ["audit"]
            prune_every = "1d"
            [[retention.account]]
            match = "ceo@*"
            keep_yearly = 10
            [[retention.account]]
            match = "*@contoso.com"
            keep_last = 1
        "#;
        let retention = parse(text).unwrap();
        let policy = &retention.policy;
        assert_eq!(policy.general.keep_daily, 14);
        assert!(policy.general.keep_tags.contains("audit"));
        assert_eq!(policy.accounts[0].0, "ceo@*");
        assert_eq!(policy.accounts[0].1.keep_yearly, 10);
        assert_eq!(policy.accounts[1].1.keep_last, 1);
        assert_eq!(retention.prune_every, Some(Duration::from_secs(86_400)));
        let never = parse("[retention]\nprune_every = \"never\"").unwrap();
        assert_eq!(never.prune_every, None);
    }

    #[test]
    fn what_is_misspelled_is_refused() {
        for (wrong, says) in [
            ("[retention]\nkeep_dayly = 1", "keep_dayly"),
            ("[retention]\nkeep_daily = -1", "-1"),
            ("[retention]\nkeep_within = \"6x\"", "6x"),
            ("[retention]\nprune_every = 7", "time span"),
            ("[[retention.account]]\nkeep_last = 1", "match"),
            ("[[retention.account]]\nmatch = \"a\"", "keep_"),
            (
                "[[retention.account]]\nmatch = \"[\"\nkeep_last = 1",
                "glob",
            ),
            ("[retention]\naccount = 1", "[[retention.account]]"),
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}

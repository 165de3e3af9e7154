//! `tenantfs status`: what the running daemon is doing.

use anyhow::{Result, bail};

use super::Context;
use crate::control::{self, Request};
use crate::exit::Outcome;

pub fn run(context: &Context) -> Result<Outcome> {
    let Some(answer) = control::ask(&context.config.state_dir, &Request::Status)? else {
        bail!(
            "no daemon is running with the state directory {}",
            context.config.state_dir.display()
        );
    };
    if let Some(error) = answer["error"].as_str() {
        bail!("{error}");
    }
    context.style.report(&answer, |out| {
        for (key, value) in answer.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::String(text) => writeln!(out, "{key:<16} {text}")?,
                serde_json::Value::Null => {}
                other => writeln!(out, "{key:<16} {other}")?,
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

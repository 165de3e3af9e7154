//! Sign-in by a token of a trusted issuer (workload identity federation).

use std::path::Path;

use secrecy::SecretString;

use super::SIGN_IN;
use crate::graph::error::{ErrorClass, GraphError};

/// Reads the token file. It rotates, so it is read each time.
pub(super) async fn assertion(file: &Path) -> Result<SecretString, GraphError> {
    let wrong = |what: String| {
        GraphError::local(
            ErrorClass::Auth,
            SIGN_IN,
            format!("federated token file {}: {what}", file.display()),
        )
    };
    let bytes = tokio::fs::read(file)
        .await
        .map_err(|e| wrong(e.to_string()))?;
    if bytes.len() > 64 * 1024 {
        return Err(wrong("too large to be a token".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("not text".into()))?;
    match text.trim() {
        "" => Err(wrong("empty".into())),
        token => Ok(token.to_owned().into()),
    }
}

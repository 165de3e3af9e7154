//! The tokens in `nextLink`s and `deltaLink`s: opaque to clients, complete for us.
//!
//! A token is the JSON of what it stands for (options of the first call, page size, sequence
//! number), a generation and a check, in URL-safe base64. Whoever changes a character gets
//! [`TokenError::Malformed`]. `/_emulator/expire-delta-tokens` raises the generation: every token
//! given out before is then [`TokenError::Expired`], as if the service had forgotten it.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    Malformed,
    Expired,
}

/// Seals and opens tokens.
#[derive(Debug, Default)]
pub struct Tokens {
    generation: AtomicU64,
    seed: u64,
}

impl Tokens {
    pub fn new(seed: u64) -> Tokens {
        Tokens {
            generation: AtomicU64::new(0),
            seed,
        }
    }

    /// `kind` says what the token is for (`"messages"`, `"drive"`): it opens as nothing else.
    pub fn seal<T: Serialize>(&self, kind: &str, content: &T) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let body = serde_json::to_vec(&(generation, content)).unwrap_or_default();
        let mut out = self.check(kind, &body).to_vec();
        out.extend_from_slice(&body);
        // Unlike the JSON it holds, so that nobody is tempted to read it.
        let mask = out[0];
        for byte in &mut out[6..] {
            *byte ^= mask | 1;
        }
        URL_SAFE_NO_PAD.encode(out)
    }

    pub fn open<T: DeserializeOwned>(&self, kind: &str, token: &str) -> Result<T, TokenError> {
        let mut raw = URL_SAFE_NO_PAD
            .decode(token.trim_end_matches('='))
            .map_err(|_| TokenError::Malformed)?;
        if raw.len() < 7 {
            return Err(TokenError::Malformed);
        }
        let mask = raw[0];
        for byte in &mut raw[6..] {
            *byte ^= mask | 1;
        }
        if self.check(kind, &raw[6..]) != raw[..6] {
            return Err(TokenError::Malformed);
        }
        let (generation, content): (u64, T) =
            serde_json::from_slice(&raw[6..]).map_err(|_| TokenError::Malformed)?;
        if generation < self.generation.load(Ordering::Relaxed) {
            return Err(TokenError::Expired);
        }
        Ok(content)
    }

    /// Lets every token given out so far expire.
    pub fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn check(&self, kind: &str, body: &[u8]) -> [u8; 6] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(body);
        let mut out = [0; 6];
        out.copy_from_slice(&hash.finalize()[..6]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_as_what_it_was_until_it_expires() {
        let tokens = Tokens::new(3);
        let token = tokens.seal("messages", &(5u64, "id,subject"));
        assert_eq!(
            tokens.open::<(u64, String)>("messages", &token).unwrap(),
            (5, "id,subject".to_owned())
        );
        assert_eq!(
            tokens.open::<(u64, String)>("drive", &token),
            Err(TokenError::Malformed)
        );
        let mut broken = token.clone();
        broken.pop();
        assert_eq!(
            tokens.open::<(u64, String)>("messages", &broken),
            Err(TokenError::Malformed)
        );
        tokens.expire_all();
        assert_eq!(
            tokens.open::<(u64, String)>("messages", &token),
            Err(TokenError::Expired)
        );
    }
}

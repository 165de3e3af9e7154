//! Client assertions: JWTs that an application signs with the key of its certificate (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use sha2::Digest as _;

use super::endpoints::refuse;
use crate::api::ApiResponse;
use crate::world::World;

/// A certificate the application may sign with.
pub struct Certificate {
    sha1: String,
    sha256: String,
    key: DecodingKey,
}

/// Reads a certificate for the assertions it signs: its thumbprints and its key.
pub fn certificate(pem: &str) -> anyhow::Result<Certificate> {
    let start = pem
        .find("-----BEGIN CERTIFICATE-----")
        .ok_or_else(|| anyhow::anyhow!("holds no certificate"))?;
    let pem = &pem[start..];
    let end = pem
        .find("-----END CERTIFICATE-----")
        .ok_or_else(|| anyhow::anyhow!("the certificate does not end"))?;
    let body: String = pem["-----BEGIN CERTIFICATE-----".len()..end]
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    let der = STANDARD
        .decode(body)
        .map_err(|_| anyhow::anyhow!("the certificate is not base64"))?;
    let spki = rsa_key(&der).ok_or_else(|| anyhow::anyhow!("the certificate has no RSA key"))?;
    Ok(Certificate {
        sha1: URL_SAFE_NO_PAD.encode(sha1::Sha1::digest(&der)),
        sha256: URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&der)),
        key: DecodingKey::from_rsa_der(spki),
    })
}

/// The RSAPublicKey inside a certificate: the bit string after the rsaEncryption identifier (RFC 5280).
fn rsa_key(der: &[u8]) -> Option<&[u8]> {
    const OID: &[u8] = &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03,
    ];
    let at = der.windows(OID.len()).position(|w| w == OID)? + OID.len();
    let first = *der.get(at)?;
    let (length, start) = if first < 0x80 {
        (usize::from(first), at + 1)
    } else {
        let n = usize::from(first & 0x7f);
        let length = der
            .get(at + 1..at + 1 + n)?
            .iter()
            .try_fold(0usize, |l, b| {
                l.checked_mul(256)?.checked_add(usize::from(*b))
            })?;
        (length, at + 1 + n)
    };
    // The first byte of a bit string counts the unused bits.
    der.get(start + 1..start.checked_add(length)?)
}

/// Checks a client assertion: signed by a certificate of the application, for this endpoint, in its
/// time, used once. One minted by another issuer for token exchange is checked for its time alone.
pub fn check(
    world: &World,
    app_id: &str,
    tenant: &str,
    base_url: &str,
    assertion: &str,
) -> Result<(), ApiResponse> {
    let bad = |code: u32, message: &str| refuse(world, 401, "invalid_client", code, message);
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|_| bad(50_027, "JWT token is invalid or malformed."))?;
    let mut rules = Validation::new(header.alg);
    (rules.validate_exp, rules.validate_aud, rules.validate_nbf) = (false, false, false);
    rules.required_spec_claims.clear();
    let peek = jsonwebtoken::dangerous::insecure_decode::<Value>(assertion)
        .map_err(|_| bad(50_027, "JWT token is invalid or malformed."))?
        .claims;
    let federated = peek["aud"].as_str() == Some("api://AzureADTokenExchange");
    if !federated {
        if !matches!(header.alg, Algorithm::PS256 | Algorithm::RS256) {
            return Err(bad(
                50_012,
                "Client assertion has an unsupported signing algorithm.",
            ));
        }
        let certificate = world.auth.certificates.iter().find(|c| {
            header.x5t_s256.as_deref() == Some(&c.sha256) || header.x5t.as_deref() == Some(&c.sha1)
        });
        let Some(certificate) = certificate else {
            return Err(bad(
                700_027,
                "The certificate with identifier used to sign the client assertion is not registered on application.",
            ));
        };
        jsonwebtoken::decode::<Value>(assertion, &certificate.key, &rules)
            .map_err(|_| bad(700_027, "Client assertion failed signature validation."))?;
        let audience = peek["aud"].as_str().unwrap_or_default();
        let path = format!("/{tenant}/oauth2/v2.0/token");
        let fits = audience.eq_ignore_ascii_case(&format!("{base_url}{path}"))
            || audience
                .to_ascii_lowercase()
                .ends_with(&path.to_ascii_lowercase());
        if !fits {
            return Err(bad(
                50_012,
                "Client assertion audience does not match the token endpoint.",
            ));
        }
        if peek["iss"].as_str() != Some(app_id) || peek["sub"].as_str() != Some(app_id) {
            return Err(bad(
                50_012,
                "Client assertion issuer and subject must be the application.",
            ));
        }
    }
    let now = world.clock.now();
    let (exp, nbf) = (
        peek["exp"].as_i64().unwrap_or(0),
        peek["nbf"].as_i64().unwrap_or(0),
    );
    if exp <= now - 300 || nbf > now + 300 || exp - nbf.max(now - 300) > 24 * 3600 {
        return Err(bad(
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    if !federated {
        let jti = peek["jti"]
            .as_str()
            .ok_or_else(|| bad(50_012, "Client assertion has no 'jti'."))?;
        let mut seen = world.auth.seen.lock();
        if seen.len() > 100_000 {
            seen.clear();
        }
        if !seen.insert(jti.to_owned()) {
            return Err(bad(50_012, "Client assertion was used before ('jti')."));
        }
    }
    Ok(())
}

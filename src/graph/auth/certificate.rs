//! Sign-in by certificate: a signed assertion in place of a secret.
//!
//! The assertion is a JWT signed with PS256, whose header names the certificate by
//! `x5t#S256`, made for the token URL it is sent to, good for ten minutes, with a fresh `jti`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::SIGN_IN;
use crate::graph::error::{ErrorClass, GraphError};

/// Makes a fresh assertion for `token_url`.
pub(super) fn assertion(
    client_id: &str,
    pem: &SecretString,
    token_url: &str,
) -> Result<SecretString, GraphError> {
    let wrong = |what: String| GraphError::local(ErrorClass::Auth, SIGN_IN, what);
    let pem = pem.expose_secret();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        wrong("the certificate file holds no certificate (-----BEGIN CERTIFICATE-----)".into())
    })?;
    let key = key_block(pem).ok_or_else(|| {
        wrong("the certificate file holds no private key (-----BEGIN PRIVATE KEY-----)".into())
    })?;
    let key = EncodingKey::from_rsa_pem(key.as_bytes())
        .map_err(|_| wrong("the private key in the certificate file is not an RSA key".into()))?;
    let now = crate::graph::transport::unix_now();
    let mut header = Header::new(Algorithm::PS256);
    header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.as_ref())));
    let claims = json!({
        "aud": token_url,
        "iss": client_id,
        "sub": client_id,
        "jti": uuid::Uuid::new_v4().to_string(),
        "nbf": now,
        "iat": now,
        "exp": now + 600,
    });
    jsonwebtoken::encode(&header, &claims, &key)
        .map(Into::into)
        .map_err(|e| wrong(format!("the certificate's key does not sign: {e}")))
}

/// The first private key block of a PEM file.
fn key_block(pem: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = pem[from..].find("-----BEGIN ") {
        let start = from + at;
        let label = pem[start + 11..].split("-----").next()?;
        let end_mark = format!("-----END {label}-----");
        let end = start + pem[start..].find(&end_mark)? + end_mark.len();
        if label.ends_with("PRIVATE KEY") && !label.starts_with("ENCRYPTED") {
            return Some(&pem[start..end]);
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::engine::general_purpose::STANDARD;

    fn block(label: &str, der: &[u8]) -> String {
        let mut text = format!("-----BEGIN {label}-----\n");
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            text += std::str::from_utf8(line).unwrap();
            text.push('\n');
        }
        text + &format!("-----END {label}-----\n")
    }

    /// A PEM file as an administrator would have it, and the public key. Only the certificate's
    /// hash is used, so any bytes are a certificate here.
    fn pem() -> (String, Vec<u8>) {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&key).unwrap();
        let text = block("CERTIFICATE", b"not really") + &block("PRIVATE KEY", der.as_ref());
        (text, key.public_key().as_ref().to_vec())
    }

    #[test]
    fn an_assertion_is_what_entra_asks_for() {
        let url = "https://login.example/t/oauth2/v2.0/token";
        let (pem, public) = pem();
        let pem = SecretString::from(pem);
        let jwt = assertion("app", &pem, url).unwrap();
        let key = DecodingKey::from_rsa_der(&public);
        let mut rules = Validation::new(Algorithm::PS256);
        rules.set_audience(&[url]);
        let token = jsonwebtoken::decode::<Value>(jwt.expose_secret(), &key, &rules).unwrap();
        assert_eq!(token.claims["iss"], "app");
        assert_eq!(token.claims["sub"], "app");
        assert_eq!(token.header.x5t_s256.unwrap().len(), 43);
        let again = assertion("app", &pem, url).unwrap();
        let again = jsonwebtoken::decode::<Value>(again.expose_secret(), &key, &rules).unwrap();
        assert_ne!(again.claims["jti"], token.claims["jti"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let e = assertion("app", &"".into(), "https://x").unwrap_err();
        assert!(e.to_string().contains("no certificate"), "{e}");
        let only_cert = block("CERTIFICATE", b"not really");
        let e = assertion("app", &only_cert.as_str().into(), "https://x").unwrap_err();
        assert!(e.to_string().contains("no private key"), "{e}");
        let broken =
            format!("{only_cert}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----");
        let e = assertion("app", &broken.into(), "https://x").unwrap_err();
        assert!(e.to_string().contains("not an RSA key"), "{e}");
    }
}

//! Signatures by [Standard Webhooks](https://www.standardwebhooks.com), so that a target can tell our calls from anybody's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The key that both sides share. Never shown.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Reads `whsec_` and base64, or takes the text itself as the key.
    ///
    /// # Errors
    /// If there is no key, or what follows `whsec_` is not base64. The text is not repeated.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "what follows whsec_ has to be base64")?,
            None => text.as_bytes().to_vec(),
        };
        if key.is_empty() { Err("the secret is empty") } else { Ok(Self(key)) }
    }

    /// The value of the header `webhook-signature`; `seconds` is that of `webhook-timestamp`.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &str) -> Option<String> {
        // A key of any length is allowed; that this returns an error at all is for other algorithms.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn bad_secrets_are_refused_and_none_is_shown() {
        assert!(Secret::parse("").is_err());
        assert!(Secret::parse("whsec_").is_err());
        assert!(Secret::parse("whsec_no base64!").is_err());
        assert_eq!(format!("{:?}", Secret::parse("hunter2").unwrap()), "Secret(…)");
    }
}

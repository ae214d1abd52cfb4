//! Arguments and results that are stored encrypted, with keys that are changed while tasks wait.
//!
//! Whoever reads the database, its backups, or a list of tasks sees `{"key":"2026","sealed":"..."}`. The handler, and whoever awaits
//! the typed result, see the plain values.

use std::collections::BTreeMap;
use std::time::Duration;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use gristmill::codec::{Codec, Payload};
use gristmill::{App, Error, Result, ResultExt, task};
use serde::{Deserialize, Serialize};

/// From a secret manager or the environment, and never from the code.
type Key = [u8; 64];

/// Encrypts with the newest of several keys and decrypts with whichever a text names.
///
/// AES-SIV (RFC 5297) is authenticated, needs no random number, and makes the same of the same: an enqueue that is repeated with its id
/// is the same enqueue. The task's id goes into it, so that equal arguments of two tasks look different, and those of one task can't be
/// put in the place of another's.
pub struct Sealed {
    keys: BTreeMap<String, Key>,
    newest: String,
}

/// What is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    key: String,
    sealed: String,
}

impl Sealed {
    /// With this key.
    pub fn with(name: &str, key: Key) -> Self {
        Self { keys: [(name.to_owned(), key)].into(), newest: name.to_owned() }
    }

    /// An older key, for what it has encrypted.
    pub fn and(mut self, name: &str, key: Key) -> Self {
        self.keys.insert(name.to_owned(), key);
        self
    }

    fn cipher(&self, name: &str) -> Option<Aes256Siv> {
        self.keys.get(name).map(|key| Aes256Siv::new(key.into()))
    }
}

/// Where a text belongs: another task's, or a result in the place of arguments, does not decrypt.
fn place(payload: &Payload<'_>) -> [String; 3] {
    [payload.id.to_string(), payload.name.to_owned(), payload.part.as_str().to_owned()]
}

impl Codec for Sealed {
    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String> {
        let mut cipher = self.cipher(&self.newest).ok_or_else(|| Error::fail("the newest key is missing"))?;
        let sealed = cipher.encrypt(place(payload), plain.as_bytes()).map_err(|_| Error::fail("it can't be encrypted"))?;
        Ok(serde_json::to_string(&Envelope { key: self.newest.clone(), sealed: BASE64.encode(sealed) })?)
    }

    fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String> {
        // From before there was encryption, from SQL, or from a beat that has no keys.
        let Ok(Envelope { key, sealed }) = serde_json::from_str(&stored) else { return Ok(stored) };
        // While programs are restarted one after another, a task may come to one that has not got the newest key yet. What it waits for
        // is no luck, so that it costs no attempt; and it does not fail, as a failed task is deleted some day.
        let missing = || Error::snooze_because(Duration::from_secs(60), format!("this process has no key `{key}`"));
        let mut cipher = self.cipher(&key).ok_or_else(missing)?;
        // No attempt could mend this: somebody has changed it, or moved it here from another task.
        let forged = || Error::fail(format!("it was not encrypted by the key `{key}` for this task"));
        let sealed = BASE64.decode(sealed).map_err(|_| forged())?;
        let plain = cipher.decrypt(place(payload), &sealed).map_err(|_| forged())?;
        String::from_utf8(plain).or_fail()
    }
}

/// Its arguments are for nobody's eyes. Titles, tags, logs and the texts of errors are not encrypted: say nothing there.
#[task(name = "card.charge")]
pub async fn charge(card: String, cents: u64) -> Result<String> {
    Ok(format!("{cents} cents from {card}"))
}

/// The application, with the keys that this process has.
pub fn app(keys: Sealed) -> App<()> {
    App::new(()).register::<Charge>().codec_for::<Charge>(keys)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (old, new) = ([1; 64], [2; 64]);

    let client = app(Sealed::with("2025", old)).connect("sqlite:encryption.db").await?;
    let charged = client.enqueue(Charge { card: "4242 4242".into(), cents: 900 }).await?;
    println!("stored: {}", charged.status().await?.map(|task| task.args).unwrap_or_default());

    // A year later: the new key first everywhere beside the old one, then as the newest. What waits is still read.
    let client = app(Sealed::with("2026", new).and("2025", old)).connect("sqlite:encryption.db").await?;
    let worker = client.worker().queue("default", 1).drain(true).start().await?;
    worker.ended().await;
    let charged = charged.status().await?.ok_or_else(|| Error::fail("it is kept"))?;
    println!("stored: {}", charged.result.unwrap_or_default());
    Ok(())
}

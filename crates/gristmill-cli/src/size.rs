//! Sizes as people write them.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes: `1500MB`, `1.5GB`, `512MiB`. `K`, `M` and `G` are powers of a thousand, with an `i` those of 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "a size is a number above zero with a unit, such as 512MB, 1.5GB or 512MiB".to_owned();
        let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).ok_or_else(refused)?;
        let number = number.trim();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(refused());
        }
        let number: f64 = number.parse().map_err(|_| refused())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and is not negative")]
        let bytes = (number * unit as f64) as u64;
        if bytes == 0 { Err(refused()) } else { Ok(Self(bytes)) }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512MB", 512_000_000), ("1.5GB", 1_500_000_000), ("512 MiB", 536_870_912), ("1KB", 1_000), ("2KiB", 2_048)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "5", "MB", "-1MB", "0MB", "1.2.3MB", "1e3MB", "infMB", "512mb", "1TB"] {
            assert!(text.parse::<Size>().unwrap_err().contains("such as 512MB"), "{text}");
        }
    }
}

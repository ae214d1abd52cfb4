//! Parts of a schedule as they are written, on the command line and in the file alike.

use gristmill::beat::{CatchUp, Overlap};
use gristmill::options::parse_duration;
use serde_json::{Value, json};

/// Reads `none`, `latest` or `all:N,WINDOW`.
pub(crate) fn catch_up(text: &str) -> Result<CatchUp, String> {
    let wrong = || format!("`{text}` is no way to catch up: there are none, latest, and all:N,WINDOW such as all:100,1h");
    match text {
        "none" => Ok(CatchUp::None),
        "latest" => Ok(CatchUp::Latest),
        _ => {
            let (max, window) = text.strip_prefix("all:").and_then(|rest| rest.split_once(',')).ok_or_else(wrong)?;
            catch_up_all(max.trim().parse().map_err(|_| wrong())?, window)
        }
    }
}

/// Checks the parts of `all:N,WINDOW`.
pub(crate) fn catch_up_all(max: u64, window: &str) -> Result<CatchUp, String> {
    const MAX: u16 = 1_000;
    let max = u16::try_from(max).ok().filter(|max| (1..=MAX).contains(max));
    let max = max.ok_or_else(|| format!("at least 1 and at most {MAX} ticks can be made up for"))?;
    let window = parse_duration(window)?;
    if window.as_secs() == 0 {
        return Err("the window of what is made up for is at least 1s".to_owned());
    }
    Ok(CatchUp::All { max, window })
}

/// Reads what happens when the task of the tick before has not ended.
pub(crate) fn overlap(text: &str) -> Result<Overlap, String> {
    serde_json::from_value(Value::from(text))
        .map_err(|_| format!("`{text}` is no overlap: there are skip, allow, buffer_one and cancel_previous"))
}

/// Reads `LAT,LON`.
pub(crate) fn place(text: &str) -> Result<(f64, f64), String> {
    let parts = text.split_once(',').and_then(|(lat, lon)| Some((lat.trim().parse().ok()?, lon.trim().parse().ok()?)));
    parts.ok_or_else(|| format!("`{text}` is not a place: write latitude and longitude in degrees, such as 51.5,-0.1"))
}

/// How a way to catch up is written.
pub(crate) fn catch_up_text(policy: CatchUp) -> String {
    match policy {
        CatchUp::None => "none".to_owned(),
        CatchUp::Latest => "latest".to_owned(),
        CatchUp::All { max, window } => format!("all:{max},{}", gristmill::core::format_duration(window)),
    }
}

/// How an overlap is written.
pub(crate) fn overlap_text(policy: Overlap) -> String {
    json!(policy).as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_is_written_so_again() {
        for text in ["none", "latest", "all:100,1h"] {
            assert_eq!(catch_up_text(catch_up(text).unwrap()), text);
        }
        for text in ["skip", "allow", "buffer_one", "cancel_previous"] {
            assert_eq!(overlap_text(overlap(text).unwrap()), text);
        }
        assert_eq!(catch_up("all: 3, 90s"), Ok(CatchUp::All { max: 3, window: Duration::from_secs(90) }));
        assert_eq!(place("-33.9, 151.2"), Ok((-33.9, 151.2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "all", "all:5", "all:x,1h", "all:0,1h", "all:1001,1h", "all:5,0s", "all:5,-1h", "newest"] {
            assert!(catch_up(text).is_err(), "{text}");
        }
        assert!(overlap("maybe").is_err() && place("51.5").is_err() && place("north,east").is_err());
    }
}

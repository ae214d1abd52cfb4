use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::{RuleError, near};

/// What the system has is asked first: it learns of changed laws through its updates. A machine without any data (an image
/// from scratch, Windows) and names that it lacks are served by the copy within this program.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of an IANA name, in any case.
pub(super) fn find(name: &str) -> Result<TimeZone, RuleError> {
    let found = jiff::tz::db().get(name).or_else(|_| BUNDLED.get(name)).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let names: Vec<_> = BUNDLED.available().collect();
        RuleError::UnknownZone { name: name.to_owned(), near: near(name, names.iter().map(|name| name.as_str())) }
    })
}

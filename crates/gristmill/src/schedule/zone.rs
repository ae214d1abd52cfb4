use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::{RuleError, near};

/// What the system has is asked first: it learns of changed laws through its updates. A machine without any data (an image
/// from scratch, Windows) and names that it lacks are served by the copy within this program.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The time zone of an IANA name, in any case.
pub(super) fn find(name: &str) -> Result<TimeZone, RuleError> {
    find_in(jiff::tz::db(), name)
}

fn find_in(system: &TimeZoneDatabase, name: &str) -> Result<TimeZone, RuleError> {
    let found = system.get(name).or_else(|_| BUNDLED.get(name)).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        let names: Vec<_> = BUNDLED.available().collect();
        RuleError::UnknownZone { name: name.to_owned(), near: near(name, names.iter().map(|name| name.as_str())) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_zone_data_is_served_by_the_copy() {
        let none = TimeZoneDatabase::none();
        let rome = find_in(&none, "europe/rome").unwrap();
        assert_eq!(rome.iana_name(), Some("Europe/Rome"));
        let summer: jiff::Timestamp = "2027-07-01T00:00:00Z".parse().unwrap();
        assert_eq!(rome.to_offset(summer).seconds(), 7_200);
        assert!(find_in(&none, "Europe/Rom").is_err());
        assert!(find_in(&none, "Etc/Unknown").is_err());
    }
}

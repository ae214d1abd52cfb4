//! The table of features in the crate's documentation, against Cargo.toml.

const MANIFEST: &str = include_str!("../../Cargo.toml");
const DOCS: &str = include_str!("../../src/lib.rs");

/// Names in `[features]`, and those that `default` has.
fn declared() -> (Vec<&'static str>, Vec<&'static str>) {
    let section = MANIFEST.split("[features]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let features = section.lines().filter_map(|line| line.split_once(" = ")).filter(|(name, _)| !name.starts_with('#'));
    let (default, others): (Vec<_>, Vec<_>) = features.partition(|(name, _)| *name == "default");
    let default = default[0].1.split('"').filter(|part| !part.contains(['[', ',', ']'])).collect();
    (others.into_iter().map(|(name, _)| name).collect(), default)
}

#[cfg(all(feature = "uuid", feature = "jiff"))]
#[test]
fn types_of_other_crates_can_be_arguments() {
    use gristmill::Task;

    #[gristmill::task(name = "remind")]
    async fn remind(user: uuid::Uuid, at: jiff::Timestamp) -> gristmill::Result<String> {
        Ok(format!("{user} {at}"))
    }

    let schema = Remind::kind().schema;
    assert_eq!(schema["properties"]["user"]["format"], "uuid", "{schema}");
    assert_eq!(schema["properties"]["at"]["format"], "date-time", "{schema}");
}

#[test]
fn the_table_has_all_features_and_no_others() {
    let rows: Vec<&str> = DOCS.lines().filter_map(|line| line.strip_prefix("//! | `")).collect();
    let mut told: Vec<_> = rows.iter().map(|row| row.split('`').next().unwrap()).collect();
    let (mut features, default) = declared();
    let on: Vec<_> = rows.iter().filter(|row| row.contains("on by default")).map(|row| row.split('`').next().unwrap()).collect();
    assert_eq!(on, default);
    told.sort_unstable();
    features.sort_unstable();
    assert_eq!(told, features);
}

//! Names that were probably meant.

use crate::core::limits;

/// The known name that is most like this one, if one is.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(name, known).into_iter().next()
}

/// Those that are like this one, the most like it first; in the order of the alphabet where they are alike.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // The comparison costs the product of both lengths, and no name is longer.
    if name.len() > limits::NAME_BYTES_MAX {
        return Vec::new();
    }
    let is_near = |(distance, known): &(usize, &str)| {
        let (length, longer) = (known.chars().count(), known.chars().count().max(name.chars().count()));
        // Of two short names all may differ.
        *distance <= 2.max(length / 3) && *distance * 2 <= longer
    };
    let known = known.into_iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    let mut found: Vec<_> = known.filter(is_near).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|(_, known)| known).collect()
}

/// The same as the end of a message; nothing if there is none.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    near(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_a_name_is_near_and_nothing_else() {
        let known = ["default", "mail", "heavy"];
        assert_eq!(
            (near("defualt", known), near("mial", known), near("nothing", known), near("x", [])),
            (Some("default"), Some("mail"), None, None)
        );
        assert_eq!((near("%", ["up"]), near("mx", ["sms"])), (None, None));
        assert_eq!(did_you_mean("heavi", known), "; did you mean `heavy`?");
    }
}

//! Names that were probably meant.

use crate::core::limits;

/// The known name that is most like this one, if one is.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison costs the product of both lengths, and no name is longer.
    if name.len() > limits::NAME_BYTES_MAX {
        return None;
    }
    let (distance, near) = known.into_iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min()?;
    // Of two short names all may differ.
    let longer = name.chars().count().max(near.chars().count());
    (distance <= 2.max(near.len() / 3) && distance * 2 <= longer).then_some(near)
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

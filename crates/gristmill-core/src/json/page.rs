use serde::Serialize;

use crate::Page;

/// One page of a list: `{"items": [...], "next": CURSOR}`; `next` is `null` after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PageJson<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, as its caller has to give it back.
    pub next: Option<String>,
}

/// A whole list: `{"items": [...]}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ListJson<'a, T> {
    /// The items.
    pub items: &'a [T],
}

impl<T> PageJson<T> {
    /// A page of these items.
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }

    /// A page of a store, with each item in its JSON form.
    pub fn of<R>(page: Page<R>, form: impl FnMut(R) -> T) -> Self {
        Self::new(page.items.into_iter().map(form).collect(), page.next.map(|next| next.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cursor;

    #[test]
    fn a_page_is_exactly_this() {
        let page = PageJson::of(Page { items: vec![1, 2], next: Some(Cursor::after(255)) }, |item| item * 10);
        assert_eq!(serde_json::to_string(&page).unwrap(), r#"{"items":[10,20],"next":"cff"}"#);
        let last = PageJson::of(Page::<u8> { items: vec![], next: None }, |item| item);
        assert_eq!(serde_json::to_string(&last).unwrap(), r#"{"items":[],"next":null}"#);
        assert_eq!(serde_json::to_string(&ListJson { items: &["a"] }).unwrap(), r#"{"items":["a"]}"#);
    }
}

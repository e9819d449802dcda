//! Which view of its records a caller gets, and the entity tags that tell views apart.
//!
//! A caller who reads every class in clear has the store's own entity tags: they are its concurrency
//! tokens. Anybody else's answers have other bytes, so their tags get a suffix that names the view
//! and that is taken off again when a tag comes back. A tag of one view never validates another.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    base::digest::Digest,
    policy::plan::{Right, Rights},
};

/// What stands between a tag of the API and the name of the view; with it, a tag is longer by 12.
const MARK: &str = ";lsv=";
const NAME: usize = 8;

/// The view of a caller; `None` in it is the whole one.
pub struct View(Option<String>);

impl View {
    /// What these rights show.
    pub fn of(rights: &Rights) -> Self {
        if rights.by_class.values().all(|class| class.read == Right::Clear) {
            return Self(None);
        }
        let shown =
            |(id, class): (&crate::base::ident::ClassId, &crate::policy::plan::ClassRights)| {
                format!("{}={:?};", id.as_str(), class.read)
            };
        let mut all: Vec<_> = rights.by_class.iter().map(shown).collect();
        all.sort();
        let digest = Digest::of(&[all.concat().as_bytes()]).to_string();
        Self(digest.get(..NAME).map(str::to_owned))
    }

    /// Marks the tag of an answer.
    pub fn mark(&self, headers: &mut HeaderMap) {
        let (Some(name), Some(tag)) = (&self.0, headers.get(header::ETAG)) else { return };
        let marked = tag
            .to_str()
            .ok()
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| HeaderValue::try_from(format!("{tag}{MARK}{name}\"")).ok());
        match marked {
            Some(marked) => drop(headers.insert(header::ETAG, marked)),
            // A tag that cannot be marked would validate another view.
            None => drop(headers.remove(header::ETAG)),
        }
    }

    /// Takes the marks off the tags of a request.
    pub fn unmark(&self, method: &Method, headers: &mut HeaderMap) {
        // A precondition of a write is about the record, whatever was seen of it.
        each_tag(headers, header::IF_MATCH, |tag| Some(split(tag).0));
        if !method.is_safe() {
            return each_tag(headers, header::IF_NONE_MATCH, |tag| Some(split(tag).0));
        }
        each_tag(headers, header::IF_NONE_MATCH, |tag| match (&self.0, split(tag)) {
            (None, (_, None)) => Some(tag.to_owned()),
            (Some(mine), (tag, Some(name))) if *mine == name => Some(tag),
            // A copy of another view is no copy of this one.
            (None | Some(_), (_, None | Some(_))) => None,
        });
    }
}

/// A tag without its mark, and the view that was named in it.
fn split(tag: &str) -> (String, Option<String>) {
    let inside = tag.strip_suffix('"').and_then(|inside| inside.rsplit_once(MARK));
    match inside {
        Some((tag, name)) if name.len() == NAME && name.bytes().all(|b| b.is_ascii_hexdigit()) => {
            (format!("{tag}\""), Some(name.to_owned()))
        }
        _ => (tag.to_owned(), None),
    }
}

/// Replaces each tag of a list; if none is left, neither is the field. `*` stays.
fn each_tag(headers: &mut HeaderMap, name: HeaderName, change: impl Fn(&str) -> Option<String>) {
    let values: Vec<_> = headers.get_all(&name).iter().cloned().collect();
    if values.is_empty() || values.iter().any(|value| value == "*") {
        return;
    }
    let all: Vec<_> = values.iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let tags = tags(&all.join(", "));
    let kept: Vec<_> = tags.iter().filter_map(|tag| change(tag)).collect();
    if kept == tags {
        return;
    }
    headers.remove(&name);
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::try_from(kept.join(", "))) {
        headers.insert(name, value);
    }
}

/// The members of a list of tags; a comma within quotes is part of a tag.
fn tags(list: &str) -> Vec<String> {
    let (mut tags, mut tag, mut is_quoted) = (Vec::new(), String::new(), false);
    for character in list.chars() {
        match character {
            ',' if !is_quoted => tags.push(std::mem::take(&mut tag)),
            '"' => {
                is_quoted = !is_quoted;
                tag.push('"');
            }
            other => tag.push(other),
        }
    }
    tags.push(tag);
    let trimmed = tags.iter().map(|tag| tag.trim().to_owned());
    trimmed.filter(|tag| !tag.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(
        method: &Method,
        view: &View,
        name: &'static str,
        value: &'static str,
    ) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        view.unmark(method, &mut headers);
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    fn after(view: &View, name: &'static str, value: &'static str) -> Option<String> {
        sent(&Method::GET, view, name, value)
    }

    #[test]
    fn a_write_keeps_its_preconditions_whatever_view_they_came_from() {
        let (whole, masked) = (View(None), View(Some("0123abcd".into())));
        for view in [whole, masked] {
            let tags = "\"x\", \"y;lsv=ffffffff\"";
            let left = sent(&Method::PUT, &view, "if-none-match", tags);
            assert_eq!(left.as_deref(), Some("\"x\", \"y\""));
        }
    }

    #[test]
    fn a_tag_comes_back_as_the_api_gave_it_and_only_to_its_own_view() {
        let (whole, masked) = (View(None), View(Some("0123abcd".into())));
        let mut headers = HeaderMap::new();
        headers.insert("etag", HeaderValue::from_static("W/\"3,4\""));
        whole.mark(&mut headers);
        assert_eq!(headers["etag"], "W/\"3,4\"");
        masked.mark(&mut headers);
        assert_eq!(headers["etag"], "W/\"3,4;lsv=0123abcd\"");

        let mine = "W/\"3,4;lsv=0123abcd\", \"x\"";
        assert_eq!(after(&masked, "if-none-match", mine).as_deref(), Some("W/\"3,4\""));
        assert_eq!(after(&masked, "if-none-match", "\"x\", \"y;lsv=ffffffff\""), None);
        assert_eq!(after(&masked, "if-none-match", "*").as_deref(), Some("*"));
        assert_eq!(after(&whole, "if-none-match", mine).as_deref(), Some("\"x\""));
        assert_eq!(after(&whole, "if-match", mine).as_deref(), Some("W/\"3,4\", \"x\""));
        assert_eq!(after(&masked, "if-match", "\"x\"").as_deref(), Some("\"x\""));
    }
}
